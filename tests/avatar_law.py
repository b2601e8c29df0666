"""The exact law of the avatars, which samples of them and bounds are held to."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.avatars import VALUES, choose_attributes


def joint_distribution(private: Sequence[str], config: DataConfig) -> npt.NDArray[np.float64]:
    """Return exact probabilities of all attributes together: [2] * 5, axes in the order of `VALUES`; sums to 1.

    Each attribute is a fair coin. The first private one and the first task have the correlation of `config`, all
    others are independent of each other and of these two.

    Raises:
        InputError: as `choose_attributes`.
    """
    first, second = choose_attributes(private, config.tasks)
    bits = np.indices((2,) * len(VALUES))
    names = list(VALUES)
    same = bits[names.index(first)] == bits[names.index(second)]
    agree = (1 + config.correlation) / 2  # of two fair coins with that correlation
    law = np.where(same, agree, 1 - agree) * 2.0 ** (1 - len(VALUES))
    return law


def information_bits(config: DataConfig) -> float:
    """Return the exact mutual information of the first private attribute with the first task, in bits.

    1 - h((1 + r) / 2) for a correlation r, with h the entropy of a coin: 0 for 0, 1 for -1 and 1.
    """
    agree = (1 + config.correlation) / 2
    return 1 + sum(p * float(np.log2(p)) for p in (agree, 1 - agree) if p > 0)
