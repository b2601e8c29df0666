"""The audit of publications, this project's and others': reading, joining, auditing, and wrong input."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomli_w
import torch

from fl_tiprdc.command_line.guard import guard
from fl_tiprdc.commands import audit as command
from fl_tiprdc.config import AuditConfig
from fl_tiprdc.data.publication_store import read_store, write_part
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.classifiers import MAJORITY
from fl_tiprdc.evaluation.metric_rows import COLUMNS
from fl_tiprdc.evaluation.publication_files import read_publication
from fl_tiprdc.evaluation.published import (
    audit_published,
    panel,
    prepare_audit,
    summarize_published,
)
from fl_tiprdc.evaluation.record_keys import ROW_ORDER, join
from fl_tiprdc.notices import DataNotice
from tests.entry_points import tree

PANEL = AuditConfig(attackers=("logistic",), probes=("logistic",), bootstrap=50, further=())
CLIENTS, EACH = 20, 20
N = CLIENTS * EACH


pytestmark = pytest.mark.usefixtures("one_thread_each")


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """Labels of all records: sex and club are hidden, rich is a task, color has three values."""
    generator = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "client": np.repeat(np.arange(CLIENTS), EACH),
            "record": np.tile(np.arange(EACH), CLIENTS),
            "sex": generator.choice(["f", "m"], N),
            "rich": generator.integers(0, 2, N),
            "color": generator.choice(["red", "green", "blue"], N),
            "person": [f"p{i // 4}" for i in range(N)],
        }
    )


@pytest.fixture(scope="module")
def z(truth) -> np.ndarray:
    """[n, 6]: column 0 tells sex, column 1 rich, both through noise; the others tell nothing."""
    z = np.random.default_rng(1).normal(size=(N, 6))
    z[:, 0] += 3 * (truth["sex"] == "m")
    z[:, 1] += 2 * truth["rich"]
    return z.astype(np.float32)


@pytest.fixture
def ours(tmp_path, z) -> Path:
    """A store as the server writes it."""
    folder = tmp_path / "store"
    parts = {
        f"part-{client:06d}.parquet": write_part(folder, client, z[client * EACH : (client + 1) * EACH])
        for client in range(CLIENTS)
    }
    facts = {"d": 6, "sigma": 1.0, "lam": 0.7, "clients": CLIENTS, "parts": parts}
    (folder / "release.json").write_text(json.dumps(facts))
    return folder


def audited(publication, labels, **more):
    return prepare_audit(read_publication(publication), labels, **more)


def best(audit, config=PANEL):
    summary = summarize_published(audit_published(audit, config))
    return {row["target"]: row for row in summary.to_dict("records")}


# ---- reading


def test_our_store_is_read_as_the_server_reads_it(ours):
    client, record, z = read_store(ours)
    found = read_publication(ours)
    np.testing.assert_array_equal(found.z, z)
    assert found.keys["client"].tolist() == client.tolist()
    assert found.keys["record"].tolist() == record.tolist()
    assert found.lam == 0.7


def test_a_part_of_a_client_without_records_is_no_harm(ours, z):
    facts = json.loads((ours / "release.json").read_text())
    facts["parts"][f"part-{CLIENTS:06d}.parquet"] = write_part(ours, CLIENTS, np.empty((0, 6), np.float32))
    (ours / "release.json").write_text(json.dumps(facts))
    assert len(read_publication(ours).z) == N


def test_parts_are_counted_on_the_way(ours):
    seen = []
    read_publication(ours, lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, CLIENTS) for i in range(CLIENTS)]


def test_somebody_elses_columns_and_files(tmp_path, z):
    frame = pd.DataFrame({"width": z[:, 0], "note": "x", "height": z[:, 1].astype(np.float64), "flag": z[:, 2] > 0})
    frame.to_parquet(tmp_path / "one.parquet")
    with pytest.warns(UserWarning, match="as no numbers: note"):
        found = read_publication(tmp_path / "one.parquet")
    assert found.z.shape == (N, 3)
    np.testing.assert_array_equal(found.z[:, 2], z[:, 2] > 0)
    assert list(found.keys.columns) == []
    assert len(found.keys) == N
    np.savez(tmp_path / "two.npz", z=z.astype(np.float64), id=np.array([f"r{i}" for i in range(N)]))
    found = read_publication(tmp_path / "two.npz")
    np.testing.assert_array_equal(found.z, z)
    assert found.keys["id"].tolist()[:2] == ["r0", "r1"]
    folder = tmp_path / "npz"
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(N), 3)):
        np.savez_compressed(folder / f"{i}.npz", z=z[rows], client=np.full(len(rows), i), record=np.arange(len(rows)))
    np.testing.assert_array_equal(read_publication(folder).z, z)


# ---- joining


def test_labels_are_joined_by_client_and_record_in_any_order(ours, truth):
    shuffled = truth.sample(frac=1, random_state=0)
    more = pd.concat([shuffled, shuffled.head(3).assign(client=999)])  # labels of people who published nothing
    keys = read_publication(ours).keys
    joined, how = join(keys, more, "label table")
    assert how == "client and record"
    assert joined["sex"].tolist() == truth["sex"].tolist()


def test_labels_are_joined_by_id_whatever_its_type(truth):
    keys = pd.DataFrame({"id": [3, 1, 2]})
    for ids in (["1", "2", "3"], [1.0, 2.0, 3.0], [1, 2, 3]):
        joined, how = join(keys, pd.DataFrame({"id": ids, "u": ["a", "b", "c"]}), "label table")
        assert how == "id"
        assert joined["u"].tolist() == ["c", "a", "b"]


def test_labels_are_joined_by_row_order_as_the_last_resort(truth):
    joined, how = join(pd.DataFrame(index=range(N)), truth, "label table")
    assert how == ROW_ORDER
    pd.testing.assert_frame_equal(joined, truth)
    with pytest.raises(InputError, match="of 399 rows to 400 published records: both need columns client and record"):
        join(pd.DataFrame(index=range(N)), truth[1:], "label table")


def test_a_wrong_join_would_be_noticed(ours, truth):
    """The same labels in another order, without keys to put it right: the attack falls to chance."""
    right = best(audited(ours, truth, private=["sex"]))["sex"]["auc"]
    astray = truth.drop(columns=["client", "record"]).sample(frac=1, random_state=0)
    wrong = best(audited(ours, astray, private=["sex"]))["sex"]["auc"]
    assert right > 0.95
    assert abs(wrong - 0.5) < 0.2


# ---- auditing


def test_an_audit_finds_what_the_publication_tells(ours, truth):
    audit = audited(ours, truth, private=["sex", "color"], tasks=["rich"])
    ticks = []
    metrics = audit_published(audit, PANEL, lambda: ticks.append(1))
    assert list(metrics.columns) == COLUMNS
    assert set(metrics["setting"]) == {"publication"}
    assert set(metrics["lam"]) == {0.7}
    assert len(ticks) == len(panel(PANEL)) == 1
    # targets: models (with the majority) by scores and private groups (two sexes, three colors), and a validation;
    # attacks by two false positive rates, and by three pairs of colors
    assert len(metrics) == 3 * (2 * (5 + 5) + 1) + 2 * 2 * 2 + 2 * 3
    found = {row["target"]: row for row in summarize_published(metrics).to_dict("records")}
    assert [found[name]["kind"] for name in ("sex", "color", "rich")] == ["attack", "attack", "task"]
    # two normal distributions 3 and 2 apart: AUC Φ(3/√2) = .983 and Φ(2/√2) = .921; 80 records are tested
    assert found["sex"]["auc"] == pytest.approx(0.983, abs=0.03)
    assert found["rich"]["auc"] == pytest.approx(0.921, abs=0.07)
    assert found["color"]["low"] <= 0.5 <= found["color"]["high"]
    # at 1 % of false alarms: Φ(3 - 2.33) = .75 for two normal distributions 3 apart, of 40 women or men
    assert 0.4 < found["sex"]["tpr-at-1%-fpr"] <= found["sex"]["tpr-at-5%-fpr"] <= 1
    worst = found["color"]["worst_pair"], found["color"]["worst_pair_against"]
    assert worst in {("blue", "green"), ("blue", "red"), ("green", "red")}
    assert pd.isna(found["rich"]["tpr-at-1%-fpr"])
    assert pd.isna(found["sex"]["worst_pair"])
    for row in found.values():
        assert row["low"] <= row["auc"] <= row["high"]
        assert row["chance"] == 0.5
    assert audit.attributes["color"].classes == ("blue", "green", "red")
    groups = metrics[metrics["attribute"] == "color"]["group"]
    assert set(groups) == {"blue", "green", "red"}  # by name, not by number


def test_one_panel_or_one_model_after_the_other_is_the_same(ours, truth):
    from fl_tiprdc.evaluation.audit import audit as whole

    config = PANEL.model_copy(update={"attackers": ("logistic", "forest"), "probes": ("forest",)})
    audit = audited(ours, truth, private=["sex"], tasks=["rich"])
    order = ["kind", "target", "model", "metric"]
    known = replace(audit.known, class_names=audit.class_names)
    expected = whole(audit.releases[0], known, audit.unknown, config, detailed=True)
    expected = expected.sort_values(order, ignore_index=True)
    found = audit_published(audit, config).sort_values(order, ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)


def test_without_tasks_there_is_no_task_and_without_names_all_columns_are_attacked(ours, truth):
    audit = audited(ours, truth.drop(columns="person"))
    metrics = audit_published(audit, PANEL)
    assert set(metrics["kind"]) == {"attack"}
    assert set(metrics["target"]) == {"sex", "rich", "color"}
    assert set(audited(ours, truth, tasks=["rich"], participant="person").known.attacks) == {"sex", "color"}


def test_held_out_people_are_in_nobodys_training(ours, truth):
    audit = audited(ours, truth, private=["sex"], participant="person", held_out=0.3)
    known, unknown = set(audit.known.participant.tolist()), set(audit.unknown.participant.tolist())
    assert not known & unknown
    assert (len(known), len(unknown)) == (70, 30)
    assert len(audit.unknown.participant) == 120  # four records each
    assert len(audit.releases[0].held_out) == 120
    by_client = audited(ours, truth, private=["sex"], participant="client")  # a column of the keys
    assert len(set(by_client.unknown.participant.tolist())) == 4


def test_raw_features_give_retention(ours, truth, z):
    raw = truth[["client", "record", "sex"]].assign(  # labels among them are no features
        amount=5 * truth["rich"] + np.random.default_rng(2).normal(size=N), color=truth["color"]
    )
    audit = audited(ours, truth, private=["sex"], tasks=["rich"], raw=raw.sample(frac=1, random_state=1))
    assert [release.setting for release in audit.releases] == ["raw", "publication"]
    assert audit.releases[0].contributors.shape == (320, 4)  # a number and three colors
    found = best(audit)
    assert found["rich"]["raw_auc"] > 0.99
    assert found["rich"]["retention"] == pytest.approx((found["rich"]["auc"] - 0.5) / (found["rich"]["raw_auc"] - 0.5))
    assert 0.7 < found["rich"]["retention"] < 1
    assert found["sex"]["raw_auc"] < 0.7  # raw features don't have it: this publication makes it worse
    assert pd.isna(found["sex"]["retention"])


def test_a_rare_class_that_only_held_out_people_have(ours, truth):
    """It merges into "(other)", a class that attackers have never seen: no crash, no gain."""
    some = audited(ours, truth, private=["sex"]).unknown.participant[:1]
    labels = truth.assign(color=truth["color"].where(~truth.index.isin(some), "pink"))
    audit = audited(ours, labels, private=["sex"], tasks=["color"])
    assert audit.attributes["color"].classes[-1] == "(other)"
    assert 0.3 < best(audit)["color"]["auc"] < 0.7


# ---- the command


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    """Runs the command: (status, lines on stdout, lines on stderr)."""
    monkeypatch.chdir(tmp_path)
    lean = PANEL.model_dump(mode="json", include={"attackers", "probes", "bootstrap", "further"})
    (tmp_path / "lean.toml").write_text(tomli_w.dumps({"audit": lean}))

    def call(*flags):
        with pytest.raises(SystemExit) as exit_:
            guard(
                lambda _: command.main([*([] if "--config" in flags else ["--config", "lean.toml"]), *map(str, flags)])
            )
        said = capsys.readouterr()
        return exit_.value.code, said.out, said.err.splitlines()

    return call


def test_the_command_writes_and_prints_what_it_found(call, ours, truth, tmp_path):
    truth.to_csv(tmp_path / "labels.csv", index=False)
    truth.assign(amount=truth["rich"] + np.random.default_rng(2).normal(size=N)).to_csv("raw.csv", index=False)
    flags = (ours, "--labels", "labels.csv", "--private", "sex,color", "--tasks", "rich", "--participant", "person")
    status, out, err = call(*flags, "--held-out", "0.25", "--raw", "raw.csv", "--output", "found")
    assert (status, err) == (0, [])
    assert "400 records of 6 numbers, labels joined by client and record" in out
    assert "75 people and are tested on 25" in out
    assert "worst attack: logistic on sex, AUC 0.9" in out
    assert sorted(path.name for path in (tmp_path / "found").iterdir()) == [
        "config.toml",
        "metrics.csv",
        "summary.json",
    ]
    metrics = pd.read_csv(tmp_path / "found" / "metrics.csv")
    assert list(metrics.columns) == COLUMNS
    assert set(metrics["setting"]) == {"raw", "publication"}
    assert set(metrics["model"]) == {"logistic", MAJORITY}
    facts = json.loads((tmp_path / "found" / "summary.json").read_text())
    lines = out.splitlines()
    for row in facts["best"]:  # whole, on a terminal of 80 columns
        (line,) = [line for line in lines if f"{row['kind']}: {row['target']}" in line]
        assert line.split()[3:6] == [f"{row['auc']:.3f}", f"{row['low']:.3f}-{row['high']:.3f}", "0.5"]
    assert facts["joined_by"] == "client and record"
    assert facts["people"] == {"contributors": 75, "held_out": 25}
    assert facts["records"] == {"contributors": 300, "held_out": 100}
    assert not list(tmp_path.glob(".*"))
    again = call(*flags, "--output", "found")  # an earlier audit may be replaced
    assert again[0] == 0
    assert set(pd.read_csv(tmp_path / "found" / "metrics.csv")["setting"]) == {"publication"}


def test_the_command_makes_the_further_attacks_that_are_possible(call, ours, truth, tmp_path):
    truth.to_csv(tmp_path / "labels.csv", index=False)
    truth.assign(amount=truth["rich"] + np.random.default_rng(2).normal(size=N)).to_csv("raw.csv", index=False)
    flags = (ours, "--labels", "labels.csv", "--private", "sex", "--tasks", "rich", "--attacks", "all")
    status, out, err = call(*flags, "--participant", "person", "--raw", "raw.csv", "--output", "found")
    assert (status, err) == (0, [])
    metrics = pd.read_csv(tmp_path / "found" / "metrics.csv")
    assert list(metrics.columns) == COLUMNS
    further = metrics[~metrics["kind"].isin(["attack", "task"])]
    assert {kind: set(rows["setting"]) for kind, rows in further.groupby("kind")} == {
        **{kind: {"raw", "publication"} for kind in ("leaks", "linkage", "reidentification")},
        "known-record": {"publication"},
    }
    facts = json.loads((tmp_path / "found" / "summary.json").read_text())
    assert {row["kind"] for row in facts["best"]} == {"attack", "task"}
    found = {(row["kind"], row["setting"], row["level"]): row for row in facts["further_attacks"]}
    assert found["reidentification", "raw", None]["value"] > 0.9
    assert found["reidentification", "publication", None]["chance"] == 1 / 20  # of 100 people a fifth is held out
    assert found["leaks", "publication", 320]["value"] > 0.9
    assert all(row["low"] <= row["value"] <= row["high"] for row in found.values())
    for (kind, setting, _), row in found.items():  # whole, on a terminal of 80 columns
        if setting == "publication":
            line = f"{row['value']:.3f}   {row['low']:.3f}-{row['high']:.3f}   {row['chance']:.3g}"
            assert any(kind in printed and line.split() == printed.split()[-4:-1] for printed in out.splitlines()), row
    assert "raw" in out
    status, out, _ = call(*flags, "--output", "found")  # without raw features, "all" is all that is left
    assert status == 0
    assert set(pd.read_csv(tmp_path / "found" / "metrics.csv")["kind"]) == {"attack", "task", "leaks", "linkage"}


def test_settings_and_flags_say_how_labels_are_read(call, z, truth, tmp_path):
    np.savez(tmp_path / "z.npz", z=z)
    sex = truth["sex"].replace({"f": "Female", "m": "Male"}).where(np.arange(N) % 3 > 0, truth["sex"])
    sex = sex.replace({"f": "female", "m": "male"})  # Female and female
    codes = pd.Series(np.arange(N) % 30)
    pd.DataFrame({"sex": sex, "zip": codes}).to_csv(tmp_path / "labels.csv", index=False)
    flags = ("z.npz", "--labels", "labels.csv", "--private", "sex,zip", "--output", "found")
    lean = (tmp_path / "lean.toml").read_text()

    def classes(*more) -> dict[str, list[str]]:
        assert call(*flags, *more)[0] == 0
        return json.loads((tmp_path / "found" / "summary.json").read_text())["classes"]

    with pytest.warns(DataNotice, match=r"to unite them, set data.unite_spellings = true"):
        assert len(classes()["sex"]) == 4
    found = classes("--unite-spellings")
    assert [len(found[name]) for name in ("sex", "zip")] == [2, 2]  # zip is split at its median
    (tmp_path / "mine.toml").write_text(f'{lean}\n[data]\nunite_spellings = true\ncolumns = {{ zip = "category" }}\n')
    found = classes("--config", "mine.toml")
    assert [len(found[name]) for name in ("sex", "zip")] == [2, 30]


def test_the_command_on_an_archive_says_that_rows_were_joined_by_their_order(call, z, truth, tmp_path):
    np.savez(tmp_path / "theirs.npz", z=z)
    truth.to_parquet(tmp_path / "labels.parquet")
    status, out, _ = call("theirs.npz", "--labels", "labels.parquet", "--private", "sex", "--output", "o")
    assert status == 0
    assert "joined by row order" in out


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


@pytest.fixture
def wrong(tmp_path, ours, truth, z):
    """Files to be refused, in the working folder, beside good ones: labels.csv, store, good.npz."""
    truth.to_csv(tmp_path / "labels.csv", index=False)
    np.savez(tmp_path / "good.npz", z=z, client=truth["client"], record=truth["record"])
    for name in ("none", "mixed", "unlike", "nan", "twice", "deep/er"):
        (tmp_path / name).mkdir(parents=True)
    write_part(tmp_path / "deep" / "er", 0, z)
    write_part(tmp_path / "mixed", 0, z)
    np.savez(tmp_path / "mixed" / "a.npz", z=z)
    write_part(tmp_path / "unlike", 0, z[:10])
    write_part(tmp_path / "unlike", 1, z[10:20, :4])
    write_part(tmp_path / "nan", 0, np.where(np.arange(N)[:, None] == 7, np.nan, z).astype(np.float32))
    write_part(tmp_path / "twice", 0, z[:10])
    (tmp_path / "twice" / "copy.parquet").write_bytes((tmp_path / "twice" / "part-000000.parquet").read_bytes())
    pd.DataFrame({"client": [1, 2], "name": ["a", "b"]}).to_parquet(tmp_path / "words.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    np.savez(tmp_path / "objects.npz", z=np.array([[Bomb()]], dtype=object))
    (tmp_path / "pickle.npz").write_bytes(pickle.dumps(Bomb()))
    (tmp_path / "broken.npz").write_bytes((tmp_path / "good.npz").read_bytes()[:300])
    np.savez(tmp_path / "nameless.npz", x=z)
    np.savez(tmp_path / "scalar.npz", z=np.float64(3))
    np.savez(tmp_path / "beside.npz", z=z, embedding=np.ones((3, 4)))
    np.savez(tmp_path / "words.npz", z=np.array([["a"]]))
    np.savez(tmp_path / "short.npz", z=z, client=np.arange(3))
    np.savez(tmp_path / "bytes.npz", z=z, id=np.array([b"r"] * N))
    np.savez(tmp_path / "inf.npz", z=np.full((3, 2), np.inf))
    np.savez(tmp_path / "huge.npz", z=np.full((3, 2), 1e300))
    np.savez(tmp_path / "empty.npz", z=np.empty((0, 4)))
    np.savez(tmp_path / "alone.npz", z=z[:1])
    truth.head(1).to_csv(tmp_path / "alone.csv", index=False)
    truth[3:].to_csv(tmp_path / "few.csv", index=False)
    truth[3:].drop(columns="record").to_csv(tmp_path / "keyless.csv", index=False)
    pd.concat([truth, truth[:1]]).to_csv(tmp_path / "double.csv", index=False)
    truth.assign(sex="f").to_csv(tmp_path / "single.csv", index=False)
    truth.assign(rare=np.where(np.arange(N) < 1, "a", "b")).to_csv(tmp_path / "rare.csv", index=False)
    truth.assign(many=[f"n{i}" for i in range(N)]).to_csv(tmp_path / "many.csv", index=False)
    truth.assign(sex=truth["sex"].where(truth.index != 5), person=truth["person"].where(truth.index != 6)).to_csv(
        tmp_path / "gap.csv", index=False
    )
    truth.assign(record=truth["record"].astype(float).where(truth.index != 5)).to_csv(
        tmp_path / "gap-key.csv", index=False
    )
    truth[["client", "record"]].to_csv(tmp_path / "bare.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "white.toml").write_text('[audit]\nattackers = ["white-box-mlp"]\n')
    (tmp_path / "wrong.toml").write_text('[data]\ncolour = "red"\n')
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    return tmp_path


LABELS = ["--labels", "labels.csv", "--private", "sex"]
STORE = ["store", *LABELS]
KNOWN = [*STORE, "--tasks", "rich", "--raw", "labels.csv", "--attacks", "known-record"]
WRONG = [
    # publication
    (["nowhere", *LABELS], "no publication at 'nowhere'"),
    (["none", *LABELS], "'none' has no published part (*.parquet or *.npz)"),
    (["deep", *LABELS], "there are some in 'deep/er'"),
    (["labels.csv", *LABELS], "'labels.csv' is of an unknown kind"),
    (["mixed", *LABELS], "both .parquet and .npz"),
    (["unlike", *LABELS], "part-000001.parquet' does not fit the parts before it: it has 6 columns"),
    (["nan", *LABELS], "numbers that are missing, infinite or too large"),
    (["twice", *LABELS], "the publication has client 0, record 0 twice"),
    (["words.parquet", *LABELS], "can't be read as numbers, and is too varied for codes: 'name' (2 different texts)"),
    (["broken.parquet", *LABELS], "cannot read table 'broken.parquet'"),
    (["objects.npz", *LABELS], "pickled objects, which are never loaded"),
    (["pickle.npz", *LABELS], "pickled objects, which are never loaded"),
    (["broken.npz", *LABELS], "cannot read 'broken.npz'"),
    (["nameless.npz", *LABELS], "no array 'z': it has x"),
    (["scalar.npz", *LABELS], "shape (): expected (records, numbers)"),
    (["beside.npz", *LABELS], "array 'embedding' of 'beside.npz' has shape (3, 4): expected (400,)"),
    (["words.npz", *LABELS], "type <U1: expected numbers"),
    (["short.npz", *LABELS], "'client' of 'short.npz' has shape (3,): expected (400,)"),
    (["bytes.npz", *LABELS], "'id' of 'bytes.npz' has type |S1: expected numbers or text"),
    (["inf.npz", *LABELS], "infinite"),
    (["huge.npz", *LABELS], "too large for float32"),
    (["empty.npz", *LABELS], "no published record"),
    ([*LABELS], "the following arguments are required: publication"),
    # --labels
    (["store"], "--labels is missing"),
    (["store", "--labels", "nowhere.csv"], "No such file"),
    (["store", *LABELS, "--attackers"], "expected one argument"),
    (["store", *LABELS, "--attackers", ","], "--attackers ',': name at least one"),
    (["store", *LABELS, "--attackers", ""], "--attackers '': name at least one"),
    (["store", "--labels", "file"], "unknown kind"),
    (["store", "--labels", "empty.csv"], "'empty.csv' is empty"),
    (
        ["store", "--labels", "few.csv", "--private", "sex"],
        "no row for 3 of 400 published records, such as client 0, re",
    ),
    (["store", "--labels", "keyless.csv", "--private", "sex"], "cannot join the label table of 397 rows to 400"),
    (["store", "--labels", "double.csv", "--private", "sex"], "the label table has client 0, record 0 twice"),
    (["store", "--labels", "gap.csv", "--private", "sex"], "'sex' has no label for 1 of 400"),
    (["store", "--labels", "gap-key.csv", "--private", "sex"], "column 'record' has no value in 1 rows"),
    (["store", "--labels", "bare.csv"], "no column of the label table is left to attack"),
    # --private
    (["store", "--labels", "labels.csv", "--private", "shoe"], "unknown private attribute 'shoe': choose from sex"),
    (["store", "--labels", "labels.csv", "--private", ","], "--private ',': name at least one"),
    (["store", "--labels", "labels.csv", "--private", "sex,sex"], "'sex' is named twice"),
    (["store", "--labels", "single.csv", "--private", "sex"], "'sex' has a single value, 'f'"),
    (["store", "--labels", "rare.csv", "--private", "rare"], "private attribute 'rare' has a single value"),
    (["store", "--labels", "many.csv", "--private", "many"], "'many' has 320 values"),
    # --tasks
    ([*STORE, "--tasks", "sex"], "'sex' is named twice"),
    ([*STORE, "--tasks", "client"], "unknown task 'client': choose from sex, rich"),
    ([*STORE, "--tasks", ""], "--tasks '': name at least one"),
    # --participant
    ([*STORE, "--participant", "nobody"], "unknown participant column 'nobody': choose from client, record, sex"),
    ([*STORE, "--participant", "sex"], "'sex' is named twice"),
    ([*STORE, "--participant", " "], "--participant ' ': name a column"),
    (["store", "--labels", "gap.csv", "--private", "rich", "--participant", "person"], "'person' has no value for 1 "),
    (["alone.npz", "--labels", "alone.csv", "--private", "sex"], "fewer than two people"),
    # --held-out
    ([*STORE, "--held-out", "0"], "--held-out '0': give a share above 0 and below 1"),
    ([*STORE, "--held-out", "1"], "above 0 and below 1"),
    ([*STORE, "--held-out", "-0.1"], "above 0 and below 1"),
    ([*STORE, "--held-out", "nan"], "above 0 and below 1"),
    ([*STORE, "--held-out", "a fifth"], "above 0 and below 1"),
    ([*STORE, "--held-out", "0.001"], "a single value among the 1 held-out people"),
    # --raw
    ([*STORE, "--raw", "nowhere.csv"], "No such file"),
    ([*STORE, "--raw", "few.csv"], "the table of raw features has no row for 3 of 400"),
    ([*STORE, "--raw", "bare.csv"], "no feature column"),
    ([*STORE, "--raw", "double.csv"], "the table of raw features has client 0, record 0 twice"),
    # --attacks
    ([*STORE, "--attacks", "magic"], "unknown attack 'magic': choose one of membership, "),
    ([*STORE, "--attacks", "leaks,leaks"], "attacks have a value twice"),
    ([*STORE, "--attacks", ","], "--attacks ',': name at least one"),
    ([*STORE, "--attacks", "membership"], "'membership' needs the networks, which a publication comes without: choose"),
    ([*STORE, "--attacks", "leaks,reidentification"], "'reidentification' needs raw features: --raw FILE"),
    # --known
    ([*STORE, "--known", "rich"], "are for the attack known-record, which isn't asked for: name it in --attacks"),
    ([*KNOWN, "--known", "shoe"], "unknown column 'shoe': choose one of color, person"),
    ([*KNOWN, "--known", "color,color"], "color, color: has a column twice"),
    ([*KNOWN, "--known", ","], "--known ',': name at least one"),
    # --missing
    ([*STORE, "--missing", ","], "--missing ',': name at least one"),
    ([*STORE, "--missing", ""], "--missing '': name at least one"),
    ([*STORE, "--missing", "f"], "'sex' has no label for"),
    # --config
    ([*STORE, "--config", "nowhere.toml"], "cannot read config 'nowhere.toml'"),
    ([*STORE, "--config", "labels.csv"], "config 'labels.csv' is no valid TOML"),
    ([*STORE, "--config", "wrong.toml"], "colour"),
    (
        [*STORE, "--config", "white.toml"],
        "none of white-box-mlp attacks a publication without its networks: choose from",
    ),
    # --output
    ([*STORE, "--output", "taken"], "exists and is no earlier run"),
    ([*STORE, "--output", "file"], "exists and is no earlier run"),
    ([*STORE, "--output", "file/inside"], "cannot write to output"),
    # flags
    ([*STORE, "--lables", "x"], "--lables"),
    ([*STORE, "--labels"], "expected one argument"),
]


def test_wrong_input_gets_one_line_and_writes_nothing(call, wrong):
    before = tree(wrong)
    for flags, why in WRONG:
        status, out, err = call(*flags, *([] if "--output" in flags else ["--output", "out/here"]))
        assert (status, out) == (2, ""), (flags, out, err)
        assert len(err) == 1, (flags, err)
        assert err[0].startswith("error: "), (flags, err)
        assert why in err[0], (flags, err)
        assert tree(wrong) == before, flags  # nothing was written, and no pickle went off


def test_the_hostile_archive_is_hostile(wrong, monkeypatch):
    monkeypatch.chdir(wrong)
    with np.load(wrong / "objects.npz", allow_pickle=True) as file:
        file["z"]
    assert (wrong / "exploded").exists()


def test_torch_is_left_as_it_was(ours, truth):
    before = torch.get_num_threads()
    best(audited(ours, truth, private=["sex"]))
    assert torch.get_num_threads() == before
