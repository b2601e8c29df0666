"""Dialectal tweets (Blodgett et al. 2016) as prepared by Elazar & Goldberg (2018) and used by TIPRDC's authors.

The preparation (`make_data.py ... mention race` of demog-text-removal) writes four files of tweets and `vocab`, one
word a line. It numbers words from 0 in the order of `vocab`; here 0 fills tweets up, so every number grows by one.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from fl_tiprdc.config import DataConfig
from fl_tiprdc.data.crowd import PADDING, Population
from fl_tiprdc.data.official_files import FLAGS, OfficialFolder, choose_tasks, sample_people
from fl_tiprdc.data.population import build_population
from fl_tiprdc.errors import InputError

ORIGIN = "http://slanglab.cs.umass.edu/TwitterAAE/, and prepare it with https://github.com/yanaiela/demog-text-removal"
VOCABULARY = "vocab"
FILES = {"pos_pos": (1, 1), "pos_neg": (1, 0), "neg_pos": (0, 1), "neg_neg": (0, 0)}  # mention, race
ATTRIBUTES = ("mention", "race")
RACES = ("white", "African American")  # of the author, by Blodgett et al.'s model; in the order neg, pos
TWEETS = 44_000  # of a file: 41,500 train and 2,500 test in the papers
LONGEST = 30  # tokens; the rest of a longer tweet is cut off


def load_dial(config: DataConfig, private: Sequence[str], held_out: float) -> Population:
    """Load DIAL from `config.root`, which holds `vocab`, `pos_pos`, `pos_neg`, `neg_pos` and `neg_neg`.

    The first part of a file's name says whether its tweets mention somebody, the second whose dialect they are in.
    Of each file the first 44,000 tweets count; the files must have equally many up to there, as the papers balance
    them. Who wrote a tweet is not known: every tweet counts as a person. x is [n, T] int32, T the length of the
    longest tweet but at most 30.

    Args:
        config: root, tasks and records have effect.
        private: `race` in the papers, or `mention`; the other one is the task.
        held_out: share of the people who contribute nothing.

    Raises:
        InputError: a file is missing or not as published, or an attribute is unknown.
    """
    folder = OfficialFolder.of("dial", ORIGIN, config)
    tasks = choose_tasks("dial", config, private, ATTRIBUTES, ATTRIBUTES)
    words = len(folder.lines(VOCABULARY))
    tweets = {name: _tweets(folder, name, words) for name in FILES}
    counts = {name: len(texts) for name, texts in tweets.items()}
    if len(set(counts.values())) > 1 or not counts["pos_pos"]:
        counted = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise InputError(f"dial: the files in '{folder.root}' must have equally many tweets, found {counted}")

    rows = [tweet for name in FILES for tweet in tweets[name]]
    x = np.full((len(rows), max(map(len, rows))), PADDING, dtype=np.int32)
    for row, tweet in enumerate(rows):
        x[row, : len(tweet)] = tweet
    codes = np.repeat(np.array(list(FILES.values()), dtype=np.int64), counts["pos_pos"], axis=0)
    people = np.arange(len(rows), dtype=np.int64)
    kept = sample_people(people, config.records)
    x, codes = x[kept], codes[kept]
    raw = pd.DataFrame({"mention": np.array(FLAGS)[codes[:, 0]], "race": np.array(RACES)[codes[:, 1]]})
    labels = {name: codes[:, ATTRIBUTES.index(name)].copy() for name in tasks}
    return build_population(
        lambda known: (x, ()), raw[list(private)], labels, people[kept], held_out, "text", vocabulary=words + 1
    )


def _tweets(folder: OfficialFolder, name: str, words: int) -> list[list[int]]:
    """Return the tokens of each tweet of a file, numbered from 1.

    Raises:
        InputError: the file is missing, or a line is not made of numbers of words.
    """
    tweets = []
    for row, line in enumerate(folder.lines(name)[:TWEETS]):
        try:
            tokens = [int(token) for token in line.split()]
        except ValueError:
            raise folder.wrong(name, row + 1, "expected numbers of words, with spaces between them") from None
        if not tokens:
            raise folder.wrong(name, row + 1, "a tweet without words")
        if not (min(tokens) >= 0 and max(tokens) < words):
            outside = next(token for token in tokens if not 0 <= token < words)
            problem = f"word {outside} is not in 0..{words - 1}, the {words} words of {VOCABULARY}"
            raise folder.wrong(name, row + 1, problem)
        tweets.append([token + 1 for token in tokens[:LONGEST]])
    return tweets
