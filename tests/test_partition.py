"""Who holds what."""

import numpy as np
import pytest

from fl_tiprdc.data.partition import joint_codes, parse_partition, partition
from fl_tiprdc.errors import InputError

SPECS = ("iid", "dirichlet:0.3", "by-private")


@pytest.fixture(scope="module")
def private():
    """600 records: one attribute of two values (a third and two thirds)."""
    return np.random.default_rng(0).permutation(np.repeat([0, 1, 1], 200))[:, None]


def lists(parts):
    return [part.tolist() for part in parts]


def shares_of_one(parts, private) -> np.ndarray:
    return np.array([private[part, 0].mean() for part in parts if len(part)])


@pytest.mark.parametrize("spec", [*SPECS, "dirichlet:0.001", "dirichlet:1000"])
@pytest.mark.parametrize("clients", [2, 7, 50])
def test_every_record_belongs_to_exactly_one_client(spec, clients, private):
    parts = partition(private, clients, spec, 0)
    assert len(parts) == clients
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(600))


@pytest.mark.parametrize("spec", SPECS)
def test_a_seed_decides(spec, private):
    first = lists(partition(private, 7, spec, 3))
    assert lists(partition(private, 7, spec, 3)) == first
    assert lists(partition(private, 7, spec, 4)) != first


def test_iid_clients_are_of_one_size_and_alike(private):
    parts = partition(private, 6, "iid", 0)
    assert [len(part) for part in parts] == [100] * 6
    # shares of 100 records around 2/3: a standard deviation of .047
    assert np.abs(shares_of_one(parts, private) - 2 / 3).max() < 4 * 0.047


def test_one_client_holds_all_and_a_client_may_hold_one(private):
    assert lists(map(np.sort, partition(private, 1, "iid", 0))) == [list(range(600))]
    assert {len(part) for part in partition(private, 600, "iid", 0)} == {1}


def test_by_private_clients_hold_one_value_each(private):
    parts = partition(private, 9, "by-private", 0)
    assert all(len(np.unique(private[part])) == 1 for part in parts)
    assert {int(private[part[0], 0]) for part in parts} == {0, 1}


def test_by_private_holds_one_combination_of_several_attributes():
    private = np.stack([np.arange(60) % 2, np.arange(60) % 3], axis=1)
    parts = partition(private, 12, "by-private", 0)
    assert [len(np.unique(private[part], axis=0)) for part in parts] == [1] * 12
    assert len({tuple(private[part[0]]) for part in parts}) == 6


def test_joint_codes_number_combinations():
    codes = joint_codes(np.array([[0, 1], [1, 0], [0, 1], [1, 1]]))
    assert codes.tolist() == [0, 1, 0, 2]


def test_dirichlet_is_more_skewed_for_a_smaller_alpha(private):
    def skew(alpha: str) -> float:  # mean distance of a client's share from the crowd's, over five seeds
        spread = [shares_of_one(partition(private, 10, f"dirichlet:{alpha}", seed), private) for seed in range(5)]
        return float(np.abs(np.concatenate(spread) - 2 / 3).mean())

    assert skew("0.1") > skew("1") > skew("100")
    assert skew("100") < 0.06  # nearly iid


def test_parse_partition():
    assert parse_partition("iid") == ("iid", 0.0)
    assert parse_partition("by-private") == ("by-private", 0.0)
    assert parse_partition("dirichlet:0.5") == ("dirichlet", 0.5)


@pytest.mark.parametrize(
    "spec",
    ["", "IID", "iid:", "iid:2", "by_private", "by-private:1", "dirichlet", "random", "dirichlet-0.5"]
    + [f"dirichlet:{alpha}" for alpha in ("", "0", "-1", "nan", "inf", "many", "1:2")],
)
def test_wrong_spellings(spec, private):
    with pytest.raises(InputError) as error:
        partition(private, 5, spec, 0)
    message = str(error.value)
    assert f"partition '{spec}'" in message
    assert "\n" not in message
    assert "dirichlet:ALPHA (ALPHA > 0)" in message or "ALPHA must be a number above 0" in message


@pytest.mark.parametrize("spec", SPECS)
def test_more_clients_than_records(spec, private):
    with pytest.raises(InputError, match="601 clients but only 600 records: ask for at most that many clients"):
        partition(private, 601, spec, 0)


def test_by_private_needs_a_client_for_each_value_and_a_record_for_each_client():
    private = np.repeat([0, 1, 2], [50, 4, 50])[:, None]
    # the rare value's turn are clients 1, 4, 7 and 10: its four records suffice for 13 clients
    for clients in (3, 13):
        assert min(len(part) for part in partition(private, clients, "by-private", 0)) > 0
    for clients in (2, 14):
        with pytest.raises(InputError, match=f"{clients} clients but partition by-private needs 3 to 13"):
            partition(private, clients, "by-private", 0)
