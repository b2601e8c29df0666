"""The privacy budget that differentially private training has spent: ε for a δ, by an accountant of opacus.

Rényi differential privacy of the Poisson-subsampled Gaussian mechanism (Mironov et al. 2019, arXiv 1908.10530),
composed over exchanges and turned into ε. What it assumes, and why that holds, is told in
`strategies.differential_privacy`.

The trainings of a sweep learn from the same clients, so that whoever sees several of their models has seen all of their
exchanges: ε composes over points, seeds too. A sweep of ten points costs much more than one, whichever is kept.

Sampling amplifies against who doesn't know the coins. With secure aggregation those drawn are told who else was: to a
client, or whoever works with one, ε is that of as many exchanges with everybody. Both are told.

ε is about the trained networks and all sums on the way. It isn't about what clients publish afterwards (the channel's
noise bounds that), and not about what is taken to be known before: sizes of clients, shares of the private classes,
means and scales of the features.
"""

import math
import warnings
from importlib.util import find_spec

import pandas as pd

from fl_tiprdc.config import ProtectionConfig
from fl_tiprdc.errors import InputError

POINT = ["method", "lam", "seed"]
MORE_ORDERS = [128, 256, 512, 1024]  # beside the usual ones, for much noise


def check_accountant() -> None:
    """Check that opacus is there.

    Raises:
        InputError: it isn't.
    """
    if find_spec("opacus") is None:
        raise InputError("differential privacy needs opacus: pip install -e '.[dp]'")


def epsilon(noise: float, samplings: list[tuple[float, int]], delta: float) -> float:
    """Return ε of exchanges with one noise multiplier: (probability that a client is drawn, number of exchanges)."""
    if not samplings:
        return 0.0
    from opacus.accountants import RDPAccountant  # takes seconds to import

    accountant = RDPAccountant()
    accountant.history = [(noise, sampling, count) for sampling, count in samplings]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of orders at the end of the range: the bound holds at every order
        usual = accountant.DEFAULT_ALPHAS
        return float(accountant.get_epsilon(delta, alphas=[*usual, *MORE_ORDERS]))


def _samplings(rounds: pd.DataFrame) -> list[tuple[float, int]]:
    return [(float(str(sampling)), len(exchanges)) for sampling, exchanges in rounds.groupby("sampling")]


def _told(value: float) -> float | None:
    """Return a number rounded for JSON; None: infinite."""
    return round(value, 4) if math.isfinite(value) else None


def privacy_budget(protection: ProtectionConfig, rounds: pd.DataFrame) -> dict[str, object]:
    """Return what summary.json says of differential privacy; empty without noise.

    Args:
        protection: the settings.
        rounds: rows of rounds.csv.
    """
    if not protection.noise or "sampling" not in rounds:
        return {}
    private = rounds[rounds["sampling"] > 0]
    points = [
        {
            **dict(zip(POINT, point, strict=True)),
            "exchanges": len(exchanges),
            "epsilon": _told(epsilon(protection.noise, _samplings(exchanges), protection.delta)),
        }
        for point, exchanges in private.groupby(POINT, sort=False)
    ]
    everybody = [(1.0, len(private))] if len(private) else []
    return {
        "accountant": "rdp",
        "unit": "all records of a client",
        "noise": protection.noise,
        "clip": protection.clip,
        "delta": protection.delta,
        "sampling": float(private["sampling"].max()),
        "points": points,
        "epsilon_of_all_points": _told(epsilon(protection.noise, _samplings(private), protection.delta)),
        **(
            {"epsilon_to_members": _told(epsilon(protection.noise, everybody, protection.delta))}
            if protection.secagg
            else {}
        ),
    }


def budget_lines(budget: dict[str, object]) -> list[str]:
    """Return the closing lines of a run: ε of each training, and of all together."""
    points = budget.get("points")
    if not isinstance(points, list) or not points:
        return []
    bounds = sorted({math.inf if point["epsilon"] is None else float(point["epsilon"]) for point in points})
    span = f"{bounds[0]:.4g}" if len(bounds) == 1 else f"{bounds[0]:.4g} to {bounds[-1]:.4g}"
    lines = [
        f"differential privacy of a client's records: ε = {span} for δ = {budget['delta']:g} in each training "
        f"(noise {budget['noise']:g}, {max(point['exchanges'] for point in points)} exchanges, "
        f"drawn with probability {budget['sampling']:.3g} at most)"
    ]
    if len(points) > 1:
        of_all = budget["epsilon_of_all_points"]
        together = math.inf if of_all is None else float(str(of_all))
        lines.append(f"ε = {together:.4g} for whoever sees the models of all {len(points)} trainings")
    if "epsilon_to_members" in budget:
        to_members = budget["epsilon_to_members"]
        members_bound = math.inf if to_members is None else float(str(to_members))
        lines.append(f"ε = {members_bound:.4g} to clients, who are told by secure aggregation who else was drawn")
    return lines
