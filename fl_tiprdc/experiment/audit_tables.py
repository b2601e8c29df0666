"""The tables with which an audit ends on screen."""

from collections.abc import Sequence

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

from fl_tiprdc.evaluation.attacks.exact_attack import KIND as EXACT
from fl_tiprdc.evaluation.further_summary import level_text


def best_table(summary: pd.DataFrame) -> Table:
    """Return the worst attack on each private attribute and the best probe of each task, beside chance.

    Args:
        summary: as `summarize_published` returns it.
    """
    exact = "; exact: the exact attack, the best there is" if EXACT in set(summary["kind"]) else ""
    compared = "raw_auc" in summary
    numbers = ("AUC", "95 %", "chance", *(("raw", "retained") if compared else ()))
    table = _table(f"best of the panel on held-out people, AUC{exact}", ("", "model"), numbers)
    for row in summary.to_dict("records"):
        table.add_row(
            f"{row['kind']}: {row['target']}",
            str(row["model"]),
            f"{row['auc']:.3f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            f"{row['chance']:.1f}",
            *([f"{row['raw_auc']:.3f}"] if compared else []),
            *(["" if pd.isna(row["retention"]) else f"{row['retention']:.3f}"] if compared else []),
        )
    return table


def further_table(further: pd.DataFrame) -> Table:
    """Return the best of each further attack on the publication, beside chance and raw features, if there are any.

    Args:
        further: as `summarize_further` returns it.
    """
    names = ["kind", "target", "level"]
    by_raw = further["setting"] == "raw"
    raw = further.loc[by_raw, [*names, "value"]].rename(columns={"value": "raw"})
    numbers = ("value", "95 %", "chance", *(("raw",) if len(raw) else ()))
    table = _table("further attacks: AUC, or share of people found", ("", "model"), numbers)
    for row in further[~by_raw].merge(raw, on=names, how="left").to_dict("records"):
        table.add_row(
            f"{row['kind']}: {level_text(row['target'], row['level'], row['unit'])}",
            str(row["model"]),
            f"{row['value']:.3f}",
            f"{row['low']:.3f}-{row['high']:.3f}",
            f"{row['chance']:.3g}",
            *([f"{row['raw']:.3f}"] if len(raw) else []),
        )
    return table


def known_table(known: pd.DataFrame) -> Table:
    """Return what attackers tell who know some of a record, without and with its release.

    Args:
        known: as `mean_known` returns it.
    """
    title = "attackers who know some of a record: AUC"
    table = _table(title, ("", "knows"), ("alone", "with release", "95 %"))
    for row in known.to_dict("records"):
        table.add_row(
            str(row["target"]),
            str(row["knows"]),
            f"{row['alone']:.3f}",
            f"{row['with_release']:.3f}",
            f"{row['with_release_low']:.3f}-{row['with_release_high']:.3f}",
        )
    return table


def _table(title: str, words: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return an empty table: columns of words may fold, columns of numbers may not."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    for name in words:
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
