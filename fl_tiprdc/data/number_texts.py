"""Numbers and dates that were written as text, among a few values that are neither."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fl_tiprdc.notices import give_notice

ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?"
PLAIN = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY|INR)"
MONEY = rf"(?P<sign>[+-]?)\s*{CURRENCY}\s*(?P<amount>[+-]?\s*[\d.].*)|(?P<before>[+-]?[\d.].*?)\s*{CURRENCY}"
GROUPED = r"[+-]?\d{1,3}(?:[ \u00a0\u202f'’]\d{3})+(?:[.,]\d+)?"  # 1 234 567.8
THOUSANDS = r"[+-]?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"  # 1,234,567.8
DECIMAL_COMMA = r"[+-]?(?:\d+|\d{1,3}(?:\.\d{3})+),\d+"  # 1.234.567,8
DOTTED = r"[+-]?\d{1,3}(?:\.\d{3})+"  # 1.234.567, beside decimal commas
MOSTLY = 0.9  # share of the values that are numbers in a column of numbers, whatever the others are
SOME = 0.25  # share of numbers at which a column of other values is named
HALF, FEW_WORDS = 0.5, 3  # or of one where the others are at most that many words
TRUTH = {"true", "false", "yes", "no", "t", "f", "y", "n"}
IN_BRACKETS = r"\((?P<lost>[^()+-]*\d[^()+-]*)\)|(?P<owed>[\d.,]*\d)-"  # (1,234.50) and 1,234.50- are below 0
CODE = r"0\d+"  # leading zeros: a number would lose them


@dataclass(frozen=True)
class Numbers:
    """Hold a column of text, read as numbers.

    Attributes:
        values: float64, NaN where there is no value or one that is no number.
        strays: how often each text is there that is no number, the most frequent first.
        present: number of values.
        forms: what was understood, such as "percent signs"; empty: plain numbers.
    """

    values: pd.Series
    strays: pd.Series
    present: int
    forms: tuple[str, ...]

    @property
    def told(self) -> str:
        """Return what else there is in the column, in words."""
        first = [f"'{word}' in {count:,}" for word, count in self.strays.head(FEW_WORDS).items()]
        more = [f"{len(self.strays) - FEW_WORDS} others"] if len(self.strays) > FEW_WORDS else []
        return ", ".join([*self.forms, *first, *more])

    @property
    def are_most(self) -> bool:
        """Return whether the column is one of numbers: `MOSTLY`, or `HALF` beside a few words without a digit.

        Words for true and false are no words for missing beside 1 and 0.
        """
        share = 1 - int(self.strays.sum()) / self.present if self.present else 0.0
        words = [str(word) for word in self.strays.index if re.search(r"\w", str(word))]  # not marks, such as "?"
        few = len(words) <= FEW_WORDS and not any(re.search(r"\d", w) or w.casefold() in TRUTH for w in words)
        return share >= MOSTLY or (share >= HALF and few)


def read_numbers(text: pd.Series, decimal_commas: bool = False) -> Numbers:
    """Return the numbers, or else the dates (as days since 1970), among texts; None and NaN are missing.

    Currency signs, percent signs (12 % is 0.12), thousands separators and decimal commas are understood. A comma
    separates thousands if it does in all values that have one, such as 1,234; else, or with `decimal_commas`, it is
    decimal.
    """
    written = text.dropna().astype(str).str.strip()
    numbers, forms = _numbers(written, decimal_commas)
    dates = written.str.fullmatch(ISO_DATE)
    if dates.sum() > numbers.notna().sum():
        days = pd.to_datetime(written[dates], format="ISO8601", utc=True, errors="coerce")
        numbers = ((days - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)).reindex(written.index)
        forms = ()
    strays = written[numbers.isna()].value_counts()
    return Numbers(numbers.reindex(text.index).astype(np.float64), strays, len(written), forms)


def number_columns(texts: Mapping[str, pd.Series]) -> dict[str, pd.Series]:
    """Return those of the columns that are numbers beside other values, which are missing, or in another form.

    A notice names them, and those with many numbers that are none. Plain numbers alone are no column of numbers: who
    writes text in a file that can hold numbers means categories. Neither are numbers with leading zeros.
    """
    numbers: dict[str, pd.Series] = {}
    told: list[str] = []
    mixed: list[str] = []
    for name, text in texts.items():
        reading = read_numbers(text)
        if has_codes(text) or not (reading.forms or len(reading.strays)):
            continue
        if reading.are_most:
            numbers[name] = reading.values
            told.append(f"'{name}' ({reading.told})")
        elif reading.strays.sum() <= (1 - SOME) * reading.present:
            mixed.append(f"'{name}' ({reading.told})")
    if told:
        give_notice(
            f"read as numbers, other values (rows) as missing: {', '.join(told)}; to have it otherwise, set "
            'data.columns.NAME to "category", or list words that mean missing in data.missing'
        )
    if mixed:
        give_notice(
            f"taken as categories, though many of the values are numbers: {', '.join(mixed)}; list words that "
            "mean missing in data.missing"
        )
    return numbers


def has_codes(text: pd.Series) -> bool:
    """Return whether there are whole numbers with leading zeros."""
    return bool(text.dropna().astype(str).str.fullmatch(CODE).any())


def _numbers(written: pd.Series, decimal_commas: bool) -> tuple[pd.Series, tuple[str, ...]]:
    """Return the numbers, NaN where there is none, and which signs were understood."""
    forms: dict[str, pd.Series] = {}
    plain = written.str.replace("\u2212", "-")
    below = plain.str.fullmatch(IN_BRACKETS)
    below &= not below.all()  # else these may be numbers of something
    plain = plain.mask(below, plain.str.replace(IN_BRACKETS, lambda m: "-" + (m["lost"] or m["owed"]), regex=True))
    below |= written.str.contains("\u2212", regex=False)
    percent = plain.str.endswith("%")
    plain = plain.str.removesuffix("%").str.strip()
    money = plain.str.fullmatch(MONEY)
    plain = plain.mask(money, plain.str.replace(MONEY, _amount, regex=True))
    grouped = plain.str.fullmatch(GROUPED)
    plain = plain.mask(grouped, plain.str.replace(r"[ \u00a0\u202f'’]", "", regex=True))
    thousands, decimal = plain.str.fullmatch(THOUSANDS), plain.str.fullmatch(DECIMAL_COMMA)
    if decimal_commas or (decimal & ~thousands).any():
        dotted = plain.str.fullmatch(DOTTED)
        plain = plain.mask(decimal | dotted, plain.str.replace(".", "", regex=False))
        plain = plain.mask(decimal, plain.str.replace(",", ".", regex=False))
        grouped |= dotted
    else:
        decimal = decimal & False
        plain = plain.mask(thousands, plain.str.replace(",", "", regex=False))
        grouped |= thousands
    numbers = pd.to_numeric(plain.where(plain.str.fullmatch(PLAIN)), errors="coerce").astype(np.float64)
    numbers = numbers.where(np.isfinite(numbers))
    numbers = numbers.mask(percent, numbers / 100)
    forms = {
        "currency signs": money,
        "percent signs": percent,
        "thousands separators": grouped,
        "decimal commas": decimal,
        "other minus signs": below,
    }
    return numbers, tuple(name for name, rows in forms.items() if (rows & numbers.notna()).any())


def _amount(match: re.Match[str]) -> str:
    return match["before"] if match["before"] else match["sign"] + match["amount"].replace(" ", "", 1)
