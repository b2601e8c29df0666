"""Membership inference: was a person among those who trained the extractor?

The attacker knows for half of the contributors and half of the held-out people which they are, and must tell for the
other half (Shokri et al., S&P 2017, with the strongest possible shadow data: the real thing). It sees representations,
released by the same extractor with fresh noise for both groups; or, white box, with the networks and the person's
record and private value in hand, the losses that the networks give for that record (Yeom et al., CSF 2018).
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import vmap

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Floats, Ints, Records
from fl_tiprdc.evaluation.audit import COLUMNS, Release
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY, majority
from fl_tiprdc.evaluation.scores import resample, score
from fl_tiprdc.hybrid.step import Batch, Groups, HybridStep
from fl_tiprdc.models.channel import draw_noise
from fl_tiprdc.seeding import derive, numpy_generator

KIND = "membership"  # in metrics.csv
REPRESENTATIONS, LOSSES = "representations", "losses"  # targets: what the attacker sees
MOST = 5000  # people of each group
COMPANY = 15  # records, the same for all, that a record's losses are taken together with: bounds contrast records
DRAWS = 4  # of noise, over which a record's losses are averaged
PIECE = 256  # records whose losses are computed at a time


def membership(
    release: Release,
    contributor: Ints,
    held_out: Ints,
    config: AuditConfig,
    losses: tuple[Floats, Floats] | None = None,
) -> pd.DataFrame:
    """Train the panel of attackers to tell contributors from held-out people, test it on others of both.

    Both groups have as many people, so that the level of chance is an AUC and an accuracy of ½.

    Args:
        release: representations of contributors [n, d] and held-out people [m, d].
        contributor: [n] the person a row belongs to.
        held_out: [m], likewise.
        config: the attackers, and resamples for an interval.
        losses: [n, k] and [m, k] of the same records, see `record_losses`; None: no white box.

    Returns:
        Rows of metrics.csv: kind "membership", target "representations" or "losses".
    """
    generator = numpy_generator(release.seed, "membership", release.setting, release.method, str(release.lam))
    seed = derive(release.seed, "membership-attackers", release.setting, release.method, str(release.lam))
    groups = [np.unique(people) for people in (contributor, held_out)]
    count = min(MOST, *(len(people) for people in groups))
    drawn = [generator.permutation(people)[:count] for people in groups]
    learnt = [np.flatnonzero(np.isin(rows, d[: count // 2])) for rows, d in zip((contributor, held_out), drawn)]
    tested = [np.flatnonzero(np.isin(rows, d[count // 2 :])) for rows, d in zip((contributor, held_out), drawn)]
    # people of the two groups are different ones even where their numbers are the same
    people = np.concatenate([2 * contributor[tested[0]], 2 * held_out[tested[1]] + 1])
    weights = resample(people, config.bootstrap, 0)
    seen: Mapping[str, tuple[Floats, Floats]] = {REPRESENTATIONS: (release.contributors, release.held_out)}
    if losses is not None:
        seen = {**seen, LOSSES: losses}
    table: list[dict[str, object]] = []
    for target, sides in seen.items():
        x = np.concatenate([side[rows] for side, rows in zip(sides, learnt)]).astype(np.float32)
        new = np.concatenate([side[rows] for side, rows in zip(sides, tested)]).astype(np.float32)
        member = np.repeat([1, 0], [len(rows) for rows in learnt])[:, None]
        answers = np.repeat([1, 0], [len(rows) for rows in tested])
        for name in (MAJORITY, *config.attackers):
            classifier = majority if name == MAJORITY else CLASSIFIERS[name]
            probabilities = classifier(x, member, [2], new, seed)[0]
            for metric, result in score(answers, probabilities, weights).items():
                where = (release.setting, release.method, release.lam, release.seed, KIND, target, name, metric)
                table.append({**dict(zip(COLUMNS, where, strict=False)), **asdict(result)})
    return pd.DataFrame(table, columns=COLUMNS)


def record_losses(
    step: HybridStep, groups: Groups, records: Records, company: Records, sigma: float, generator: torch.Generator
) -> Floats:
    """What extractor, critic and adversary together lose on each record.

    Args:
        step: the method.
        groups: trained parameters of all three networks.
        records: n of them.
        company: others, held-out ones, of which the first `COMPANY` go into a batch with each record: a bound on
            information contrasts a record with others. Take the same for both groups of people.
        sigma: the channel's noise.
        generator: draws it.

    Returns:
        [n, 3] float32: privacy, information and the adversary's cross-entropy of such batches, means over `DRAWS`
        draws of noise. What the company adds is the same for all records but for its noise, which is drawn once.
    """
    others = torch.tensor(company.x[:COMPANY]), torch.from_numpy(np.array(company.private[:COMPANY]))
    size = 1 + len(others[0])
    with_noise = draw_noise((DRAWS, size - 1, step.d), generator)
    mask, strength = torch.ones(size), torch.tensor(float(sigma))

    def of_one(x: Tensor, u: Tensor, noise: Tensor) -> Tensor:
        batch_x, batch_u = torch.cat([x[None], others[0]]), torch.cat([u[None], others[1]])
        found = []
        for draw in range(DRAWS):
            drawn = torch.cat([noise[draw, None], with_noise[draw]])
            found.append(torch.stack(step.losses(groups, Batch(batch_x, batch_u, mask, drawn), strength)))
        return torch.stack(found).mean(0)

    kept = np.empty((len(records), 3), dtype=np.float32)
    with torch.no_grad():
        for begin in range(0, len(records), PIECE):
            x = torch.tensor(records.x[begin : begin + PIECE])
            u = torch.from_numpy(np.array(records.private[begin : begin + PIECE]))
            noise = draw_noise((len(x), DRAWS, step.d), generator)
            if step.stacks:
                found = vmap(of_one)(x, u, noise)
            else:
                found = torch.stack([of_one(*one) for one in zip(x, u, noise, strict=True)])
            kept[begin : begin + PIECE] = found.numpy()
    return kept
