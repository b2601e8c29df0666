"""Counts of people that a code fit is answered with: nobody counts more people than there are."""

import numpy as np
import pytest
from flwr.app import RecordDict

from fl_tiprdc.errors import TooManyFailuresError
from fl_tiprdc.wire.messages import Update
from strategies.code_questions import check_sums
from strategies.reply_check import BadReplyError, ReplyCheck, within


def reply(counts: np.ndarray, records: int) -> RecordDict:
    return Update({"sums": {"counts": counts.astype(np.float32)}}, records, (0.0, 0.0, 0.0), 1).pack()


def test_a_client_counts_its_own_people_at_most():
    check = ReplyCheck(1, {"sums": {"counts": np.zeros((2, 2, 3), np.float32)}})
    honest = np.zeros((2, 2, 3))
    honest[:, 0, 0], honest[:, 1, 2] = 4, 6  # two couplings of the same ten people
    assert check.read(reply(honest, 10), 10).records == 10
    for forged in (honest * 1.2, honest + 1e5, honest - 1):
        with pytest.raises(BadReplyError, match="more people than its 10 records, or below zero"):
            check.read(reply(forged, 10), 10)


def test_couplings_are_counted_one_by_one():
    assert within(np.full((5, 1, 2), 5.0), 10)
    assert not within(np.array([[[11.0, 0.0]], [[0.0, 0.0]]]), 10)
    assert within(np.zeros((2, 3)), 0)


def test_a_masked_sum_of_more_people_than_there_are_ends_the_run():
    check_sums({"counts": np.full((2, 5), 10.0, np.float32)}, 100)
    with pytest.raises(TooManyFailuresError, match="more people than the 100"):
        check_sums({"counts": np.full((2, 5), 11.0, np.float32)}, 100)
