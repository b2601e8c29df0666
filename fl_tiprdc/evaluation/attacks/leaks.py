"""The attack with few labeled records.

The audit's attackers learn from every contributor's private value: the worst case. Real attackers hold the labels of
those that have leaked, a hundred or a thousand, and this is what they get from as many.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth, audit
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.subgroups import GROUP_ACCURACY
from fl_tiprdc.seeding import numpy_generator

KIND, UNIT = "leaks", "leaks"  # in metrics.csv; the target is the private attribute
SIZES = (100, 1000, 10_000)  # and all
DRAWS = 3  # of whose records leak
FEW = 1000  # leaks; who has more depends little on whose they are, and one draw does


def leaks(
    release: AuditedRelease,
    known: Truth,
    unknown: Truth,
    config: AuditConfig,
    audited: pd.DataFrame | None = None,
    sizes: Sequence[int] = SIZES,
) -> pd.DataFrame:
    """Train the panel of attackers on ever more contributors' records, test it on held-out people.

    A draw is an order in which records leak: who leaks among a hundred does so among a thousand as well.

    Args:
        release: the representations.
        known: ground truth of the contributors' rows.
        unknown: ground truth of the held-out rows.
        config: the attackers, and how many records there are at most to learn from.
        audited: what the audit found of this release, which is what all leaks together give; None: find it here.
        sizes: numbers of leaks to try, beside all; those that aren't below it are left out.

    Returns:
        Rows of metrics.csv: kind "leaks", target the private attribute, at a level of n leaks. Values are means over
        draws, of those in which people of more than one class leak; intervals reach from the lowest to the highest end
        of the draws' intervals.
    """
    config = config.model_copy(update={"probes": ()})
    everything = min(config.attack_records or len(release.contributors), len(release.contributors))
    if audited is None:
        audited = audit(release, known, unknown, config)
    tables_of_size = {everything: [audited[audited["kind"] == "attack"]]}
    place = (release.setting, release.method, str(release.lam))
    for draw in range(DRAWS):
        order = numpy_generator(release.seed, "leaks", draw, *place).permutation(len(release.contributors))
        for size in sizes:
            if size < everything and (draw == 0 or size <= FEW):
                rows = np.sort(order[:size])
                clean = None if release.clean is None else release.clean[rows]
                part = replace(release, contributors=release.contributors[rows], clean=clean)
                leaked = replace(known.take(rows), tasks={})
                tables_of_size.setdefault(size, []).append(audit(part, leaked, unknown, config, known))
    tables = [_over_draws(tables_of_size[size], size) for size in sorted(tables_of_size)]
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _over_draws(tables: Sequence[pd.DataFrame], size: int) -> pd.DataFrame:
    together = pd.concat(tables)
    together = together[together["metric"] != GROUP_ACCURACY].assign(kind=KIND, level=size, unit=UNIT)
    together = together.astype({"level": "Int64"})
    names = COLUMNS[: COLUMNS.index("value")]
    return together.groupby(names, sort=False, as_index=False).agg(
        value=("value", "mean"), low=("low", "min"), high=("high", "max")
    )
