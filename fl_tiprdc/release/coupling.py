"""Couplings by optimal transport: which of the common codes each class of people uses, and how often."""

import numpy as np
import numpy.typing as npt
import ot
import torch
from scipy.optimize import linprog
from scipy.sparse import csr_array, hstack, identity, kron, vstack
from scipy.special import softmax
from sklearn.cluster import KMeans
from torch import Tensor

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.errors import InputError
from fl_tiprdc.release.codes import Values

UPDATES = 20  # of the barycentre
SINKHORN = 10  # iterations of each transport while codewords move
SETTLING = 300  # iterations of the last one
DAMPING = 0.1  # of Newton's steps, as a share of the Hessian's diagonal
LONGEST_STEP = 2.0  # of a potential, in units of the temperature
SOFTEST = 10.0  # temperature of the first transport, in units of the last one's


def squared_distances(points: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> Values:
    """Return squared Euclidean distances [n, m]."""
    distances: Values = ot.dist(points.astype(np.float64), others.astype(np.float64))
    return distances


def common_codewords(
    cells: list[Values], shares: list[Values], codes: int, temperature: float, seed: int
) -> tuple[Floats, Values]:
    """Find codewords that all classes can use in equal shares at little distortion: a Wasserstein barycentre.

    Its support is free and its weights are equal (Cuturi & Doucet 2014, algorithm 2): transport every class's cells
    onto the codewords, move each codeword to the mean of what it got, repeat. Transports have an entropy term, which is
    lowered to `temperature` on the way, so that early codewords see more than their neighbourhood.

    Args:
        cells: of each group [M, d].
        shares: of each group [M], of its people in each cell; sums to 1.
        codes: K.
        temperature: of the last transport, in squared distance.
        seed: of the codewords to begin with.

    Returns:
        Codewords [K, d], and potentials [groups, K] by which each group's points come to use them in equal shares.
    """
    # POT computes in the arrays' library: torch's logarithms of sums in float32 take a fifth of numpy's time
    begin = KMeans(codes, n_init=1, random_state=seed % 2**32).fit(
        np.concatenate(cells), sample_weight=np.concatenate(shares) + 1e-12
    )
    codewords = begin.cluster_centers_
    equal = torch.full((codes,), 1 / codes)
    duals: list[tuple[Tensor, Tensor] | None] = [None] * len(cells)
    for done in range(UPDATES + 1):
        last = done == UPDATES
        softness = temperature * SOFTEST ** max(0.0, 1 - done / (0.8 * UPDATES))
        moved = np.zeros_like(codewords)
        for g, (own, share) in enumerate(zip(cells, shares, strict=True)):
            plan, log = ot.sinkhorn(
                torch.tensor(np.maximum(share, 1e-9) / np.maximum(share, 1e-9).sum(), dtype=torch.float32),
                equal,
                torch.tensor(squared_distances(own, codewords), dtype=torch.float32),
                softness,
                method="sinkhorn_log",
                numItermax=SETTLING if last else SINKHORN,
                warmstart=duals[g],
                warn=False,
                log=True,
            )
            moved += plan.numpy().T @ own
            duals[g] = (log["log_u"], log["log_v"])
        if not last:
            codewords = moved * codes / len(cells)
    potentials = np.stack([temperature * dual[1].double().numpy() for dual in duals if dual is not None])
    return codewords.astype(np.float32), potentials - potentials.mean(1, keepdims=True)


def better_potentials(
    potentials: Values,
    shares: Values,
    wanted: Values,
    cells: Values,
    weights: Values,
    codewords: Floats,
    softness: float,
) -> Values:
    """Move a group's potentials [K] so that its shares of codes come nearer to `wanted`: a damped Newton step.

    The Hessian of the dual problem is that of the group's k-means cells, which stand for its records.

    Args:
        potentials: [K] with which the group's records use codes in `shares` [K].
        shares: see there.
        wanted: [K].
        cells: [M, d] of the group.
        weights: [M] shares of its people in each.
        codewords: [K, d].
        softness: temperature of the assignment.
    """
    chances = softmax((potentials - squared_distances(cells, codewords)) / softness, axis=1)
    hessian = np.diag((1 + DAMPING) * np.maximum(shares, 1e-9)) - chances.T @ (weights[:, None] * chances)
    # where cells and records disagree, an eigenvalue may be negative: Gershgorin's bound keeps the step a descent
    excess = np.abs(hessian).sum(1) - 2 * np.diag(hessian)
    hessian[np.diag_indices_from(hessian)] += np.maximum(excess + DAMPING * np.maximum(shares, 1e-9), 0)
    step = np.linalg.solve(hessian, wanted - shares)
    moved: Values = potentials + softness * np.clip(step, -LONGEST_STEP, LONGEST_STEP)
    return moved


def leftovers(shares: Values, wanted: Values) -> tuple[Values, Values]:
    """Say how a group that uses codes in `shares` [K] comes to use them as `wanted` [K], moving the fewest people.

    Returns:
        Share [K] of each code's people who keep it, and where all others go [K].
    """
    keep = np.minimum(1, wanted / np.maximum(shares, 1e-12))
    missing = np.maximum(wanted - shares, 0)
    total = missing.sum()
    return keep, missing / total if total > 0 else wanted / wanted.sum()


def class_free_plan(shares: Values, distances: Values, weights: Values, allowed: Values) -> Values:
    """Find how codes of x alone are changed for classes to use them alike: the least distortion by a linear programme.

        min Σ_m w_m Q_mc D_mc    subject to   Σ_c Q_mc = 1,   ½ Σ_c |Σ_m (p_gm - p̄_m) Q_mc| <= t_g for every group g

    Args:
        shares: [groups, M] of each group's people in each cell.
        distances: [M, K] from cells to codewords.
        weights: [M] of all people.
        allowed: [groups] the distance t_g in total variation of a group's codes from the mean of all groups.

    Returns:
        Q [M, K].

    Raises:
        InputError: the solver found no plan.
    """
    groups, cells = shares.shape
    codes = distances.shape[1]
    apart = shares - shares.mean(0)
    rows = kron(identity(cells), np.ones((1, codes)), format="csr")
    equal = hstack([rows, csr_array((cells, groups * codes))], format="csr")
    pieces = [kron(apart[g : g + 1], identity(codes), format="csr") for g in range(groups)]
    signed = vstack(pieces, format="csr")
    slack = identity(groups * codes, format="csr")
    sums = kron(identity(groups), np.ones((1, codes)), format="csr")
    upper = vstack(
        [hstack([signed, -slack]), hstack([-signed, -slack]), hstack([csr_array((groups, cells * codes)), sums])],
        format="csr",
    )
    limits = np.concatenate([np.zeros(2 * groups * codes), 2 * allowed + 1e-9])
    cost = np.concatenate([(weights[:, None] * distances).reshape(-1), np.zeros(groups * codes)])
    solved = linprog(cost, upper, limits, equal, np.ones(cells), method="highs-ipm")
    if solved.x is None:
        raise InputError(f"no coupling was found for codes of x alone: {solved.message}")
    plan = np.maximum(solved.x[: cells * codes].reshape(cells, codes), 0)
    normalised: Values = plan / plan.sum(1, keepdims=True)
    return normalised
