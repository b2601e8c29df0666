"""The audit of publications of codes: reading them, the best possible attacker, the certificate, and wrong input."""

import json

import numpy as np
import pandas as pd
import pytest
import tomli_w

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands import audit as command
from fl_tiprdc.config import AuditConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.evaluation.published import audit_published, prepare_audit, summarize_published
from fl_tiprdc.evaluation.published_codes import certify_published, published_risk
from fl_tiprdc.notices import DataNotice

PANEL = AuditConfig(attackers=("logistic",), probes=("logistic",), bootstrap=50, further=())
N = 4000
PLACES = np.array(["north", "east", "south", "west"])  # in this order of codes; by name: east is 0, north 1, ...


pytestmark = pytest.mark.usefixtures("one_thread_each")


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """U is a coin; codes 0 and 3 have as many of each class, and 1 and 2 have .9 and .1; key and code together tell u.

    AUC of the best attacker: a quarter of each class have code 0 and 3, .45 and .05 have 1, .05 and .45 have 2:
    ½ + ½ Σ_{c<c'} |p1c p0c' - p0c p1c'| = ½ + ½ (4 · .25 · .4 + .45² - .05²) = .8.
    """
    generator = np.random.default_rng(0)
    u = generator.integers(0, 2, N)
    even = generator.random(N) < 0.5
    likely = np.where(generator.random(N) < 0.9, u, 1 - u)
    code = np.where(even, 3 * generator.integers(0, 2, N), 1 + likely)
    return pd.DataFrame(
        {"id": [f"p{i}" for i in range(N)], "sex": np.array(["f", "m"])[u], "code": code, "key": (code + u) % 2}
    )


@pytest.fixture
def call(monkeypatch, capsys, tmp_path, people):
    """Runs the command on a publication beside labels.csv: (status, stdout, lines on stderr)."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "panel.toml").write_text(f"[audit]\n{tomli_w.dumps(PANEL.model_dump())}")
    people[["id", "sex"]].to_csv("labels.csv", index=False)

    def call(publication, *flags):
        flags = (publication, "--labels", "labels.csv", "--config", "panel.toml", "--output", "found", *flags)
        with pytest.raises(SystemExit) as exit_:
            guard(lambda _: command.main([*map(str, flags)]))
        said = capsys.readouterr()
        return exit_.value.code, said.out, said.err.splitlines()

    return call


# ---- reading


def test_codes_may_be_numbers_or_text_in_any_kind_of_file(tmp_path, people):
    code = people["code"].to_numpy()
    text = PLACES[code]
    by_name = np.argsort(np.argsort(PLACES))[code]
    for name, values, wanted in (("n", code, code), ("t", text, by_name), ("c", pd.Categorical(text), by_name)):
        pd.DataFrame({"id": people["id"], "code": values}).to_parquet(tmp_path / f"{name}.parquet")
        found = read_publication(tmp_path / f"{name}.parquet")
        np.testing.assert_array_equal(found.z[:, 0], wanted)
        assert found.z.shape == (N, 1)
        assert found.names(np.unique(found.z, axis=0)) == sorted(set(map(str, values)))
    np.savez(tmp_path / "n.npz", code=code, id=people["id"].to_numpy(str))
    np.testing.assert_array_equal(read_publication(tmp_path / "n.npz").z[:, 0], code)
    np.savez(tmp_path / "t.npz", code=text, z=np.eye(4, dtype=np.float32)[code])
    both = read_publication(tmp_path / "t.npz")
    np.testing.assert_array_equal(both.z, np.column_stack([np.eye(4)[code], by_name]))
    rows = np.unique(both.z, axis=0)  # west first, since its 1 is the last
    assert both.names(rows) == ["west", "south", "east", "north"]
    other = both.z.copy()
    other[:, 0] = np.arange(N)  # codes alone don't tell these rows
    assert both.names(other)[:3] == ["0", "1", "2"]


def test_text_is_numbered_over_all_parts(tmp_path):
    for part, values in enumerate((["b", "a", "b"], ["c", None, "c"], ["a", "b", "c"])):
        frame = pd.DataFrame({"client": part, "record": range(3), "code": values})
        frame.to_parquet(tmp_path / f"{part}.parquet")
    found = read_publication(tmp_path)
    assert found.values == (("", "a", "b", "c"),)
    assert found.z[:, 0].tolist() == [2, 1, 2, 3, 0, 3, 1, 2, 3]


def test_text_of_one_value_is_left_out_with_a_notice_and_free_text_is_refused(tmp_path, people):
    frame = people[["id", "code"]].assign(note="x")
    frame.to_parquet(tmp_path / "p.parquet")
    with pytest.warns(DataNotice, match=r"as no numbers: note \(1 value\)"):
        found = read_publication(tmp_path / "p.parquet")
    assert found.z.shape == (N, 1)
    frame.assign(remark=[f"remark {i}" for i in range(N)]).to_parquet(tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"can't be read as numbers.*'remark' \(4,000 different texts\)"):
        read_publication(tmp_path / "p.parquet")


# ---- what is found


def prepared(tmp_path, people, **more):
    people[["id", "code"]].to_parquet(tmp_path / "p.parquet")
    return prepare_audit(read_publication(tmp_path / "p.parquet"), people[["id", "sex"]], **more)


def test_the_best_possible_attacker_beside_the_panel(tmp_path, people):
    audited = prepared(tmp_path, people)
    found = summarize_published(audit_published(audited, PANEL)).set_index("kind")
    assert list(found.index) == ["attack", "exact"]
    assert found.loc["exact", "auc"] == pytest.approx(0.8, abs=0.03)  # see `people`
    assert found.loc["exact", "low"] < 0.8 < found.loc["exact", "high"]
    assert found.loc["attack", "auc"] < 0.75  # a line through 0, 1, 2, 3 tells less
    assert found.loc["exact", "model"] == "table"
    assert found.loc["exact", "chance"] == 0.5


def test_the_table_of_those_who_published(tmp_path, people):
    audited = prepared(tmp_path, people)
    risk = published_risk(audited.finite, audited.known, audited.unknown, audited.class_names)
    for code, rows in people.groupby("code"):
        row = risk[(risk["code"] == str(code)) & (risk["class"] == "m")].iloc[0]
        assert row["attribute"] == "sex"
        assert row["records"] == len(rows)  # everybody's
        assert row["posterior"] == pytest.approx((rows["sex"] == "m").mean())


def test_a_certificate_counts_one_record_of_each_person_tested(tmp_path, people):
    twice = people.assign(person=np.arange(N) // 2)
    twice[["id", "code"]].to_parquet(tmp_path / "p.parquet")
    audited = prepare_audit(
        read_publication(tmp_path / "p.parquet"), twice[["id", "sex", "person"]], ["sex"], participant="person"
    )
    certified = certify_published(audited.releases[-1], audited.finite, audited.unknown, audited.class_names)
    one = certified.certificates["sex"]
    assert sum(one.people.values()) == N // 2 // 5  # a fifth is tested
    assert one.codes == 4 + 1  # room for a code that no contributor has
    assert 0.8 < one.bound < 1


def test_values_that_only_people_tested_have(tmp_path, people):
    tested = np.isin(people["id"], _tested_ids(tmp_path, people))
    rare = people.assign(
        code=np.where(tested & (np.arange(N) % 300 == np.flatnonzero(tested)[0] % 300), 7, people["code"])
    )
    audited = prepared(tmp_path, rare)
    assert (audited.finite.new, audited.finite.rare, audited.finite.alphabet) == (1, 0, 5)
    assert set(audited.finite.held_out_codes.tolist()) == {0, 1, 2, 3, 4}
    assert audited.finite.names == ("0", "1", "2", "3", "7")
    many = people.assign(code=np.where(tested & (people["code"] == 0), 10 + np.arange(N) % 50, people["code"]))
    assert prepared(tmp_path, many).finite.alphabet is None


def _tested_ids(tmp_path, people):
    audited = prepared(tmp_path, people)
    return people["id"].to_numpy()[audited.unknown.participant]


# ---- the command


def test_the_command_on_codes(call, people, tmp_path):
    people[["id", "code"]].assign(code=PLACES[people["code"]]).to_parquet("theirs.parquet")
    status, out, err = call("theirs.parquet")
    assert (status, err) == (0, [])
    assert "exact: sex" in out
    assert "exact attack, by the table of 4 codes: AUC 0." in out
    assert "--certify bounds what any attacker can tell" in out
    assert "certified for" not in out
    names = {str(p.relative_to(tmp_path / "found")) for p in (tmp_path / "found").rglob("*") if p.is_file()}
    figures = {"figures/exact-sex.png", "figures/exact-sex.svg"}
    assert names == {"config.toml", "metrics.csv", "summary.json", "risk.csv", *figures}
    risk = pd.read_csv(tmp_path / "found" / "risk.csv")
    assert set(risk["code"]) == set(PLACES)
    facts = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert facts["codes"] == 4
    assert {row["kind"] for row in facts["best"]} == {"attack", "exact"}
    assert "certificate" not in facts


def test_the_command_certifies_if_it_is_told_that_nobody_had_a_part_in_the_fit(call, people, tmp_path):
    people[["id", "code"]].to_parquet("theirs.parquet")
    status, out, err = call("theirs.parquet", "--certify", "--held-out", "0.5")
    assert (status, err) == (0, [])
    assert "certified for sex: With probability 0.95 over the draw of 2,000 certifying people" in out
    assert "It does not cover attackers who know the record already" in out
    facts = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert 0.8 < facts["certificate"]["attributes"]["sex"]["certified"] < 0.9
    metrics = pd.read_csv(tmp_path / "found" / "metrics.csv")
    assert "auc-bound" in set(metrics.loc[metrics["kind"] == "certificate", "metric"])


def test_the_command_says_what_attackers_with_a_key_tell(call, people):
    people[["id", "code"]].to_parquet("theirs.parquet")
    people[["id", "key"]].assign(noise=np.random.default_rng(1).normal(size=N)).to_csv("raw.csv", index=False)
    flags = ("--raw", "raw.csv", "--attacks", "known-record", "--known", "key")
    status, out, err = call("theirs.parquet", *flags)
    assert (status, err) == (0, [])
    lines = [line.split() for line in out.splitlines() if line.split()[:2] == ["sex", "key"]]
    assert float(lines[0][2]) < 0.6  # alone
    assert float(lines[0][3]) > 0.99  # with the release
    assert call("theirs.parquet", "--raw", "raw.csv", "--attacks", "known-record", "--known", "kye") == (
        2,
        "",
        ["error: unknown column 'kye': choose one of key, noise"],
    )


def test_wrong_input_gets_one_line(call, people, tmp_path):
    z = np.random.default_rng(0).normal(size=(N, 3))
    np.savez("vectors.npz", z=z)
    np.savez("square.npz", code=np.zeros((N, 2), np.int64))
    np.savez("short.npz", z=z, code=np.arange(3))
    np.savez("odd.npz", code=np.array([b"a"] * N))
    pd.DataFrame({"id": people["id"], "code": [f"c{i}" for i in range(N)]}).to_parquet("many.parquet")
    people[["id", "code"]].to_parquet("good.parquet")
    for flags, why in (
        (("vectors.npz", "--certify"), "--certify needs a release of codes: 'vectors.npz' has too many different rows"),
        (("square.npz",), "array 'code' of 'square.npz' has shape (4000, 2): expected (records,)"),
        (("short.npz",), "array 'code' of 'short.npz' has shape (3,): expected (4000,)"),
        (("odd.npz",), "array 'code' of 'odd.npz' has type |S1: expected numbers or text"),
        (("many.parquet",), "can't be read as numbers, and is too varied for codes: 'code' (4,000 different texts)"),
        (("good.parquet", "--known", "key"), "isn't asked for: name it in --attacks"),
        (("good.parquet", "--attacks", "known-record"), "attack 'known-record' needs raw features: --raw FILE"),
    ):
        status, out, err = call(*flags)
        assert (status, out, len(err)) == (2, "", 1), (flags, err)
        assert why in err[0], err
    assert not (tmp_path / "found").exists()
