"""Every stored history, watched again, becomes the record that the real trial became."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import replay
from tests.replay import NAMES

SAME = ("answers", "pace", "memory", "client", "certainty")


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_trial_ends_as_the_real_one_did(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    record = replay.recorded(one)
    assert (record.outcome, record.ended.cause) == (one.expected.outcome, one.expected.ended.cause)
    for section in SAME:
        assert getattr(record, section) == getattr(one.expected, section), section
