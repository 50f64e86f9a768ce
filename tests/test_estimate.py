"""The estimate of a run's duration learns from the trials so far."""

from __future__ import annotations

import pytest

from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run import estimate
from harness.run.plan import Planned
from tests import handmade

SETTINGS = Settings(measure_s=3.0, requests=30)
REAL = Cell(backend="tensorflow2", pool="prefork", concurrency=2)
OTHER = Cell(backend="theano", pool="prefork", concurrency=2)


def planned(cell: Cell, count: int = 1, skip: str = "") -> list[Planned]:
    return [Planned(cell=cell, trial=trial, key="", skip=skip) for trial in range(count)]


def taken(cell: Cell, seconds: float, outcome: Outcome = Outcome.OK, **more: float) -> TrialRecord:
    return handmade.record(cell_id=cell.id, cell=cell.as_dict(), trial=1, plan_key="", started="", seconds=seconds,
                       outcome=outcome, reason="", **more)  # fmt: skip


def test_without_records_the_reference_machines_seconds_are_expected() -> None:
    assert estimate.left_s(planned(REAL, 3), [], SETTINGS) == pytest.approx(3 * (5.5 + estimate.STABLE_S + 3.0))


def test_skipped_trials_take_no_time_and_teach_nothing() -> None:
    assert estimate.left_s(planned(REAL, 3, skip="cannot exist"), [], SETTINGS) == 0.0
    skipped = [taken(REAL, 0.0, Outcome.SKIPPED)] * 20
    assert estimate.left_s(planned(REAL), skipped, SETTINGS) == estimate.left_s(planned(REAL), [], SETTINGS)


def test_many_trials_of_a_kind_overrule_the_prior() -> None:
    known = [taken(REAL, 21.0)] * 50
    assert estimate.left_s(planned(REAL), known, SETTINGS) == pytest.approx(21.0, rel=0.01)


def test_a_slow_machine_is_expected_to_be_slow_with_other_backends_too() -> None:
    known = [taken(REAL, 17.5)] * 50
    alone = estimate.left_s(planned(OTHER), [], SETTINGS)
    assert 1.5 * alone < estimate.left_s(planned(OTHER), known, SETTINGS) <= 2.0 * alone


def test_slow_requests_lengthen_the_measured_window() -> None:
    slow = taken(REAL.baseline(), 33.5, measured_s=30.0, measured_requests=30)  # 1 s a request
    quick = taken(REAL.baseline(), 6.5, measured_s=3.0, measured_requests=300)
    slow_s, quick_s = (estimate.left_s(planned(REAL), [known], SETTINGS) for known in (slow, quick))
    assert slow_s > quick_s + 5.0
