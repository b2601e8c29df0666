"""Principal components by sums: the axes that a crowd finds, and releases of codes that are made with them."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from fl_tiprdc.config import DataConfig, NetworkConfig
from fl_tiprdc.data.datasets import load_population
from fl_tiprdc.hybrid.components import components_at_one_place
from fl_tiprdc.hybrid.step import HybridStep
from fl_tiprdc.methods import METHODS
from fl_tiprdc.models.networks import has_components
from fl_tiprdc.release.components import COMPONENT_STATISTICS, fit_components
from fl_tiprdc.release.statistics import ask_all
from tests.coded_crowd import CLIENTS, coded, server_of, store_of
from tests.conftest import grid_of

COUNT = 5


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    """900 records of 40 numbers, most of what they say in few directions."""
    generator = np.random.default_rng(0)
    spread = np.geomspace(10, 0.1, 40)
    rotation = np.linalg.qr(generator.normal(size=(40, 40)))[0]
    return (3 + generator.normal(size=(900, 40)) * spread @ rotation).astype(np.float32)


def found(parts: list[np.ndarray], rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """The axes and the mean that clients with these records find together."""

    def answer(request):
        told = [COMPONENT_STATISTICS[request.name]([part], request.arrays) for part in parts]
        return {name: sum(one[name] for one in told) for name in told[0]}

    return ask_all(fit_components(parts[0].shape[1], COUNT, rounds, 0), answer)


def test_the_axes_are_those_of_a_principal_component_analysis(records):
    axes, center = found([records], 100)
    reference = PCA(COUNT).fit(records)
    np.testing.assert_allclose(axes.T @ axes, reference.components_.T @ reference.components_, atol=1e-3)
    np.testing.assert_allclose(center, records.mean(0), atol=1e-4)
    np.testing.assert_allclose(axes @ axes.T, np.eye(COUNT), atol=1e-5)


def test_it_makes_no_difference_who_holds_which_record(records):
    alone, _ = found([records], 8)
    together, _ = found(np.array_split(records[np.argsort(records[:, 0])], 7), 8)
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_eight_rounds_keep_nearly_what_components_can_keep(records):
    axes, center = found([records], 8)
    kept = ((records - center) @ axes.T).var(0).sum()
    assert kept > 0.98 * PCA(COUNT).fit(records).explained_variance_.sum()


def test_more_axes_than_numbers_in_a_record_leave_the_rest_at_zero():
    axes, _ = ask_all(
        fit_components(3, COUNT, 4, 0),
        lambda request: COMPONENT_STATISTICS[request.name]([np.eye(3, dtype=np.float32)], request.arrays),
    )
    np.testing.assert_allclose(axes @ axes.T, np.diag([1, 1, 1, 0, 0]), atol=1e-5)


@pytest.fixture(scope="module")
def digits():
    return load_population("digits", (), 0.2, DataConfig(records=900)).contributors


def test_pictures_are_coded_by_components_unless_a_network_is_named(digits, population):
    pictures, table = digits.description, population.contributors.description
    method, auto = METHODS["coded"].settings, NetworkConfig()
    trained = method.model_copy(update={"coding": method.coding.model_copy(update={"extractor": "trained"})})
    asked = method.model_copy(update={"coding": method.coding.model_copy(update={"extractor": "components"})})
    assert has_components(pictures, auto, method)
    assert not has_components(pictures, NetworkConfig(architecture="convolutional"), method)
    assert not has_components(pictures, auto, trained)
    assert not has_components(table, auto, method)
    assert has_components(table, auto, asked)
    assert not has_components(pictures, auto, METHODS["tiprdc+"].settings)


@pytest.mark.parametrize("secagg", [False, True], ids=["openly", "secure sums"])
def test_a_crowd_finds_the_axes_that_one_place_finds_from_those_who_do_not_certify(digits, secagg, tmp_path):
    store = store_of(digits, tmp_path / "store")
    experiment = coded({"coupling_rounds": 1, "lloyd_rounds": 0}, lambdas=(1.0,), protection={"secagg": secagg})
    (trained,) = server_of(experiment, digits, tmp_path)(grid_of(store))
    step = HybridStep(digits.description, experiment.network, experiment.method_config("coded"))
    share = experiment.method_config("coded").coding.certifying
    fitted = np.concatenate([store.records(i).x[:][~store.certifying(i, share)] for i in range(CLIENTS)])
    alone = components_at_one_place(step, fitted, 0)
    (name,) = (name for name in alone if name.endswith("weight"))
    crowd, one_place = trained.groups["extractor"][name], alone[name].numpy()
    np.testing.assert_allclose(crowd.T @ crowd, one_place.T @ one_place, atol=5e-3)
    phases = [exchange.phase for exchange in trained.exchanges]
    assert phases.count("codes.scatter") == experiment.method_config("coded").coding.component_rounds
    assert not [phase for phase in phases if phase.startswith("local")]
