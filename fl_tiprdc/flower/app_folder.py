"""The folder of a Flower app that `flwr run` asks for: settings and no code, since every machine runs what it has."""

from pathlib import Path
from typing import Any

import tomli_w

from fl_tiprdc import __version__
from fl_tiprdc.flower.run_config import run_config_defaults

COMPONENTS = {"serverapp": "fl_tiprdc.flower.server:server_app", "clientapp": "fl_tiprdc.flower.client:client_app"}


def app_table() -> dict[str, Any]:
    """Return what `[tool.flwr.app]` holds."""
    return {
        "publisher": "fl-tiprdc",
        "fab-include": ["README.md"],
        "components": COMPONENTS,
        "config": run_config_defaults(),
    }


def write_app(folder: Path) -> None:
    """Write the app into an empty folder."""
    project = {"name": "fl-tiprdc", "version": __version__, "description": "Federated TIPRDC", "license": "Apache-2.0"}
    (folder / "pyproject.toml").write_text(tomli_w.dumps({"project": project, "tool": {"flwr": {"app": app_table()}}}))
    (folder / "README.md").write_text("Settings of Federated TIPRDC; the code is what is installed.\n")


if __name__ == "__main__":  # for pyproject.toml, when a flag is new
    print(tomli_w.dumps(app_table()))
