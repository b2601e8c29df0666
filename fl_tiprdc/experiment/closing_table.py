"""The table with which a run ends on screen."""

import pandas as pd
from rich import box
from rich.table import Table

from fl_tiprdc.evaluation.frontier import compare, over_seeds


def closing_table(points: pd.DataFrame) -> Table:
    """Tabulate how federated compares with centralized at each λ, between what raw data gives and what noise gives."""
    table = Table(
        title="A: worst attack AUC (0.5 = chance), of codes the exact one; C: certified, no attacker has more (95 %)\n"
        "R: mean utility retention (raw = 1); cen: centralized; fed: federated; Δ: federated - centralized"
        + _limits(points)
        if "certified" in points
        else "A: worst attack AUC (0.5 = chance); R: mean utility retention (raw = 1)\n"
        "cen: centralized; fed: federated; Δ: federated - centralized",
        title_justify="left",
        box=box.SIMPLE_HEAD,  # ten columns fit into 80 characters without lines between them
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    table.add_column("method", overflow="fold")
    certified = "certified" in points
    for name in ("λ", "A cen", "A fed", "ΔA", *(("C cen", "C fed") if certified else ()), "R cen", "R fed", "ΔR"):
        table.add_column(name, justify="right", no_wrap=True)
    mean = over_seeds(points)
    empty = [""] * (2 * certified)
    for row in mean[mean["setting"].isin(["raw", "baseline"])].itertuples():
        dial = "" if row.setting == "raw" else f"σ {row.lam:g}"
        attack, retention = (number.replace("nan", "") for number in (f"{row.attack:.3f}", f"{row.retention:.3f}"))
        table.add_row(str(row.method), dial, attack, "", "", *empty, retention, "", "")
    for row in compare(points).itertuples():
        numbers = [
            f"{getattr(row, f'{value}_{side}'):{sign}.3f}"
            for value in ("attack", *(("certified",) if certified else ()), "retention")
            for side, sign in (("centralized", ""), ("federated", ""), ("difference", "+"))
            if (value, side) != ("certified", "difference")
        ]
        table.add_row(str(row.method), f"{row.lam:g}", *("" if "nan" in number else number for number in numbers))
    return table


def _limits(points: pd.DataFrame) -> str:
    """Return a line with the most retention at each λ; empty where it wasn't measured."""
    limits = points.groupby("lam")["limit"].mean().dropna() if "limit" in points else pd.Series(dtype=float)
    if limits.empty:
        return ""
    at_each = ", ".join(f"{limit:.3f} at λ = {lam:g}" for lam, limit in limits.items())
    return f"\nmost that R could be (each task alone, as much leak between classes): {at_each}"
