"""The comparison of two runs value by value."""

import pandas as pd
import pytest

from fl_tiprdc.errors import InputError
from simulations.same_values import main
from tests.invented_metrics import metrics_of

POINT = ("federated", "coded", 0.5, 0)


@pytest.fixture
def runs(tmp_path):
    """Writes the metrics of two runs: (what the attack got, ...) of each."""

    def write(*of_each):
        for name, values in zip(("before", "after"), of_each, strict=True):
            rows = [(*POINT, "attack", f"sex {i}", "mlp", "auc", v, v - 0.1, v + 0.1) for i, v in enumerate(values)]
            (tmp_path / name).mkdir()
            metrics_of(rows).to_csv(tmp_path / name / "metrics.csv", index=False)
        return [str(tmp_path / "before"), str(tmp_path / "after")]

    return write


def test_two_runs_with_the_same_values(runs, capsys):
    main(runs((0.5, 0.7), (0.5, 0.7)))
    assert capsys.readouterr().out == "all 6 values of 2 rows are the same\n"


@pytest.mark.parametrize("after", [(0.5, 0.7 + 1e-15), (0.5,), (0.5, 0.7, 0.9)], ids=["digit", "fewer", "more"])
def test_one_digit_or_one_row_is_a_difference(runs, after, capsys):
    with pytest.raises(SystemExit, match=r"^1 of [23] rows differ$"):
        main(runs((0.5, 0.7), after))
    assert "rows that differ" in capsys.readouterr().out


def test_a_folder_of_no_run_is_refused(tmp_path, runs):
    before, after = runs((0.5,), (0.5,))
    with pytest.raises(InputError, match="cannot read"):
        main([str(tmp_path), after])
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "before" / "metrics.csv", index=False)
    with pytest.raises(InputError, match="has other columns"):
        main([before, after])
