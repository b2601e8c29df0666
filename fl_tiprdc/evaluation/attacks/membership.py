"""Membership inference: was a person among those who trained the extractor?

The attacker knows for half of the contributors and half of the held-out people which they are, and must tell for the
other half (Shokri et al., S&P 2017, with the strongest possible shadow data: the real thing). It sees representations,
released by the same extractor with fresh noise for both groups; or, white box, with the networks and the person's
record and private value in hand, the losses that the networks give for that record (Yeom et al., CSF 2018).
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import vmap

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Floats, Ints, Records
from fl_tiprdc.evaluation.audit import AuditedRelease
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, MAJORITY, majority
from fl_tiprdc.evaluation.metric_rows import MetricRow, metric_rows, metrics_table
from fl_tiprdc.evaluation.scores import resample, score
from fl_tiprdc.hybrid.step import Batch, Groups, HybridStep
from fl_tiprdc.release.channel import draw_noise
from fl_tiprdc.seeding import derive, numpy_generator, torch_generator

KIND = "membership"  # in metrics.csv
REPRESENTATIONS, LOSSES = "representations", "losses"  # targets: what the attacker sees
PEOPLE_OF_A_GROUP = 5000  # people of each group
COMPANY = 15  # records, the same for all, that a record's losses are taken together with: bounds contrast records
DRAWS = 4  # of noise, over which a record's losses are averaged
RECORDS_AT_ONCE = 256  # records whose losses are computed at a time
NUMBERS_AT_ONCE = 2**15  # of their x, at most
WHITE_BOX = 500  # records of each group whose losses are computed: each takes `DRAWS` batches of its own
NUMBERS, FEWEST = 2**19, 100  # in the x of these records together, at most; but never fewer records than `FEWEST`
WIDEST_RECORD = 2**14  # numbers in a record: the losses of wider ones take too long


def membership(
    release: AuditedRelease,
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
    place = (release.setting, release.method, str(release.lam))
    seed = derive(release.seed, "membership-attackers", *place)
    seen: Mapping[str, tuple[Floats, Floats]] = {REPRESENTATIONS: (release.contributors, release.held_out)}
    if losses is not None:
        seen = {**seen, LOSSES: losses}
    table: list[MetricRow] = []
    for target, sides in seen.items():
        generator = numpy_generator(release.seed, "membership", target, *place)
        (x, member, _), (new, answers, people) = _halves(sides, (contributor, held_out), generator)
        weights = resample(people, config.bootstrap, 0)
        for name in (MAJORITY, *(name for name in config.attackers if name in CLASSIFIERS)):
            classifier = majority if name == MAJORITY else CLASSIFIERS[name]
            probabilities = classifier(x, member[:, None], [2], new, seed)[0]
            table += metric_rows(release.point, KIND, target, name, score(answers, probabilities, weights))
    return metrics_table(table)


Half = tuple[Floats, Ints, Ints]  # numbers [n, k], 1 for a member [n], person [n]


def _halves(
    sides: tuple[Floats, Floats], people: tuple[Ints, Ints], generator: np.random.Generator
) -> tuple[Half, Half]:
    """Return what the attacker learns from and what it is tested on: other people, as many of each group in both."""
    usable = [np.isfinite(side).all(1) for side in sides]
    groups = [np.unique(who[rows]) for who, rows in zip(people, usable, strict=True)]
    count = min(PEOPLE_OF_A_GROUP, *(len(group) for group in groups))
    drawn = [generator.permutation(group)[:count] for group in groups]

    def half(part: slice) -> Half:
        rows = [
            np.flatnonzero(good & np.isin(who, some[part]))
            for who, good, some in zip(people, usable, drawn, strict=True)
        ]
        x = np.concatenate([side[some] for side, some in zip(sides, rows, strict=True)]).astype(np.float32)
        member = np.repeat([1, 0], [len(some) for some in rows])
        # people of the two groups are different ones even where their numbers are the same
        return x, member, np.concatenate([2 * people[0][rows[0]], 2 * people[1][rows[1]] + 1])

    return half(slice(0, count // 2)), half(slice(count // 2, None))


def record_losses(
    step: HybridStep, groups: Groups, contributors: Records, held_out: Records, sigma: float, seed: int
) -> tuple[Floats, Floats]:
    """Return what extractor, critic and adversary each lose on each record.

    A bound on information contrasts a record with others, so each record is taken together with the first `COMPANY`
    held-out ones, whose noise is the same for all. Those themselves get NaN, and `membership` leaves them out.

    Args:
        step: the method.
        groups: trained parameters of all three networks.
        contributors: n records.
        held_out: m records, more than `COMPANY`.
        sigma: the channel's noise.
        seed: of the noise.

    Returns:
        [n, 3] and [m, 3] float32: privacy, information and the adversary's cross-entropy of each record in its
        company, means over `DRAWS` draws of noise.
    """
    company = torch.tensor(held_out.x[:COMPANY]), torch.from_numpy(np.array(held_out.private[:COMPANY]))
    shared = draw_noise((DRAWS, COMPANY, step.d), torch_generator(seed, "membership-company"))
    piece = max(1, min(RECORDS_AT_ONCE, NUMBERS_AT_ONCE // step.description.width))
    mask, strength = torch.ones(1 + COMPANY), torch.tensor(float(sigma))

    def of_one(x: Tensor, u: Tensor, noise: Tensor) -> Tensor:
        batch_x, batch_u = torch.cat([x[None], company[0]]), torch.cat([u[None], company[1]])
        losses = []
        for draw in range(DRAWS):
            drawn = torch.cat([noise[draw, None], shared[draw]])
            losses.append(torch.stack(step.losses(groups, Batch(batch_x, batch_u, mask, drawn), strength)))
        return torch.stack(losses).mean(0)

    def of_all(records: Records, name: str) -> Floats:
        generator = torch_generator(seed, "membership-noise", name)
        kept = np.empty((len(records), 3), dtype=np.float32)
        for begin in range(0, len(records), piece):
            x = torch.tensor(records.x[begin : begin + piece])
            u = torch.from_numpy(np.array(records.private[begin : begin + piece]))
            noise = draw_noise((len(x), DRAWS, step.d), generator)
            if step.stacks != "never":
                losses = vmap(of_one)(x, u, noise)
            else:
                losses = torch.stack([of_one(*record) for record in zip(x, u, noise, strict=True)])
            kept[begin : begin + piece] = losses.numpy()
        return kept

    with torch.no_grad():
        both = of_all(contributors, "contributors"), of_all(held_out, "held-out")
    both[1][:COMPANY] = np.nan
    return both


def white_box_records(step: HybridStep) -> int:
    """Return of how many records a group losses are computed: fewer of wide ones, 0 where it would take too long.

    Networks that don't stack take a pass for each record.
    """
    width = step.description.width
    if step.stacks == "never" or width > WIDEST_RECORD:
        return 0
    return int(np.clip(NUMBERS // width, FEWEST, WHITE_BOX))


def sampled_losses(
    step: HybridStep,
    groups: Groups,
    contributors: Records,
    held_out: Records,
    sigma: float,
    seed: int,
    rows: Ints | None = None,
) -> tuple[Floats, Floats]:
    """Return losses of `white_box_records` records of each group, drawn at random; others NaN: [n, 3] and [m, 3].

    `rows` [n]: which of the contributors' records are looked at, in this order; None: all.
    """
    generator = numpy_generator(seed, "membership-white-box")
    everybody = np.arange(len(contributors)) if rows is None else rows
    company, rest = np.split(np.arange(len(held_out)), [COMPANY])
    most = white_box_records(step)
    mine = np.sort(generator.permutation(len(everybody))[:most])
    theirs = np.concatenate([company, np.sort(generator.permutation(rest)[:most])])
    losses = record_losses(step, groups, _some(contributors, everybody[mine]), _some(held_out, theirs), sigma, seed)
    spread = np.full((len(everybody), 3), np.nan, np.float32), np.full((len(held_out), 3), np.nan, np.float32)
    spread[0][mine], spread[1][theirs] = losses
    return spread


def _some(records: Records, rows: Ints) -> Records:
    return Records(records.x[rows], records.private[rows])
