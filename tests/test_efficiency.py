"""The share of what the machine can do: which cells have one, of which ceiling, and what is said of one above 100 %."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.experiment.matrix import Cell
from harness.measure import efficiency
from harness.measure.efficiency import Ceiling
from harness.records.cpu import CpuUse
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Figures
from harness.summary import summary
from tests.test_store import record

CELL = Cell(backend="theano", pool="prefork", concurrency=2, batch=8)
ONE, EVERY_CORE, TWO_A_CORE = CELL.ceilings(2)


def trial(cell: Cell, pace_per_s: float, *, busy: float = 2.0, **changes: object) -> TrialRecord:
    """A good trial on two cores; `busy`: core-seconds a second."""
    cpu = CpuUse(window_s=1, cores=2, requests=9, worker=busy, children=0, broker=0, client=0, machine=busy, steal=0)
    known = Figures(requests=500, throughput_per_s=pace_per_s)
    return record(cell, **{"figures": known, "cpu": cpu, "measured_s": 1.0, "measured_requests": 500, **changes})


def row(*trials: TrialRecord) -> dict[str, object]:
    others: dict[str, list[TrialRecord]] = {}
    for one in trials:
        others.setdefault(one.cell_id, []).append(one)
    return summary.row([trials[0]], others, Path())


def test_the_ceiling_is_the_same_model_call_and_batch_in_one_process_and_in_one_and_two_a_core() -> None:
    assert [cell.id for cell in (ONE, EVERY_CORE, TWO_A_CORE)] == [
        "theano-in-process-c1-import-predict-b8-single",
        "theano-in-process-c2-import-predict-b8-t1x1-single",
        "theano-in-process-c4-import-predict-b8-t1x1-single",
    ]


def test_a_cell_that_sets_its_threads_is_read_beside_its_own_setting_too() -> None:
    pinned = Cell(backend="theano", pool="prefork", engine_threads="2x1")
    assert [(cell.concurrency, cell.engine_threads) for cell in pinned.ceilings(4)] == [
        (1, "2x1"),
        (1, "auto"),
        (4, "1x1"),
        (8, "1x1"),
    ]


def test_efficiency_is_the_share_of_the_fastest_ceiling() -> None:
    found = row(trial(CELL, 30.0), trial(ONE, 50.0), trial(EVERY_CORE, 60.0), trial(TWO_A_CORE, 55.0))
    assert found["efficiency"] == pytest.approx(0.5)
    assert (found["ceiling_per_s"], found["ceiling_cell"]) == (pytest.approx(60.0), EVERY_CORE.id)
    assert "ceiling" not in str(found["doubts"])


def test_more_processes_than_cores_may_be_the_ceiling_and_are_not_missed_in_a_run_without_them() -> None:
    before = (trial(CELL, 30.0), trial(ONE, 50.0), trial(EVERY_CORE, 60.0))
    assert row(*before)["efficiency"] == pytest.approx(0.5)
    assert row(*before, trial(TWO_A_CORE, 75.0))["efficiency"] == pytest.approx(0.4)
    assert "efficiency" not in row(*before, trial(TWO_A_CORE, 75.0, outcome=Outcome.CRASHED))


def test_the_ceiling_under_a_cpu_quota_is_that_of_so_many_cores_as_may_be_used() -> None:
    cpu = CpuUse(window_s=1, cores=16, quota=1.5, requests=9, worker=1.5, children=0, broker=0, client=0, machine=1.5, steal=0)
    found = row(*(trial(cell, pace, cpu=cpu) for cell, pace in ((CELL, 30.0), (ONE, 50.0), (EVERY_CORE, 60.0))))
    assert (found["efficiency"], found["cpu_saturation"]) == (pytest.approx(0.5), pytest.approx(1.0))
    assert "efficiency" not in row(trial(CELL, 30.0, cpu=cpu), trial(ONE, 50.0, cpu=cpu))


@pytest.mark.parametrize("ends", [Outcome.HUNG, Outcome.INVALID])
def test_without_a_good_trial_of_every_ceiling_nothing_is_said(ends: Outcome) -> None:
    assert "efficiency" not in row(trial(CELL, 30.0), trial(ONE, 50.0))
    assert "efficiency" not in row(trial(CELL, 30.0), trial(ONE, 50.0), trial(EVERY_CORE, 60.0, outcome=ends))


@pytest.mark.parametrize(
    "changes", [{"traffic": "single"}, {"traffic": "closed-1"}, {"backend": "null"}, {"pool": "in-process"}]
)
def test_a_cell_whose_executors_cannot_all_be_busy_has_no_efficiency(changes: dict[str, str]) -> None:
    cell = Cell(**{**CELL.as_dict(), **changes})
    assert not efficiency.can_tell(cell)
    assert "efficiency" not in row(trial(cell, 30.0), *(trial(beside, 50.0) for beside in cell.ceilings(2)))


def test_an_efficiency_above_100_percent_is_a_doubt_that_says_what_to_do() -> None:
    found = row(trial(CELL, 66.0), trial(ONE, 50.0), trial(EVERY_CORE, 60.0, busy=1.2))
    assert found["efficiency"] == pytest.approx(1.1)
    assert "above ceiling: the throughput is 110.0% of the in-process ceiling, which used only 60% of the cores" in str(
        found["doubts"]
    )


def test_a_busy_ceiling_that_is_passed_is_not_called_idle() -> None:
    found = efficiency.of(66.0, [Ceiling(cell="c", throughput_per_s=60.0, saturation=0.99)])
    assert found is not None
    assert found.doubt is not None
    assert "used only" not in str(found.doubt)
