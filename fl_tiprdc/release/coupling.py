"""Couplings by optimal transport, which decide how often each class of people uses each of the common codes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from fl_tiprdc.data.crowd import Floats
from fl_tiprdc.errors import InputError
from fl_tiprdc.release.codes import Values, softmax_rows

UPDATES = 20  # moves of the barycenter's codewords
SINKHORN = 10  # iterations of each transport while codewords move
SETTLING = 300  # iterations of the last transport
DAMPING = 0.1  # of Newton's steps, as a share of the Hessian's diagonal
LONGEST_STEP = 2.0  # of a potential in one update, in units of the temperature
LEAST_EXPONENT = -87.0  # of e, whose power is a normal number in float32
SOFTEST = 10.0  # temperature of the first transport, in units of the last transport's


def squared_distances(points: npt.NDArray[np.floating], others: npt.NDArray[np.floating]) -> Values:
    """Return the squared Euclidean distances [n, m] from points [n, d] to others [m, d]."""
    import ot  # slow to import, and clients of a federation don't need it

    distances: Values = ot.dist(points.astype(np.float64), others.astype(np.float64))
    return distances


class CapExponents(TorchFunctionMode):
    """Give torch's logarithms of sums of exponentials the same bits in a tenth of the time.

    MKL, which torch calls, takes 50 times as long for an exponential that underflows. Beside the largest one, which is
    1, such a term changes no sum; here it is the smallest one that doesn't underflow.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return (_log_sum_exp if func is torch.logsumexp else func)(*args, **(kwargs or {}))


def _log_sum_exp(values: Tensor, dim: int, keepdim: bool = False) -> Tensor:
    largest = values.amax(dim, keepdim=True)
    sums = (values - largest).clamp_(min=LEAST_EXPONENT).exp_().sum(dim, keepdim=True).log_() + largest
    return sums if keepdim else sums.squeeze(dim)


def common_codewords(
    cells: list[Values], shares: list[Values], codes: int, temperature: float, seed: int
) -> tuple[Floats, Values]:
    """Find codewords that all classes can use in equal shares at little distortion: a Wasserstein barycenter.

    The barycenter has equal weights and a free support (Cuturi & Doucet 2014, algorithm 2): every class's cells are
    transported onto the codewords, and each codeword moves to the mean of what it received. The transports have an
    entropy term that falls to `temperature`, so that codewords can at first move far.

    Args:
        cells: [M, d] for each group.
        shares: [M] for each group, shares of its people in each cell; they sum to 1.
        codes: number of codewords, K.
        temperature: entropy term of the last transport, in squared distance; smaller distorts less and settles later.
        seed: seed of the k-means from which codewords start.

    Returns:
        Codewords [K, d], and the potentials [groups, K] with which each group uses them in equal shares.
    """
    import ot  # slow to import, and clients of a federation don't need it
    from sklearn.cluster import KMeans

    # POT computes in the arrays' library: torch's logarithms of sums in float32 take a fifth of numpy's time
    start = KMeans(codes, n_init=1, random_state=seed % 2**32).fit(
        np.concatenate(cells), sample_weight=np.concatenate(shares) + 1e-12
    )
    codewords = start.cluster_centers_
    equal = torch.full((codes,), 1 / codes)
    duals: list[tuple[Tensor, Tensor] | None] = [None] * len(cells)
    for done in range(UPDATES + 1):
        last = done == UPDATES
        softness = temperature * SOFTEST ** max(0.0, 1 - done / (0.8 * UPDATES))
        moved = np.zeros_like(codewords)
        for g, (points, share) in enumerate(zip(cells, shares, strict=True)):
            with CapExponents():
                plan, log = ot.sinkhorn(
                    torch.tensor(np.maximum(share, 1e-9) / np.maximum(share, 1e-9).sum(), dtype=torch.float32),
                    equal,
                    torch.tensor(squared_distances(points, codewords), dtype=torch.float32),
                    softness,
                    method="sinkhorn_log",
                    numItermax=SETTLING if last else SINKHORN,
                    warmstart=duals[g],
                    warn=False,
                    log=True,
                )
            moved += plan.numpy().T @ points
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
    """Return a group's potentials [K] after a damped Newton step that brings its shares of codes nearer to `wanted`.

    The dual problem's Hessian is computed on the group's k-means cells, which stand for its records.

    Args:
        potentials: [K] before the step.
        shares: [K] in which the group's records use the codes with these potentials.
        wanted: [K] shares in which they should use them.
        cells: [M, d] of the group.
        weights: [M] shares of the group's people in each cell.
        codewords: [K, d].
        softness: temperature of the assignment, in squared distance.
    """
    probabilities = softmax_rows((potentials - squared_distances(cells, codewords)) / softness)
    hessian = np.diag((1 + DAMPING) * np.maximum(shares, 1e-9)) - probabilities.T @ (weights[:, None] * probabilities)
    # cells only stand for records, so that an eigenvalue may be negative: Gershgorin's bound keeps the step a descent
    excess = np.abs(hessian).sum(1) - 2 * np.diag(hessian)
    hessian[np.diag_indices_from(hessian)] += np.maximum(excess + DAMPING * np.maximum(shares, 1e-9), 0)
    step = np.linalg.solve(hessian, wanted - shares)
    moved: Values = potentials + softness * np.clip(step, -LONGEST_STEP, LONGEST_STEP)
    return moved


def leftovers(shares: Values, wanted: Values) -> tuple[Values, Values]:
    """Return how the fewest people of a group change codes, so that its `shares` [K] become those `wanted` [K].

    Returns:
        The share [K] of each code's people who keep it, and the shares [K] in which all others are spread over codes.
    """
    keep = np.minimum(1, wanted / np.maximum(shares, 1e-12))
    missing = np.maximum(wanted - shares, 0)
    total = missing.sum()
    return keep, missing / total if total > 0 else wanted / wanted.sum()


def class_free_plan(shares: Values, distances: Values, weights: Values, allowed: Values) -> Values:
    """Find the change of codes that makes classes use them alike at the least distortion, by a linear program.

        min Σ_m w_m Q_mc D_mc    subject to   Σ_c Q_mc = 1,   ½ Σ_c |Σ_m (p_gm - p̄_m) Q_mc| <= t_g for every group g

    Args:
        shares: [groups, M] of each group's people in each cell.
        distances: [M, K] from cells to codewords.
        weights: [M] shares of all people in each cell.
        allowed: [groups] total variation t_g by which a group's codes may differ from the mean of all groups.

    Returns:
        The plan Q [M, K], P(code | cell).

    Raises:
        InputError: the solver found no plan.
    """
    from scipy.optimize import linprog  # slow to import, and clients of a federation don't need it
    from scipy.sparse import csr_array, hstack, identity, kron, vstack

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
    normalized: Values = plan / plan.sum(1, keepdims=True)
    return normalized
