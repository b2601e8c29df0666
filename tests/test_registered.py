"""What somebody registers works in the processes of every runtime, as it does in this one."""

import importlib
import sys
import threading
import tomllib
import types

import numpy as np
import pytest

from fl_tiprdc.config import Point, build_experiment
from fl_tiprdc.errors import InputError
from fl_tiprdc.experiment.checking import check_settings
from fl_tiprdc.experiment.parallel import as_done
from fl_tiprdc.experiment.run_folder import config_text
from fl_tiprdc.federated.launch import launch, launch_all
from fl_tiprdc.hybrid.bounds import INFORMATION
from fl_tiprdc.hybrid.privacy import PRIVACY, maximum_entropy
from fl_tiprdc.hybrid.registered import Registered, entries_of, register
from fl_tiprdc.methods import METHODS, Method
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


@pytest.mark.parametrize("runtime", ["ray-cohort", "side by side", "flower"])  # whose engine ends the others' Ray
def test_own_losses_and_an_own_rule_train_alike_in_every_runtime(
    runtime, own_things, small, make_store, population, tmp_path, one_thread, request
):
    if runtime != "flower":
        request.getfixturevalue("ray_session")

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


def test_a_module_that_only_this_process_finds_is_found_in_the_others(
    small, make_store, population, tmp_path, monkeypatch, ray_session
):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "own_rule_module.py").write_text(
        "from fl_tiprdc.hybrid.privacy import maximum_entropy as usual\n\ndef own(*given):\n    return -usual(*given)\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    monkeypatch.setitem(PRIVACY, "elsewhere", importlib.import_module("own_rule_module").own)
    store = make_store(4, "iid")
    experiment = small(clients=4, methods=("own",), method={"own": {"privacy": "elsewhere"}}, federation={"rounds": 1})

    def server(grid, *_):
        points = [Point("own", 0.5, 0)]
        return serve(grid, experiment, population.contributors.description, points, lambda point: tmp_path / "out")[0]

    assert launch("ray-cohort", server, store.root, 2).exchanges
    assert launch_all("ray-cohort", [server, server], store.root, 2)[1].exchanges


def test_what_cannot_be_sent_or_is_unknown_elsewhere_is_named(monkeypatch):
    lock = threading.Lock()
    sent = entries_of()
    with monkeypatch.context() as patched:
        patched.setitem(PRIVACY, "locked", lambda *given: lock)
        with pytest.raises(InputError, match="'locked' is registered and can't be sent to other processes: "):
            entries_of()
    gone = types.ModuleType("gone_module")
    exec("def own(*given):\n    pass\n", vars(gone))
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "gone_module", gone)
        patched.setitem(PRIVACY, "gone", gone.own)
        sent = entries_of()
    with pytest.raises(
        InputError, match="'gone' is registered and unknown in another process: No module named 'gone_m"
    ):
        register(sent)


def test_what_is_registered_anew_under_a_name_is_what_trains(small, make_store, population, tmp_path, monkeypatch):
    store = make_store(4, "iid")
    experiment = small(clients=4, methods=("own",), method={"own": {"privacy": "mine"}}, federation={"rounds": 1})
    points = [Point("own", 0.9, 0)]

    def train():
        def server(grid):
            return serve(grid, experiment, population.contributors.description, points, lambda point: tmp_path / "out")[
                0
            ]

        return launch("inline", server, store.root).groups

    monkeypatch.setitem(PRIVACY, "mine", maximum_entropy)
    first = train()
    monkeypatch.setitem(PRIVACY, "mine", lambda *given: -maximum_entropy(*given))
    assert largest_difference(first, train()) > 1e-3
    monkeypatch.setitem(PRIVACY, "mine", maximum_entropy)
    assert largest_difference(first, train()) == 0


def test_no_later_entry_is_taken_for_one_that_is_gone():
    """Objects that come one after the other have the same address in turns."""
    registry = {}
    seen = []
    for _ in range(50):
        registry["mine"] = object()
        seen.append(Registered((registry,)))
        assert Registered((registry,)) == seen[-1]
    assert len(set(seen)) == 50


def test_a_registered_method_is_in_the_settings_of_its_run(monkeypatch):
    own = METHODS["tiprdc"].settings.model_copy(update={"privacy": "maximum-entropy"})
    monkeypatch.setitem(METHODS, "mine", Method(own, "mine"))
    checked = check_settings(build_experiment({"methods": ["mine", "coded"]}))
    assert checked.method == {"mine": own}
    monkeypatch.delitem(METHODS, "mine")
    assert build_experiment(tomllib.loads(config_text(checked))).method_config("mine") == own
