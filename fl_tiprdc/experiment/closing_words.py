"""The result of a run in words: what an attacker gets, what tasks keep, what is certified, what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from fl_tiprdc.config import Point
from fl_tiprdc.experiment.outcome import release_folder

TRAINED = ("federated", "centralized")  # the first that a run has is told


def closing_words(points: pd.DataFrame, private: Sequence[str]) -> list[str]:
    """Return a line for each method at its largest λ: means over seeds, and the worst seed's bound.

    Args:
        points: as of `summarize_points`; nothing measured has no line.
        private: names of the private attributes.
    """
    if points.empty:
        return []
    raw = points.loc[points["setting"] == "raw", "attack"].mean()
    told = [setting for setting in TRAINED if (points["setting"] == setting).any()][:1]
    lines: list[str] = []
    for (setting, method), rows in points[points["setting"].isin(told)].groupby(["setting", "method"], sort=False):
        strictest = rows[rows["lam"] == rows["lam"].max()]
        coded = "exact" in rows and strictest["exact"].notna().all()
        attack = strictest["attack"].mean()
        if pd.isna(attack):
            continue
        attacker = "the best attack, the exact one included," if coded else "the best attacker of the panel"
        text = f"{setting} {method}, λ = {strictest['lam'].iloc[0]:g}: {attacker} tells {' and '.join(private)} with "
        text += f"an AUC of {attack:.3f} (0.5 is chance" + (")" if pd.isna(raw) else f", raw data give {raw:.3f})")
        if pd.notna(kept := strictest["retention"].mean()):
            text += f"; unknown tasks keep {100 * kept:.0f} % of raw data's advantage over chance"
        if not coded:
            text += "; no bound covers attackers that nobody has tried"
        elif strictest["certified"].notna().all():
            text += f"; certified: no attacker gets more than {strictest['certified'].max():.3f}"
        lines.append(f"{text}.")
    return lines


def next_steps(folder: Path, points: pd.DataFrame) -> list[str]:
    """Return what to do with a finished run's folder."""
    lines = [f"next: open {folder / 'report.html'}"] if (folder / "report.html").is_file() else []
    certified = points[points["certified"].notna()] if "certified" in points else points.iloc[:0]
    certified = certified[certified["setting"] == "federated"]
    if len(certified):
        last = certified.sort_values("lam", kind="stable").iloc[-1]
        point = Point(last["method"], last["lam"], last["seed"])
        published = release_folder(folder / "publication", "federated", point)
        lines.append(f"check what is published: fl-tiprdc audit {shlex.quote(str(published))}")
    return lines
