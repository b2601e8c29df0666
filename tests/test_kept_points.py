"""Points of clients' records are made once for all questions of a fit, by each extractor, as far as there is room."""

import numpy as np

from fl_tiprdc.federated.kept_points import KeptPoints


def points(value: float, made: list[float]):
    def make() -> np.ndarray:
        made.append(value)
        return np.full((4, 8), value, dtype=np.float32)

    return make


def test_points_are_made_once_until_another_extractor_makes_them():
    kept, made = KeptPoints(), list[float]()
    for _ in range(2):
        assert (kept.of(0, ("one", "network"), points(1.0, made)) == 1).all()
        assert (kept.of(1, ("one", "network"), points(2.0, made)) == 2).all()
    assert made == [1.0, 2.0]
    assert (kept.of(0, ("other", "network"), points(3.0, made)) == 3).all()
    assert (kept.of(0, ("one", "network"), points(4.0, made)) == 4).all()
    assert made == [1.0, 2.0, 3.0, 4.0]


def test_what_has_no_room_is_made_anew():
    kept, made = KeptPoints(most=200), list[float]()  # one client's points are 128 bytes
    for _ in range(3):
        assert (kept.of(0, ("one",), points(1.0, made)) == 1).all()
        assert (kept.of(1, ("one",), points(2.0, made)) == 2).all()
    assert made == [1.0, 2.0, 2.0, 2.0]
