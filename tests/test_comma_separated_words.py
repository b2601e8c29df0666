"""Words with commas between them, on the command line."""

import pytest

from fl_tiprdc.command_line.parser import words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sex, income,", ("sex", "income")),
        ('"income, total",sex', ("income, total", "sex")),
        ('sex, "Income, yearly"', ("sex", "Income, yearly")),
        ('"say ""hi"", now",5" pipe', ('say "hi", now', '5" pipe')),
        ('" sex "', ("sex",)),
        (" , ", ()),
        ("", ()),
    ],
)
def test_a_word_with_a_comma_stands_in_quotes(text, expected):
    assert words(text) == expected
