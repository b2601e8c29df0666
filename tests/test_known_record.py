"""Attackers who know the record: against releases whose leak is known."""

import numpy as np
import pytest

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.crowd import Column
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.known_record import (
    CATEGORIES,
    column_knowledge,
    default_ladders,
    known_record,
    known_text,
    named_ladders,
    released_knowledge,
    telling,
)
from fl_tiprdc.evaluation.audit import AuditedRelease, Truth
from fl_tiprdc.evaluation.metric_rows import COLUMNS

CONFIG = AuditConfig(bootstrap=40)
TABLE = (
    Column("key", "categorical", 0, ("a", "b")),
    Column("noise", "numeric", 2),
    Column("hint", "categorical", 3, ("a", "b", "c")),
    Column("score", "numeric", 6),
)


def truth(u):
    return Truth({"u": u}, {}, {"u": 2}, np.arange(len(u)))


def crowd(n, generator):
    """U is a coin; key another; hint is u for .8 of the people; score is normal and u ahead. Code: u xor key."""
    u, key = generator.integers(0, 2, (2, n))
    hint = np.where(generator.random(n) < 0.8, u, 1 - u)
    x = np.column_stack(
        [np.eye(2)[key], generator.normal(size=n), np.eye(3)[hint], generator.normal(size=n) + u]
    ).astype(np.float32)
    return u, x, u ^ key


@pytest.fixture(scope="module")
def sides():
    generator = np.random.default_rng(0)
    return crowd(4000, generator), crowd(4000, generator)


def release(sides):
    return AuditedRelease("federated", "coded", 0.5, 3, *(side[2][:, None].astype(np.float32) for side in sides))


def measure(sides, columns=TABLE, **options):
    """(model or the columns known, metric) -> row."""
    (u, x, code), (new_u, new_x, new_code) = sides
    options = {"codes": (code, new_code)} | options
    table = known_record(release(sides), (x, new_x), truth(u), truth(new_u), CONFIG, columns, **options)
    assert list(table.columns) == COLUMNS
    assert set(table["kind"]) == {"known-record"}
    assert set(table["target"]) == {"u"}
    assert (table["low"] <= table["high"]).all()
    return table.assign(model=table["model"].where(table["known"] == "", table["known"])).set_index(["model", "metric"])


def test_a_code_tells_nothing_alone_and_everything_to_who_has_its_key(sides):
    rows = measure(sides, ladders=[("key",), ("hint",), ("key", "hint")])
    value, models = rows["value"], list(dict.fromkeys(rows.index.get_level_values("model")))
    assert models == ["nothing", "key", "hint", "key+hint", "everything"]
    assert rows.loc[("nothing", "auc-alone"), ["value", "low", "high"]].tolist() == [0.5] * 3
    assert value["nothing", "auc-with-release"] == pytest.approx(0.5, abs=0.03)
    assert value["key", "auc-alone"] == pytest.approx(0.5, abs=0.03)
    assert value["key", "auc-with-release"] == pytest.approx(1.0)
    # a hint that is right for .8 has AUC .8, and a code of which the key isn't known adds nothing to it
    assert value["hint", "auc-alone"] == pytest.approx(0.8, abs=0.02)
    assert value["hint", "auc-gain"] == pytest.approx(0.0, abs=0.02)
    for model in ("key+hint", "everything"):
        assert value[model, "auc-with-release"] == pytest.approx(1.0, abs=0.001)
    # hint and score together: more than the hint's .8
    assert 0.83 < value["everything", "auc-alone"] < 0.95


def test_a_gain_is_the_difference_over_the_same_resamples(sides):
    rows = measure(sides, ladders=[("key",)])
    for model in ("key", "everything"):
        difference = rows.loc[(model, "auc-with-release"), "value"] - rows.loc[(model, "auc-alone"), "value"]
        assert rows.loc[(model, "auc-gain"), "value"] == pytest.approx(difference)
        assert rows.loc[(model, "auc-gain"), "low"] > 0
    # the attacker with all of x and the code is sure, so that the gain is as uncertain as the AUC alone
    alone, gain = rows.loc[("everything", "auc-alone")], rows.loc[("everything", "auc-gain")]
    assert gain["high"] - gain["low"] == pytest.approx(alone["high"] - alone["low"], rel=0.01)


def test_the_default_ladders_begin_with_the_most_telling_column(sides):
    (u, x, _), _ = sides
    by_column = {column.name: column_knowledge(x, x, column) for column in TABLE}
    ladders = default_ladders(by_column, u, 2, 0)
    assert ladders[:2] == [("hint",), ("score",)]  # AUC .8, and .76 for a normal that is 1 ahead
    assert {ladder[0] for ladder in ladders[2:4]} == {"key", "noise"}
    assert ladders[4] == ("hint", "score")
    assert set(ladders[5]) == {"key", "noise", "hint", "score"}
    assert len(ladders) == 6  # there are no 8 columns
    tried = np.arange(len(u)) % 2 == 0
    assert telling(by_column["hint"], u, 2, tried) == pytest.approx(0.8, abs=0.02)
    assert telling(by_column["score"], u, 2, tried) == pytest.approx(0.76, abs=0.02)
    assert telling(by_column["noise"], u, 2, tried) == pytest.approx(0.5, abs=0.04)


def test_the_most_telling_columns_have_a_short_name(sides):
    rows = measure(sides).xs("auc-alone", level="metric")
    assert rows.index.tolist()[:3] == ["nothing", "hint", "score"]
    assert rows.index[5] == "hint+score"
    assert rows["level"].fillna(0).tolist() == [0, 1, 1, 1, 1, 2, 4, 0]
    models = ["nothing", *["columns"] * 4, *["best columns"] * 2, "everything"]
    texts = [known_text(*what) for what in zip(models, rows["level"].astype(float), rows.index, strict=True)]
    assert texts[:5] == rows.index.tolist()[:5]
    assert texts[5:] == ["best 2 columns", "best 4 columns", "everything"]
    assert known_text("columns", 1, "pay (USD)") == "pay (USD)"
    assert known_text("columns", 2, "a (b)+c") == "2 columns"


def test_named_columns_are_tried_alone_and_together():
    assert named_ladders(()) == []
    assert named_ladders(("age",)) == [("age",)]
    assert named_ladders(("age", "pay")) == [("age",), ("pay",), ("age", "pay")]


def test_unknown_columns_are_refused(sides):
    with pytest.raises(InputError, match="unknown column 'kee': choose one of key, noise, hint, score"):
        measure(sides, ladders=[("key",), ("kee",)])
    with pytest.raises(InputError, match="has a column twice"):
        measure(sides, ladders=[("key", "key")])
    with pytest.raises(InputError, match="no table"):
        measure(sides, columns=(), ladders=[("key",)])


def test_of_records_that_are_no_table_one_knows_nothing_or_everything(sides):
    rows = measure(sides, columns=())
    assert list(dict.fromkeys(rows.index.get_level_values("model"))) == ["nothing", "everything"]
    assert rows.loc[("everything", "auc-with-release"), "value"] == pytest.approx(1.0, abs=0.001)


def test_attackers_learn_from_those_that_they_may_learn_from(sides):
    """Of half of the contributors labels are wrong; who learns from the others tells u, who learns from them errs."""
    (u, x, code), new = sides
    wrong = np.arange(2000)
    labels = np.r_[1 - u[wrong], u[2000:]]
    mixed = ((labels, x, code), new)
    for rows, expected in ((np.arange(2000, 4000), 0.8), (wrong, 0.2)):
        value = measure(mixed, ladders=[("hint",)], learn_from=rows)["value"]
        assert value["hint", "auc-alone"] == pytest.approx(expected, abs=0.03)


def test_columns_as_an_attacker_has_them():
    x = np.array([[1, 0, 0.5], [0, 1, -1], [0, 0, 2]], dtype=np.float32)
    named = column_knowledge(x, x[:1], Column("c", "categorical", 0, ("a", "b")))
    assert named.contributors[:2].tolist() == [[0], [1]]
    assert np.isnan(named.contributors[2, 0])  # a category that is none of the known ones
    assert named.categorical.tolist() == [True]
    number = column_knowledge(x, x[:1], Column("n", "numeric", 2))
    assert number.contributors.tolist() == x[:, 2:].tolist()
    assert not number.categorical.any()
    many = Column("many", "categorical", 0, tuple(map(str, range(CATEGORIES + 1))))
    wide = column_knowledge(np.eye(CATEGORIES + 1, dtype=np.float32), np.eye(CATEGORIES + 1, dtype=np.float32), many)
    assert wide.contributors.shape == (CATEGORIES + 1, CATEGORIES + 1)
    assert not wide.categorical.any()


def test_codes_as_an_attacker_has_them():
    numbers = np.zeros((4, 2), np.float32)
    made = AuditedRelease("federated", "coded", 0.5, 0, numbers, numbers)
    rows = np.arange(3)  # the fourth contributor's code, 9, isn't learned from
    codes = np.array([5, 2, 5, 9]), np.array([2, 9, 5, 40])
    knowledge = released_knowledge(made, rows, codes, 0)
    assert knowledge.categorical.tolist() == [False, False, True]
    assert knowledge.contributors[:, 2].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(knowledge.held_out[:, 2], [0, np.nan, 1, np.nan])
    assert released_knowledge(made, rows, None, 0).categorical.tolist() == [False, False]
    many = np.arange(CATEGORIES + 1)
    wide = AuditedRelease("federated", "coded", 0.5, 0, np.zeros((len(many), 2), np.float32), numbers)
    assert released_knowledge(wide, many, (many, many[:4]), 0).categorical.tolist() == [False, False]
