"""The study of every method over every data set."""

import math

import numpy as np
import pandas as pd
import pytest

from fl_tiprdc.config import Experiment
from fl_tiprdc.data.german_credit import load_german_credit
from fl_tiprdc.errors import InputError, TooFewPeopleError
from fl_tiprdc.experiment.checking import check_against
from fl_tiprdc.methods import METHODS
from fl_tiprdc.report.style import colors
from fl_tiprdc.report.suite_figure import suite_figure
from fl_tiprdc.studies.suite import page
from simulations.suite import main

SMALL = """
attackers = ["logistic"]
probes = ["logistic"]
bootstrap = 5
validation = 0.0
further = []
"""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    (folder / "small.toml").write_text(f"seeds = [0]\nbaselines = []\nsettings = ['federated']\n[audit]{SMALL}")
    flags = ["--config", str(folder / "small.toml"), "--output", str(folder / "study"), "--rounds", "2"]
    flags += ["--datasets", "german-credit", "--methods", "maxmi,coded", "--runtime", "inline", "--clients", "5"]
    main(flags)
    return folder / "study", flags


def test_a_crowd_too_small_for_codes_has_a_row_that_says_so(study):
    table = pd.read_csv(study[0] / "suite.csv").set_index("method")
    assert 0 < table.loc["maxmi", "panel"] <= 1
    assert table.loc["maxmi", "seeds"] == 1
    assert table.loc["maxmi", "megabytes"] > 0
    assert math.isnan(table.loc["coded", "retention"])
    assert "that is too few to fit a coupling on" in table.loc["coded", "note"]
    text = (study[0] / "suite.md").read_text()
    assert "## german-credit, hiding sex" in text
    assert "people are not male: that is too few" in text
    assert (study[0] / "suite.png").stat().st_size > 5000


def test_it_goes_on_where_it_was(study, capsys):
    before = (study[0] / "suite.csv").read_text()
    main(study[1])
    assert "german-credit-maxmi: taken from" in capsys.readouterr().out
    assert (study[0] / "suite.csv").read_text() == before


def test_a_run_is_refused_before_any_training_where_codes_cannot_be_fitted():
    from fl_tiprdc.config import DataConfig

    people = load_german_credit(DataConfig(), ["sex"], 0.2)
    with pytest.raises(TooFewPeopleError, match="people are not male: that is too few to fit a coupling on"):
        check_against(Experiment(clients=20, methods=("coded",)), people)
    check_against(Experiment(clients=20, methods=("tiprdc+",)), people)


def test_where_every_cell_is_refused_the_table_says_so(tmp_path):
    main(["--datasets", "german-credit", "--methods", "coded", "--seeds", "0", "--output", str(tmp_path / "out")])
    (row,) = pd.read_csv(tmp_path / "out" / "suite.csv").to_dict("records")
    assert (row["dataset"], row["private"], row["method"]) == ("german-credit", "sex", "coded")
    assert "that is too few to fit a coupling on" in row["note"]


def test_an_unknown_data_set_is_named(tmp_path):
    with pytest.raises(InputError, match="unknown data set 'magic': choose one of adult, "):
        main(["--datasets", "magic", "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_page_and_the_figure_hold_every_data_set():
    shared = {"seeds": 3, "note": "", "raw": 0.9, "limit": 0.8, "codes": np.nan, "exact": np.nan, "certified": np.nan}
    numbers = {"lam": 1.0, "retention": 0.7, "retention_low": 0.6, "retention_high": 0.75, "panel": 0.6}
    numbers |= {"seconds": 3.0, "megabytes": 2000.0}
    table = pd.DataFrame(
        {"dataset": name, "private": "sex", "method": "tiprdc+", **shared, **numbers} for name in ("one", "two")
    )
    text = page(table)
    assert "## one, hiding sex" in text
    assert "| tiprdc+ | 3 | 1 |  | 0.700 (0.600 to 0.750) | 0.600 |  |  | 3 | 2,000 |" in text
    drawn = [axes.get_title() for axes in suite_figure(table).axes]
    assert drawn == ["one, hiding sex", "two, hiding sex"]


def test_every_method_has_a_color_of_its_own():
    assert len(set(colors([*METHODS]).values())) == len(METHODS)
