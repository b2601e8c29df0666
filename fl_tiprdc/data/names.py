"""First names with gender and countries of use: Jörg Michael's nam_dict.txt, 2008, GNU Free Documentation License 1.2.

The file comes with the package gender-guesser (GPLv3), an optional extra: pip install 'fl-tiprdc[names]'.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.attributes import Attributes, drawn_rows
from fl_tiprdc.data.crowd import PADDING, Population
from fl_tiprdc.data.population import build_population, hold_out
from fl_tiprdc.errors import InputError

LONGEST = 16  # characters; nearly all names are shorter
UNCOMMON = 20  # characters in fewer contributors' names than that share a token
OTHER = PADDING + 1  # that token

# the file's columns of frequencies, in its order, by region
COUNTRIES = {
    "Great Britain": "north-west Europe and USA",
    "Ireland": "north-west Europe and USA",
    "USA": "north-west Europe and USA",
    "Italy": "south-west Europe",
    "Malta": "south-west Europe",
    "Portugal": "south-west Europe",
    "Spain": "south-west Europe",
    "France": "south-west Europe",
    "Belgium": "north-west Europe and USA",
    "Luxembourg": "north-west Europe and USA",
    "Netherlands": "north-west Europe and USA",
    "East Frisia": "north-west Europe and USA",
    "Germany": "north-west Europe and USA",
    "Austria": "north-west Europe and USA",
    "Switzerland": "north-west Europe and USA",
    "Iceland": "north-west Europe and USA",
    "Denmark": "north-west Europe and USA",
    "Norway": "north-west Europe and USA",
    "Sweden": "north-west Europe and USA",
    "Finland": "north-west Europe and USA",
    "Estonia": "east Europe",
    "Latvia": "east Europe",
    "Lithuania": "east Europe",
    "Poland": "east Europe",
    "Czech Republic": "east Europe",
    "Slovakia": "east Europe",
    "Hungary": "east Europe",
    "Romania": "east Europe",
    "Bulgaria": "east Europe",
    "Bosnia and Herzegovina": "east Europe",
    "Croatia": "east Europe",
    "Kosovo": "east Europe",
    "Macedonia": "east Europe",
    "Montenegro": "east Europe",
    "Serbia": "east Europe",
    "Slovenia": "east Europe",
    "Albania": "east Europe",
    "Greece": "east Europe",
    "Russia": "east Europe",
    "Belarus": "east Europe",
    "Moldova": "east Europe",
    "Ukraine": "east Europe",
    "Armenia": "west and central Asia",
    "Azerbaijan": "west and central Asia",
    "Georgia": "west and central Asia",
    "Kazakhstan, Uzbekistan, ...": "west and central Asia",
    "Turkey": "west and central Asia",
    "Arabia and Persia": "west and central Asia",
    "Israel": "west and central Asia",
    "China": "south and east Asia",
    "India and Sri Lanka": "south and east Asia",
    "Japan": "south and east Asia",
    "Korea": "south and east Asia",
    "Vietnam": "south and east Asia",
}
REGIONS = tuple(dict.fromkeys(COUNTRIES.values()))
GENDERS = {"M": "male", "1M": "male", "?M": "male", "F": "female", "1F": "female", "?F": "female", "?": "unisex"}
NAME, SORTING, FREQUENCIES = slice(3, 29), 29, slice(30, 30 + len(COUNTRIES))  # places in a line


def _lines() -> list[str]:
    try:
        file = resources.files("gender_guesser") / "data" / "nam_dict.txt"
        text = file.read_text(encoding="utf-8")  # as the file says of itself
    except ModuleNotFoundError:
        raise InputError("data set 'names' needs the package gender-guesser: pip install 'fl-tiprdc[names]'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the names of gender-guesser: {error}") from None
    return text.splitlines()


def read_names(lines: Sequence[str]) -> pd.DataFrame:
    """Return the names in lines of nam_dict.txt, sorted: columns name, gender (male or female), region and frequency.

    - Lines that repeat a name in another sorting (`+` in column 30) and short forms (`=`) are left out.
    - Names are in lower case, with their accents. A `+` in one stands for a hyphen, a space or nothing: it is
      dropped, so that such a name counts once ("Jun+Wei": junwei).
    - Lines of one spelling are one name, as frequent in a country as in the line where it is most frequent.
    - Mostly male and mostly female names count as male and female. A spelling that is unisex (`?`) or of different
      gender in different lines is left out.
    - The region is that of the country where the name is most frequent; of several such countries, the region
      whose countries use it more (sum of shares), then the first in `REGIONS`. Names of no listed country are left
      out.
    - The frequency is the sum of the shares in all countries, in percent. The file gives logarithms to base 2 in
      hexadecimal, 10 for at least 2 percent.

    Raises:
        InputError: no name is left whose gender and country are known.
    """
    genders: dict[str, set[str]] = {}
    levels: dict[str, npt.NDArray[np.int64]] = {}
    for line in lines:
        if not line or line[0] in "#=" or line[SORTING] == "+":
            continue
        # Turkish capital dotted I, of which lower() makes two characters
        name = line[NAME].strip().replace("+", "").replace("İ", "i").lower()
        frequencies = np.array([int(digit, 16) if digit != " " else 0 for digit in line[FREQUENCIES]])
        genders.setdefault(name, set()).add(GENDERS[line[:2].strip()])
        levels[name] = np.maximum(levels[name], frequencies) if name in levels else frequencies
    names = sorted(name for name, said in genders.items() if said in ({"male"}, {"female"}) and levels[name].any())
    if not names:
        raise InputError("the file of names has none whose gender and country are known")
    level = np.stack([levels[name] for name in names])
    share = np.where(level > 0, 2.0 ** (level - 9), 0)  # level 10: 2 percent
    place = np.array([REGIONS.index(region) for region in COUNTRIES.values()])
    top = np.stack([level[:, place == r].max(1) for r in range(len(REGIONS))], axis=1)
    total = np.stack([share[:, place == r].sum(1) for r in range(len(REGIONS))], axis=1)
    region = np.where(top == top.max(1, keepdims=True), total, -1).argmax(1)
    return pd.DataFrame(
        {
            "name": names,
            "gender": [next(iter(genders[name])) for name in names],
            "region": np.array(REGIONS)[region],
            "frequency": share.sum(1),
        }
    )


@cache
def _names() -> pd.DataFrame:
    return read_names(_lines())


def tokens(names: Sequence[str], known: np.ndarray) -> tuple[npt.NDArray[np.int32], int]:
    """Return names as tokens of characters, [n, T] int32, and the number of tokens.

    0 is padding, 1 a character that fewer than `UNCOMMON` names of contributors have, the others follow in the
    order of Unicode. T is the longest name of a contributor, `LONGEST` at most; longer names are cut.

    Args:
        names: to be written in tokens.
        known: [n] bool, true for contributors.
    """
    mine = [name for name, own in zip(names, known, strict=True) if own]
    counts = Counter(character for name in mine for character in set(name))
    common = sorted(character for character, count in counts.items() if count >= UNCOMMON)
    token = {character: OTHER + 1 + i for i, character in enumerate(common)}
    longest = min(max(map(len, mine)), LONGEST)
    x = np.full((len(names), longest), PADDING, dtype=np.int32)
    for row, name in zip(x, names, strict=True):
        cut = name[:longest]
        row[: len(cut)] = [token.get(character, OTHER) for character in cut]
    return x, OTHER + 1 + len(common)


def load_names(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load the names: x [n, T] int32, see `tokens`; what counts as a name: see `read_names`. A name is a person.

    Attributes, private or tasks:
        gender: female or male. Private unless others are named.
        region: one of `REGIONS`, where the name is most frequent.
        frequency: over all countries; split at the contributors' median.

    Args:
        config: `tasks` (default: region, frequency, or gender if that is not hidden), `records`.
        private: attributes to hide.
        held_out: share of the names that contribute nothing.

    Raises:
        InputError: gender-guesser is not installed, an attribute is unknown or both private and a task, or no task
            is left.
    """
    frame = _names()
    frame = frame.iloc[drawn_rows(len(frame), config)].reset_index(drop=True)
    attributes = Attributes(frame[["gender", "region", "frequency"]], ("region", "frequency", "gender"))
    hidden = attributes.private(private)
    tested = hold_out(np.arange(len(frame)), held_out, attributes.columns())
    known = ~tested
    tasks = attributes.labels(private, config, known)
    x, vocabulary = tokens(frame["name"].tolist(), known)
    return build_population(lambda _: (x, ()), hidden, tasks, None, held_out, "text", vocabulary, tested)
