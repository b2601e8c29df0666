"""Attackers of other packages: refused kindly where a package is missing, and never imported without being asked."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch

from fl_tiprdc.config import AuditConfig
from fl_tiprdc.errors import InputError
from fl_tiprdc.evaluation.audit import check_panel
from fl_tiprdc.evaluation.classifiers import CLASSIFIERS, OF_PACKAGES
from fl_tiprdc.evaluation.mlp import Perceptron
from fl_tiprdc.evaluation.todays_classifiers import PACKAGES
from tests.test_evaluation import easy_problem


@pytest.mark.parametrize("name", OF_PACKAGES)
def test_an_attacker_whose_package_is_missing_is_refused_in_one_line(name):
    assert name in CLASSIFIERS
    if find_spec(PACKAGES[name]):
        check_panel(AuditConfig(attackers=(name,)))
        return
    with pytest.raises(InputError) as refused:
        check_panel(AuditConfig(attackers=(name,)))
    assert str(refused.value) == f"attacker '{name}' needs {name}: pip install 'fl-tiprdc[attackers]'"


def test_no_package_of_the_extra_is_imported_without_being_asked_for():
    code = f"import sys, fl_tiprdc.evaluation.classifiers; sys.exit(bool({set(PACKAGES.values())} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_networks_that_learn_each_on_its_own_answer_together():
    """A network [b, networks, outputs], as TabM's: two perceptrons side by side."""

    class Two(torch.nn.Module):
        def __init__(self, outputs):
            super().__init__()
            self.each = torch.nn.ModuleList(torch.nn.Linear(4, outputs) for _ in range(2))

        def forward(self, x):
            return torch.stack([network(x) for network in self.each], dim=1)

    x, labels, classes = easy_problem()
    answers = Perceptron(0, build=Two).fit_predict(x[:600], labels[:600], classes, x[600:])
    assert [answer.shape for answer in answers] == [(300, 2), (300, 3), (300, 3)]
    assert (answers[0].argmax(1) == labels[600:, 0]).mean() > 0.9
