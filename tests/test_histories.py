"""Every stored history, watched again, becomes the record that the real trial became."""

from __future__ import annotations

import pytest

from tests import replay
from tests.replay import NAMES

SAME = ("answers", "pace", "memory", "client", "certainty")
#: children that died in stored trials, whose records are older than that count: as many as their reasons tell of
DIED = {"crashed-signal-11-prefork": 6, "respawning-prefork": 35}


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_trial_ends_as_the_real_one_did(name: str) -> None:
    record, expected = replay.once(name).record, replay.once(name).stored.expected
    assert (record.outcome, record.ended.cause) == (expected.outcome, expected.ended.cause)
    assert record.answers.died == DIED.get(name, 0)
    expected = expected.changed(answers={"died": DIED.get(name, 0)})
    for section in SAME:
        assert getattr(record, section) == getattr(expected, section), section
