"""The questions of a code fit, asked of all clients: each is one exchange of the hybrid strategy, answered by sums."""

from collections.abc import Callable, Mapping
from typing import Any

from flwr.app import ConfigRecord
from flwr.serverapp import Grid

from fl_tiprdc.config import FederationConfig
from fl_tiprdc.federated.messages import Arrays, GroupArrays, pack_arrays
from fl_tiprdc.release.statistics import Request
from strategies.aggregation import Total
from strategies.hybrid_strategy import Exchange, HybridStrategy, TooManyFailuresError
from strategies.protected_mean import ProtectedMean
from strategies.reply_check import COUNTED, within
from strategies.roster import Roster
from strategies.turns import question_turn


def ask(
    grid: Grid,
    roster: Roster,
    request: Request,
    extractor: Arrays,
    config: Mapping[str, Any],
    seed: int,
    federation: FederationConfig,
    done: int,
    on_exchange: Callable[[Exchange], None],
    protected: ProtectedMean | None,
) -> Arrays:
    """Return the sums over all clients' records that a request asks for.

    Args:
        grid: the clients.
        roster: who they are.
        request: the question.
        extractor: trained.
        config: settings sent in every exchange.
        seed: of the experiment.
        federation: how many may fail, and how long to wait.
        done: exchanges that took place before.
        on_exchange: told about the exchange when it is done.
        protected: how clients' sums are kept from whom; None: the server sees them as they are.

    Raises:
        TooManyFailuresError: more clients failed than allowed.
    """
    turn = question_turn(request.name, {"sums": Total()}, federation.rounds + 1)
    groups: GroupArrays = {"extractor": extractor, "question": request.arrays, "sums": request.zeros()}
    allowed, quorum = federation.allowed_failures, federation.quorum
    strategy = HybridStrategy(
        [turn] * (done + 1), groups, roster, config, seed, 0, allowed, on_exchange, done, quorum, protected
    )
    settings = ConfigRecord({})
    strategy.start(grid, pack_arrays(extractor), num_rounds=1, timeout=federation.timeout, train_config=settings)
    sums = strategy.groups["sums"]
    check_sums(sums, sum(roster.size(partition) for partition in roster.partitions))
    return sums


def check_sums(sums: Arrays, records: int) -> None:
    """Refuse counts of people that so many records can't have; what single clients say is checked before, if it shows.

    Raises:
        TooManyFailuresError: negative counts, or more people than there are.
    """
    for name in COUNTED:
        if name in sums and not within(sums[name], records):
            raise TooManyFailuresError(f"the clients' {name} are of more people than the {records} that there are")
