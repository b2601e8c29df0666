"""Writes gallery.md from results/reference/coded: the frontier of each run there, with the command that made it.

python docs/write_gallery.py
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CODED = ROOT / "results" / "reference" / "coded"
FIGURE = "frontier.png"
HEAD = """# Gallery

The method `coded` on each data set, 100 clients, three seeds. Each point is one value of λ: to the right is the AUC of
the worst attack on the private attribute (0.5 is chance) and the certified bound, upwards what unknown tasks keep of
raw data's advantage over chance. `python docs/write_gallery.py` writes this page from
[the reference results](../results/reference/README.md).
"""


def gallery() -> str:
    """Return the page: a part for each run, Adult first."""
    parts = [HEAD]
    for path in sorted(CODED.glob("*/config.toml")):
        run = tomllib.loads(path.read_text(encoding="utf-8"))
        title = f"{run['dataset']}, hiding {' and '.join(run['private'])}"
        picture = (path.parent / FIGURE).relative_to(ROOT).as_posix()
        command = f"python simulations/coded.py --cells {path.parent.name}"
        parts.append(f"## {title}\n\n    {command}\n\n![Frontier of {title}](../{picture})\n")
    return "\n".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "gallery.md").write_text(gallery(), encoding="utf-8")
