"""Classes that were spelled in several ways."""

import unicodedata
from collections.abc import Mapping

import numpy as np
import pandas as pd


def spelling_key(text: str) -> str:
    """Return a text without what spellings differ in: case, spaces, a final dot."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".")


def spelled_alike(text: pd.Series, known: np.ndarray) -> Mapping[str, list[str]]:
    """Return the texts that have several spellings: the most frequent one -> all of them, it first.

    Args:
        text: [n] texts, None where missing.
        known: [n] bool, rows whose frequencies count.
    """
    counts = text[known].value_counts()
    spellings = sorted({str(value) for value in text.dropna()}, key=lambda value: (-counts.get(value, 0), value))
    groups: dict[str, list[str]] = {}
    for value in spellings:
        groups.setdefault(spelling_key(value), []).append(value)
    return {group[0]: group for group in groups.values() if len(group) > 1}


def unite_spellings(text: pd.Series, known: np.ndarray) -> pd.Series:
    """Return texts with the most frequent of each one's spellings."""
    usual = {value: first for first, group in spelled_alike(text, known).items() for value in group}
    return text.map(lambda value: usual.get(value, value), na_action="ignore")
