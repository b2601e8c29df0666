"""What updates give away: the attack by itself on made-up updates, and on those of real clients."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from fl_tiprdc.config import Point
from fl_tiprdc.data.partition import partition
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.attacks.seen_updates import NONE, Defence, Updates, draw_sets, sketch, with_noise
from fl_tiprdc.evaluation.attacks.update_attack import attack, head_place, judge, rank_correlation, read_head
from fl_tiprdc.federated.client_store import ClientStore, write_client_store
from fl_tiprdc.federated.local_work import perform
from fl_tiprdc.federated.server_app import instruction_for
from fl_tiprdc.studies.updates import COLUMNS
from simulations import updates

from .conftest import initial_arrays

NUMBERS, CROWD = 300, 0.4


def made_up(n, seed, strength=3.0):
    """Clients with one value each, which moves their updates in one direction of each group."""
    generator = np.random.default_rng(seed)
    share = (np.arange(n) % 2).astype(float)
    groups = {
        name: (generator.normal(size=(n, NUMBERS)) + 0.2).astype(np.float32) for name in ("extractor", "adversary")
    }
    for x in groups.values():
        x[:, :9] += strength * (share[:, None] - 0.5)
    return Updates(groups, share, np.full(n, 50))


def read(shadow, real, *defences, weighted=False, seed=0):
    return attack(shadow, real, CROWD, defences, seed, 30, weighted)


# ---- the parts


def test_a_sketch_keeps_lengths_and_angles():
    shadow, real = made_up(20, 0).groups["extractor"], made_up(10, 1).groups["extractor"]
    found = sketch(shadow, real)
    assert found.shadow.shape[1] == found.real.shape[1] <= 31
    assert found.numbers == NUMBERS
    both, wanted = np.concatenate([found.shadow, found.real]), np.concatenate([shadow, real]).astype(float)
    np.testing.assert_allclose(both @ both.T, wanted @ wanted.T, rtol=1e-4, atol=1e-2)


def test_noise_fills_all_numbers_of_an_update():
    generator = np.random.default_rng(0)
    x = np.zeros((2000, 5))
    noisy = with_noise(x, 0.5, NUMBERS, generator)
    assert noisy.shape == (2000, 6)
    assert (noisy**2).sum(1).mean() == pytest.approx(0.25 * NUMBERS, rel=0.02)
    assert noisy[:, :5].std() == pytest.approx(0.5, rel=0.03)
    assert not with_noise(x, 0.0, NUMBERS, generator).any()


def test_sets_hold_their_target_and_no_one_twice():
    member = draw_sets(10, 4, 3, np.random.default_rng(0))
    assert member.shape == (30, 10)
    assert (member.sum(1) == 4).all()
    assert (member[np.arange(30), np.arange(30) // 3] == 1).all()
    assert (draw_sets(10, 10, 1, np.random.default_rng(0)) == 1).all()


def test_rank_correlation_is_scipys():
    generator = np.random.default_rng(0)
    score, share = np.round(generator.normal(size=60), 1), np.round(generator.random(60), 1)
    times = generator.integers(0, 3, (4, 60)).astype(np.float32)
    wanted = [spearmanr(np.repeat(score, t), np.repeat(share, t)).statistic for t in times.astype(int)]
    np.testing.assert_allclose(rank_correlation(score, share, times), wanted, atol=1e-9)
    assert rank_correlation(np.zeros(60), share, times).tolist() == [0] * 4


def test_scores_equal_but_for_rounding_tell_nothing():
    score = 1 + 1e-13 * np.arange(40)
    auc, _ = judge(score, (np.arange(40) >= 20).astype(float), np.arange(40), CROWD, 20)
    assert (auc.low, auc.value, auc.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("shapes", "classes", "attribute", "wanted"),
    [
        ({"0.weight": (4, 3), "0.bias": (4,), "2.weight": (2, 4), "2.bias": (2,)}, (2,), 0, 12 + 4 + 8 + 1),
        ({"0.weight": (5, 3), "0.bias": (5,)}, (2, 3), 1, 15 + 2 + 1),
        (
            {"each.0.0.weight": (2, 3), "each.0.0.bias": (2,), "each.1.0.weight": (3, 3), "each.1.0.bias": (3,)},
            (2, 3),
            1,
            18,
        ),
        ({"0.weight": (2, 3)}, (2,), 0, None),
    ],
)
def test_where_the_last_bias_is(shapes, classes, attribute, wanted):
    assert head_place(shapes, classes, attribute, 1) == wanted


# ---- the attack on made-up updates


def test_updates_that_tell_are_read_and_defences_help():
    shadow, real = made_up(120, 0), made_up(60, 1)
    found = read(shadow, real, NONE, Defence("noise", 0), Defence("noise", 100), Defence("sum", 2), Defence("sum", 30))
    for group in ("extractor", "adversary", "all"):
        assert found[group, NONE].auc.value > 0.95
        assert found[group, NONE].rank.value > 0.7
        assert found[group, Defence("noise", 0)].auc.value > 0.95  # clipping alone hides nothing
        assert found[group, Defence("noise", 100)].auc.value == pytest.approx(0.5, abs=0.2)
        assert found[group, NONE].auc.value > found[group, Defence("sum", 2)].auc.value + 0.05
        assert found[group, Defence("sum", 2)].auc.value > found[group, Defence("sum", 30)].auc.value + 0.1
        assert found[group, Defence("sum", 30)].auc.value == pytest.approx(0.5, abs=0.15)
    # two of which one is known to be the target, the other as likely either: ½ + ½ · ¾
    assert found["exact", Defence("sum", 2)].auc.value == pytest.approx(0.875, abs=0.06)
    assert found["all", NONE].clients == 60


def test_updates_that_tell_nothing_are_not_read():
    found = []
    for draw in range(6):
        sides = [made_up(n, 2 * draw + side, strength=0) for side, n in enumerate((90, 60))]
        one = [replace(side, groups={"extractor": side.groups["extractor"]}) for side in sides]
        found.append(read(*one, NONE)["extractor", NONE].auc.value)
    # under chance an AUC of 30 against 30 has a standard deviation of √(61 / (12 · 30 · 30)) = .075
    assert np.mean(found) == pytest.approx(0.5, abs=3 * 0.075 / np.sqrt(6))


def test_a_sum_over_everybody_is_the_same_for_everybody():
    found = read(made_up(60, 0), made_up(20, 1), Defence("sum", 20))
    assert found["all", Defence("sum", 20)].auc.value == 0.5


def test_the_attack_is_deterministic_in_the_seed():
    shadow, real = made_up(60, 0, 0.3), made_up(40, 1, 0.3)
    defences = (NONE, Defence("noise", 0.1), Defence("sum", 3))
    assert read(shadow, real, *defences) == read(shadow, real, *defences)
    assert read(shadow, real, *defences) != read(shadow, real, *defences, seed=1)


def test_shadows_of_one_kind_teach_nothing():
    shadow = made_up(30, 0)
    found = read(replace(shadow, share=np.ones(30)), made_up(20, 1), NONE)["all", NONE]
    assert found.attacker == "none"
    assert np.isnan(found.auc.value)  # nothing was measured, which is not chance


# ---- real clients


def answered(population, crowd, root, parts, experiment, phase, seed):
    write_client_store(root, crowd.records(), parts, population.contributors.description, seed)
    groups = initial_arrays(population, experiment, "tiprdc+")
    base = replace(instruction_for(experiment, Point("tiprdc+", 0.5, seed)), phase=phase)
    store = ClientStore(root)
    found = perform(store, base, groups, range(len(parts)))
    flat = {
        name: np.concatenate(
            [
                (value - (groups[name][key] if phase == "local-training" else 0)).reshape(len(parts), -1)
                for key, value in arrays.items()
            ],
            axis=1,
        )
        for name, arrays in found.groups.items()
    }
    share = np.array([(crowd.private[part, 0] == 0).mean() for part in parts])
    return Updates(flat, share, store.sizes), {key: value.shape[1:] for key, value in found.groups["adversary"].items()}


@pytest.fixture
def both_crowds(population, small, tmp_path):
    """Shadow and real updates: both_crowds(spec, phase, seed)."""

    def make(spec, phase, seed):
        experiment, sides = small(), []
        for number, (crowd, clients) in enumerate([(population.held_out, 30), (population.contributors, 30)]):
            parts = partition(crowd.private, clients, spec, seed)
            root = tmp_path / f"{seed}-{number}"
            sides.append(answered(population, crowd, root, parts, experiment, phase, number))
        return sides[0][0], *sides[1]

    return make


@pytest.mark.parametrize("phase", ["adversary-gradient", "hybrid-gradient", "local-training"])
def test_the_adversarys_update_gives_a_clients_one_value_away(both_crowds, phase):
    learned = []
    for seed in range(4):
        shadow, real, shapes = both_crowds("by-private", phase, seed)
        learned.append(attack(shadow, real, 0.33, [NONE], 0, 50)["adversary", NONE].auc.value)
        place = head_place(shapes, (2,), 0, 0)
        sign = 1 if phase == "local-training" else -1
        assert read_head(real, place, 0.33, sign, 50).auc.value > 0.9
    # learned from thirty shadow clients, whose axes differ from crowd to crowd, and from processor to processor
    assert np.mean(learned) > 0.75


def test_clients_of_equal_composition_cannot_be_told_apart(population, small, tmp_path):
    def equal(crowd, clients):
        ones, twos = (np.flatnonzero(crowd.private[:, 0] == k) for k in (0, 1))
        return [np.concatenate([ones[2 * i : 2 * i + 2], twos[4 * i : 4 * i + 4]]) for i in range(clients)]

    sides = []
    for number, crowd in enumerate((population.held_out, population.contributors)):
        parts = equal(crowd, 30)
        found, _ = answered(population, crowd, tmp_path / f"{number}", parts, small(), "hybrid-gradient", number)
        assert found.share == pytest.approx(np.full(30, 1 / 3))
        # any target then has nothing to do with the private value: here every second client
        sides.append(replace(found, share=(np.arange(30) % 2).astype(float)))
    for reading in attack(*sides, 0.33, [NONE], 0, 100).values():
        assert reading.auc.low <= 0.5 <= reading.auc.high


# ---- the command


@pytest.fixture
def arguments(adult_is_small, tmp_path):
    return [
        *("--clients", "6", "--rounds", "1", "--shadows", "2", "--noise", "0,1", "--members", "2,6"),
        *("--bootstrap", "10", "--partitions", "by-private", "--output", str(tmp_path / "u"), "--config"),
        str(tmp_path / "small.toml"),
    ]


CONFIG = """
[network]
representation = 8
extractor_hidden = [24]
adversary_hidden = [16]
critic_hidden = [16]
[federation]
updates_per_round = 2
gradient_clients = 3
"""


def test_the_command_leaves_a_table_and_a_figure(arguments, tmp_path, capsys):
    (tmp_path / "small.toml").write_text(CONFIG)
    updates.main(arguments)
    table = pd.read_csv(tmp_path / "u" / "updates.csv")
    assert list(table.columns) == list(COLUMNS)
    assert set(table["phase"]) == {"hybrid-gradient", "adversary-gradient", "local-training", "any"}
    assert set(table["moment"]) == {"start", "middle", "end", "any"}
    assert set(table["group"]) == {"extractor", "adversary", "critic", "all", "losses", "records", "exact"}
    assert (table["low"] <= table["high"]).all()
    everybody = table[(table["defence_level"] == 6) & (table["metric"] == "auc") & (table["exchange"] == "gradients")]
    assert (everybody["value"] == 0.5).all()
    assert (tmp_path / "u" / "updates.png").stat().st_size > 5000
    assert "results:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--members", "1"),
        ("--members", "7"),
        ("--noise", "-1"),
        ("--noise", "loud"),
        ("--exchanges", "letters"),
        ("--value", "Other"),
        ("--partitions", "by-height"),
        ("--lam", "0.1,0.2"),
    ],
)
def test_wrong_values_are_named(arguments, tmp_path, flag, value):
    (tmp_path / "small.toml").write_text(CONFIG)
    with pytest.raises(InputError, match=value.split(",")[0]):
        updates.main([*arguments, flag, value])
    assert not (tmp_path / "u").exists()
