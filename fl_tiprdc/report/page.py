"""report.html: one self-contained page of a run or of several, made from their tables; it needs no network.

The page forbids itself every address (Content-Security-Policy), and its own scripts and styles are known by hash.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from fl_tiprdc.evaluation.certificate import COVERED
from fl_tiprdc.report.captions import captions
from fl_tiprdc.report.page_codes import gauges
from fl_tiprdc.report.page_data import page_data
from fl_tiprdc.report.page_tables import together
from fl_tiprdc.report.run_tables import RunTables

WEB = Path(__file__).parent / "web"
SCRIPTS = ("drawing", "tables", "details", "frontier", "curves", "codes", "comparison", "start")  # in this order
HEADERS = {"lam": "λ or dial", "auc": "AUC", "raw_auc": "raw AUC"}  # of columns that aren't called as people would


def _header(name: object) -> str:
    return HEADERS.get(str(name), str(name).replace("_", " "))


def _cell(value: Any, column: object) -> tuple[str, str]:
    """Return how a value is shown, and what it is sorted by; for text that is the same."""
    if pd.isna(value):
        return "", ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value), ""
    if column == "lam":
        return f"{value:g}", f"{value:g}"
    if isinstance(value, int):
        return f"{value:,}", str(value)
    return f"{value:,.3f}" if abs(value) < 1000 else f"{value:,.0f}", repr(float(value))


def _rows(frame: pd.DataFrame) -> list[list[tuple[str, str]]]:
    names = list(frame.columns)
    whole = [name for name in frame.select_dtypes("number") if (frame[name].dropna() % 1 == 0).all()]
    frame = frame.astype(dict.fromkeys((name for name in whole if name != "lam"), "Int64"))
    return [
        [_cell(value, name) for value, name in zip(row, names, strict=True)]
        for row in frame.astype(object).itertuples(index=False, name=None)
    ]


def _percent(above_chance: float) -> str:
    """Return where an AUC lies on a gauge from chance to certainty, in percent of its width."""
    return f"{200 * min(max(above_chance, 0.0), 0.5):.1f}%"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _web(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _facts(run: RunTables) -> dict[str, str]:
    """Return what a reader wants to know first, then what it takes to do the same again."""
    settings = run.settings
    wanted = {"data set": "dataset", "clients": "clients", "who holds what": "partition", "runtime": "runtime"}
    facts = {label: str(settings[name]) for label, name in wanted.items() if name in settings}
    facts["seeds"] = ", ".join(map(str, sorted(run.points["seed"].unique())))
    sent: Mapping[str, int] = run.summary.get("bytes", {})
    labels = {
        "training_down": "sent to clients in training",
        "training_up": "received from clients in training",
        "publication": "published by clients",
    }
    facts |= {label: f"{sent[name] / 1e6:,.1f} MB" for name, label in labels.items() if name in sent}
    if seconds := run.summary.get("seconds"):
        facts["took"] = f"{sum(seconds.values()):,.0f} s"
    facts |= {name: str(run.summary[name]) for name in ("command", "commit") if name in run.summary}
    if versions := run.summary.get("versions"):
        facts["versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts


def render_page(runs: Sequence[RunTables]) -> str:
    """Return the page as text.

    Args:
        runs: one for its own page, several for one across them.
    """
    style = _web("page.css")
    script = "\n".join(['"use strict";', *(_web(f"{name}.js") for name in SCRIPTS)])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(WEB),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"header": _header, "rows": _rows, "percent": _percent}
    tables = together(runs)
    policy = f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"
    return environment.get_template("page.html.j2").render(
        title=runs[0].title if len(runs) == 1 else f"Federated TIPRDC: {len(runs)} runs beside each other",
        runs=runs,
        facts={run.name: _facts(run) for run in runs},
        tables={part: [table for table in tables if table.part == part] for part in ("tables", "codes", "attacks")},
        gauges=[(run.name, gauge) for run in runs for gauge in gauges(run)],
        covered=COVERED.replace("It covers", "A certificate covers", 1),
        publication=[table for table in tables if table.part == "publication"],
        pictures=[
            (run.name, name, base64.b64encode(data).decode(), captions()[name])
            for run in runs
            for name, data in run.pictures.items()
        ],
        data=page_data(runs),
        style=style,
        script=script,
        policy=policy,
    )


def write_page(path: Path, runs: Sequence[RunTables]) -> None:
    """Write the page."""
    path.write_text(render_page(runs), encoding="utf-8")
