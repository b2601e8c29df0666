"""Writes gallery.md from results/reference: for each data set the first frontier there, with the command that made it.

python docs/write_gallery.py
"""

import re
import tomllib
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results" / "reference"
ROW = re.compile(
    r"^\| `([^`]+)/` \| `([^`]+)`(.*?) \|$", re.MULTILINE
)  # of the table of README.md: folder, command, rest
FIGURE = "frontier.png"
HEAD = """# Gallery

One figure for each data set, from [the reference results](../results/reference/README.md), with the command that made
it. Each point is one release: to the right is the AUC of the worst attack on the private attribute (0.5 is chance),
upwards what unknown tasks keep of raw data's advantage over chance. `python docs/write_gallery.py` writes this page.
"""


def dataset_of(folder: Path) -> str:
    """Return the data set of a folder of reference results; empty where its files don't name one alone."""
    if (folder / "config.toml").is_file():
        return str(tomllib.loads((folder / "config.toml").read_text(encoding="utf-8"))["dataset"])
    if (folder / "points.csv").is_file():
        names = pd.read_csv(folder / "points.csv").get("dataset", pd.Series(dtype=str)).unique()
        return str(names[0]) if len(names) == 1 else ""
    return ""


def gallery() -> str:
    """Return the page: a part for each data set, in the order of the table of README.md."""
    parts: dict[str, str] = {}
    for name, command, rest in ROW.findall((REFERENCE / "README.md").read_text(encoding="utf-8")):
        folder = REFERENCE / name
        if (folder / FIGURE).is_file() and (dataset := dataset_of(folder)) and dataset not in parts:
            picture = f"![Frontier of {dataset}](../results/reference/{name}/{FIGURE})"
            parts[dataset] = f"## {dataset}\n\n    {command}\n\n`{name}/`{rest}\n\n{picture}\n"
    return "\n".join([HEAD, *parts.values()])


if __name__ == "__main__":
    (ROOT / "docs" / "gallery.md").write_text(gallery(), encoding="utf-8")
