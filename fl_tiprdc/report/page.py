"""report.html: one self-contained page with a run's answer, figures and tables."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

STYLE = """
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:.85rem;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #8884}
th:first-child,td:first-child{text-align:left}
img{max-width:100%;background:#fff;border-radius:4px}
pre{overflow-x:auto;font-size:.8rem}
"""

CAPTIONS = {
    "frontier": "Mean utility retention of the unknown tasks over the AUC of the worst retrained attacker; bars are "
    "95 % bootstrap intervals of the attack.",
    "comparison": "Centralised beside federated at each λ.",
    "tasks": "The same curves, task by task.",
    "training": "Federated training curves by round.",
    "bounds": "Accuracy of the best probe, as the mean of both private groups, over the balanced accuracy of the best "
    "attacker. Where a task is Δ more frequent in one group than in the other, an attack of b leaves at most "
    "1 - max(0, Δ - (2b - 1)) / 2 to any probe on the same release. An estimate, as the best possible attacker is not "
    "known: a probe in the shaded area shows that the panel has missed one.",
    "leaks": "AUC of the best attacker over the number of labelled records that it has to learn from. Lines "
    "are values of λ; bars reach over the draws of who leaked and their 95 % intervals. The rightmost point is the "
    "audit's own attack.",
    "linkage": "AUC of the best attacker over the number of records of one person that it sees and pools. Where each "
    "person has one record, records of different people with the same private value are pooled at random.",
    "averaging": "AUC of the best attacker over the number of independent releases of a record that it averages: "
    "what publishing more than once would cost.",
    "further-attacks": "Membership: AUC of telling who trained the extractor from who didn't, by representations or, "
    "with all networks in hand, by losses. Re-identification: how often the right one of N people's raw records comes "
    "first; of published representations for somebody who has the extractor too.",
    "reconstruction": "Held-out people and what a decoder, trained on contributors, makes of their releases, beside "
    "the best constant image. Numbers are the mean MS-SSIM over held-out people: a release that comes down to the "
    "constant image's tells a decoder nothing.",
}


def _table(frame: pd.DataFrame) -> str:
    return frame.to_html(index=False, border=0, float_format=lambda v: f"{v:.3f}", na_rep="")


def write_report(
    path: Path,
    title: str,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[str],
    config: str,
    facts: Mapping[str, Any],
) -> None:
    """Write the page.

    Args:
        path: report.html, beside the folder figures/.
        title: of the page.
        tables: heading -> table.
        figures: names of figures in figures/.
        config: the run's configuration as text.
        facts: short facts, such as versions.
    """
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>",
        f"<meta name=viewport content='width=device-width,initial-scale=1'><style>{STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
    ]
    for name in figures:
        data = base64.b64encode((path.parent / "figures" / f"{name}.png").read_bytes()).decode()
        caption = html.escape(CAPTIONS.get(name, name))
        image = f"<img alt='{caption}' src='data:image/png;base64,{data}'>"
        parts.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    for heading, frame in tables.items():
        parts.append(f"<h2>{html.escape(heading)}</h2>{_table(frame)}")
    parts.append(f"<h2>Configuration</h2><pre>{html.escape(config)}</pre>")
    parts.append("<h2>Facts</h2><ul>")
    parts += [f"<li>{html.escape(key)}: {html.escape(str(value))}</li>" for key, value in facts.items()]
    parts.append("</ul></html>")
    path.write_text("\n".join(parts), encoding="utf-8")
