"""The table of faults: which are tried, and what a line says. The faults themselves take real processes and minutes."""

import json

import pytest

from fl_tiprdc.errors import InputError, RunFailedError
from fl_tiprdc.studies.faults import FAULTS, attempt, chosen, published, row_of
from fl_tiprdc.studies.trial import PLAIN, Ending, refusal


class NoProcesses:
    """A trial that has a folder of results and nothing else."""

    def __init__(self, output):
        self.output = output

    def whole(self, setup):
        pass


def test_faults_are_chosen_by_words_in_their_names():
    assert chosen(None) == list(FAULTS)
    assert chosen("stranger, key") == ["a stranger", "a wrong key"]
    with pytest.raises(InputError, match="no fault is called 'flood': choose from a node"):
        chosen("stranger,flood")


def test_a_publication_is_the_same_when_all_its_parts_are(tmp_path):
    folder = tmp_path / "run" / "publication" / "lam-0.5"
    folder.mkdir(parents=True)
    assert published(tmp_path / "run") == {}
    (folder / "release.json").write_text(json.dumps({"parts": {"part-000000.parquet": {"rows": 1, "sha256": "ab"}}}))
    parts = published(tmp_path / "run")
    assert parts == {"publication/lam-0.5/part-000000.parquet": "ab"}
    ending = Ending("completed", "")
    assert row_of("a", ending, parts, dict(parts), 1.2) == ["a", "completed", "true", "", "1"]
    assert row_of("a", ending, parts, {**parts, "other": "cd"}, 1.2)[2] == "false"
    assert row_of("a", Ending("failed", "why"), {}, parts, 1.2) == ["a", "failed", "", "why", "1"]


@pytest.mark.parametrize(
    ("error", "ended"), [(InputError("no compiler"), "not tried"), (RunFailedError("ended early"), "failed")]
)
def test_what_can_not_be_tried_is_said_in_the_table(tmp_path, error, ended):
    def fault(trial):
        raise error

    ending, parts, _ = attempt(NoProcesses(tmp_path / "none"), fault, PLAIN)
    assert (ending, parts) == (Ending(ended, str(error)), {})


def test_a_refusal_is_the_line_that_has_the_reason(tmp_path):
    log = tmp_path / "node.log"
    log.write_text("Starting\n\x1b[91mERROR \x1b[0m: Exit Code: 305\nFailed to activate SuperNode\n\nbye\n")
    assert refusal(log) == "Failed to activate SuperNode"
