"""Notices on a person's data: what was left out or read in another way, and how to have it otherwise."""

import warnings


class DataNotice(UserWarning):
    """Something in a person's data was left out or changed, and how to have it otherwise."""


def give_notice(text: str) -> None:
    """Warn with one line of text."""
    warnings.warn(text, DataNotice, stacklevel=2)


def count_rows(count: int) -> str:
    """Return "1 row" or "n rows"."""
    return f"{count:,} row{'' if count == 1 else 's'}"
