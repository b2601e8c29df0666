"""The settings that come with the package: by name, and by the paths that they once had."""

import warnings
from pathlib import Path

import pytest

from fl_tiprdc.command_line.flags import experiment_parser, given_experiment
from fl_tiprdc.command_line.presets import PRESETS, config_file
from fl_tiprdc.commands.flwr_run import run_config_of
from fl_tiprdc.errors import InputError
from fl_tiprdc.flower.run_config import flags_of, run_config_defaults
from fl_tiprdc.notices import DataNotice


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_name_is_a_preset():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert config_file("images") == PRESETS["images"]
    assert given_experiment(experiment_parser("").parse_args(["--config", "images"])).dataset == "avatars"


@pytest.mark.parametrize("path", ["simulations/images.toml", "simulations/presets/images.toml", "/nowhere/images.toml"])
def test_a_path_that_is_not_there_is_the_preset_of_its_name_and_says_so(path):
    with pytest.warns(DataNotice, match=f"there is no '{path}': the preset 'images' is taken"):
        assert config_file(path) == PRESETS["images"]


@pytest.mark.parametrize("name", ["images.toml", "images", "folder/images.toml"])
def test_a_file_wins_over_a_preset(name):
    Path("folder").mkdir()
    Path(name).write_text("clients = 3\n")
    assert config_file(name) == Path(name)


def test_a_folder_of_a_presets_name_is_not_in_its_way():
    Path("images").mkdir()
    assert config_file("images") == PRESETS["images"]


@pytest.mark.parametrize("text", ["imagse", "folder/images", "images.csv", "other.toml"])
def test_what_is_neither_gets_one_line_with_the_presets(text):
    with pytest.raises(
        InputError, match=rf"cannot read config '{text}': .* ablation, .* paper-lfw, partitions, suite$"
    ):
        config_file(text)


def test_flower_is_told_the_presets_file_or_its_name():
    assert run_config_of(experiment_parser("").parse_args(["--config", "images"]))["config"] == str(PRESETS["images"])
    assert flags_of(run_config_defaults() | {"config": "images"}) == ["--config=images"]
