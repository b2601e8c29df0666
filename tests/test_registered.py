"""What somebody registers works in the processes of every runtime, as it does in this one."""

import numpy as np
import pytest

from fl_tiprdc.config import Point
from fl_tiprdc.experiment.parallel import as_done
from fl_tiprdc.federated.launch import launch, launch_all
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY, maximum_entropy
from strategies.robust import AGGREGATIONS
from tests.conftest import serve
from tests.test_runtimes import largest_difference

OWN = {"exchange": "weights", "privacy": "own-privacy", "information": "own-information"}
BUILT_IN = {"exchange": "weights", "privacy": "maximum-entropy", "information": "jsd-pairs"}


@pytest.fixture
def own_things(monkeypatch):
    """Registers a privacy objective, an information bound and an aggregation, which no other process can import."""
    critic, bound = INFORMATION["jsd-pairs"]

    def own_privacy(*arguments):
        return -maximum_entropy(*arguments)

    def own_information(*arguments):
        return -bound(*arguments)

    def largest(replies, weights):
        return {name: max((reply[name] for reply in replies), key=np.linalg.norm) for name in replies[0]}

    monkeypatch.setitem(PRIVACY, "own-privacy", own_privacy)
    monkeypatch.setitem(INFORMATION, "own-information", (critic, own_information))
    monkeypatch.setitem(AGGREGATIONS, "largest", lambda share: largest)


@pytest.mark.parametrize("runtime", ["ray-cohort", "flower", "side by side"])
def test_own_losses_and_an_own_rule_train_alike_in_every_runtime(
    runtime, own_things, small, make_store, population, tmp_path, one_thread
):
    store = make_store(4, "iid")
    experiment = small(
        clients=4,
        methods=("own", "other"),
        method={"own": OWN, "other": BUILT_IN},
        federation={"rounds": 1, "aggregation": "largest"},
    )

    def server(method, folder):
        points = [Point(method, 0.5, 0)]
        return lambda grid, *_: serve(
            grid, experiment, population.contributors.description, points, lambda point: tmp_path / folder / method
        )[0]

    own = launch("inline", server("own", "inline"), store.root)
    if runtime == "side by side":
        servers = [server(method, runtime) for method in experiment.methods]
        there, other = launch_all("ray-cohort", servers, store.root, 2)
        assert largest_difference(there.groups, other.groups) > 1e-3, "the own losses were not used"
    else:
        there = launch(runtime, server("own", runtime), store.root, 2)
    assert largest_difference(there.groups, own.groups) < 1e-5


def test_own_losses_are_known_where_audits_and_centralized_trainings_run(own_things):
    def names():
        from fl_tiprdc.hybrid.privacy import PRIVACY

        return list(PRIVACY)

    assert "own-privacy" in dict(as_done({"names": names}))["names"]
