"""The subcommands of `fl-tiprdc`: where each is, and what it does in a few words."""

from collections.abc import Mapping
from typing import NamedTuple

PROGRAM = "fl-tiprdc"
GROUP = "deploy"  # the first word of some


class Subcommand(NamedTuple):
    """Describe a command.

    Attributes:
        module: has its `main`, and is imported when the command is called.
        summary: what it does.
    """

    module: str
    summary: str


SUBCOMMANDS: Mapping[str, Subcommand] = {
    "run": Subcommand("fl_tiprdc.commands.run", "train, publish, audit, plot: the main job"),
    "audit": Subcommand("fl_tiprdc.commands.audit", "audit published representations, yours or others'"),
    "compare": Subcommand("fl_tiprdc.commands.compare", "one page across runs"),
    "catalogue": Subcommand("fl_tiprdc.commands.catalogue", "data sets, methods, attackers, presets, ..."),
    "flwr-run": Subcommand("fl_tiprdc.commands.flwr_run", "run by Flower's own engine, or with real clients"),
    "completion": Subcommand("fl_tiprdc.commands.completion", "completion by TAB, for bash"),
    "deploy certificates": Subcommand("fl_tiprdc.deploy.certificates", "certificates and keys"),
    "deploy describe": Subcommand("fl_tiprdc.deploy.describe", "the coordinator's folder, from a sample"),
    "deploy loopback": Subcommand("fl_tiprdc.deploy.loopback", "a whole deployment on this machine"),
    "deploy node": Subcommand("fl_tiprdc.deploy.node", "a client's node"),
    "deploy own-table": Subcommand("fl_tiprdc.deploy.own_table", "a client's own table"),
    "deploy split": Subcommand("fl_tiprdc.deploy.split", "one data set, split into clients' folders"),
}
