"""A hang is paid for once: how long a pool runs after the serial calls, and which repeats are spared."""

from __future__ import annotations

from typing import Any

import pytest

from harness.applications.probe import patience
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from tests.test_store import record


def ended(outcome: Outcome, trial: int = 1, **more: Any) -> TrialRecord:
    return record(outcome=outcome, trial=trial, **more)


HUNG = ended(Outcome.HUNG, last_progress_s=2.0, verdict_after_s=18.0, proof="wait in a futex")


@pytest.mark.parametrize(
    ("serial", "whole_s", "limit_s"),
    [
        (None, 120.0, 120.0),
        (ended(Outcome.OK), 120.0, 120.0),
        (ended(Outcome.ERRORS), 120.0, 120.0),
        (ended(Outcome.SLOW), 120.0, 120.0),
        (HUNG, 120.0, 60.0),
        (HUNG, 40.0, 40.0),
        (ended(Outcome.HUNG, last_progress_s=0.0, verdict_after_s=2.0), 120.0, 30.0),
        (ended(Outcome.WAITING, last_progress_s=0.0), 120.0, 30.0),
        (ended(Outcome.WAITING, last_progress_s=20.0), 120.0, 90.0),
        (ended(Outcome.WAITING, last_progress_s=None), 400.0, 100.0),
        (ended(Outcome.WAITING, last_progress_s=0.0), 20.0, 20.0),
    ],
)
def test_a_pool_runs_no_longer_than_the_serial_calls_make_needful(
    serial: TrialRecord | None, whole_s: float, limit_s: float
) -> None:
    assert patience.limit_s(serial, whole_s) == limit_s


def of(trial: int, proof: str = "wait in a futex", outcome: Outcome = Outcome.HUNG) -> TrialRecord:
    return ended(outcome, trial, proof=proof)


@pytest.mark.parametrize(
    ("serial", "before", "words"),
    [
        (HUNG, [], ""),
        (HUNG, [of(1)], "not run: trial 1 hung, the serial calls did, too; --retry skipped runs it all the same"),
        (HUNG, [of(1, "spin")], ""),
        (ended(Outcome.OK), [of(1)], ""),
        (ended(Outcome.OK), [of(1), of(2, "spin")], ""),
        (None, [of(1), of(2)], "not run: trial 1 hung, in 2 trials with the same proof; --retry skipped runs it all the same"),
        (None, [of(1), ended(Outcome.OK, 2), of(3)], "not run: trial 1 hung, in 2 trials with the same proof; "
                                                     "--retry skipped runs it all the same"),
        (None, [of(1, "", Outcome.WAITING), of(2, "", Outcome.WAITING)], ""),
        (
            ended(Outcome.WAITING),
            [of(1, "", Outcome.WAITING)],
            "not run: trial 1 waited to the limit, the serial calls did, too; --retry skipped runs it all the same",
        ),
        (HUNG, [ended(Outcome.OK, 1)], ""),
    ],
)  # fmt: skip
def test_a_repeat_that_would_hang_with_the_same_proof_is_spared(
    serial: TrialRecord | None, before: list[TrialRecord], words: str
) -> None:
    assert patience.spared(serial, before) == words
