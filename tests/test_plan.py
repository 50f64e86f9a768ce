"""The order of trials: rounds, each shuffled anew, only the first with baselines in front; the seed decides it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.experiment.experiment import Block, Experiment, Settings
from harness.experiment.matrix import Cell, with_controls
from harness.machine import cores
from harness.records.outcomes import Outcome
from harness.run import plan
from harness.run.plan import Planned
from tests import handmade
from tests.test_store import record

CELLS = with_controls(
    [Cell(backend="theano", pool=pool, concurrency=n) for pool in ("prefork", "threads") for n in (1, 2, 4)], cores=2
)


def test_ceilings_are_planned_for_the_cores_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "AVAILABLE", tuple(range(16)))
    monkeypatch.setattr(cores, "quota", lambda: 2.5)
    block = Block.model_validate({"backend": ["theano"], "pool": ["prefork"], "concurrency": [2]})
    found = plan.chosen_cells(Experiment(name="one", summary="one", cells=[block]), [])
    assert sorted(cell.concurrency for cell in found if cell.is_baseline) == [1, 3, 6]


def trials(**settings: int) -> list[Planned]:
    return plan.trials(CELLS, Settings(**settings), environments_ready={}, bundles={})


def rounds(repeat: int, **settings: int) -> list[list[Cell]]:
    planned = trials(repeat=repeat, **settings)
    size = len(CELLS)
    for begin in range(0, len(planned), size):
        assert {item.trial for item in planned[begin : begin + size]} == {begin // size + 1}
    return [[item.cell for item in planned[begin : begin + size]] for begin in range(0, len(planned), size)]


def test_each_round_holds_each_cell_once() -> None:
    for one in rounds(5):
        assert sorted(cell.id for cell in one) == sorted(cell.id for cell in CELLS)


def test_the_first_round_begins_with_the_baselines_and_the_others_spread_them() -> None:
    first, *others = [[cell.is_baseline for cell in one] for one in rounds(10)]
    assert first == sorted(first, reverse=True)
    assert any(first)
    assert any(one != first for one in others)


def test_only_what_people_ask_first_does_not_wait_for_others_baselines() -> None:
    asked = Cell(backend="tensorflow2", pool="prefork", placement="import")
    cells = with_controls([*CELLS, asked], cores=2)
    planned = plan.trials(cells, Settings(repeat=3), environments_ready={}, bundles={})
    first = [item.cell for item in planned if item.trial == 1]
    assert first[:2] == [asked.baseline(), asked]
    assert sorted(cell.id for cell in first) == sorted(cell.id for cell in cells)
    assert [cell.is_baseline for cell in first[2:]] == sorted((cell.is_baseline for cell in first[2:]), reverse=True)


def test_a_run_that_stops_early_asks_every_engine_first_what_people_ask_first() -> None:
    asked = [Cell(backend=name, pool="prefork", placement="import") for name in ("theano", "tensorflow2")]
    cells = with_controls([*CELLS, *asked], cores=2)
    planned = plan.trials(cells, Settings(stop_early=True), environments_ready={}, bundles={})
    order = [item.cell for item in planned]
    assert order[:4] == [asked[0].baseline(), asked[0], asked[1].baseline(), asked[1]]
    spares = [cell for cell in cells if cell.is_baseline and cell.concurrency == 4]
    for spare in spares:
        after = order[order.index(spare) + 1 :]
        assert not [cell for cell in after if cell.backend == spare.backend]
    assert [cell for cell in order[4:] if cell not in spares] == [cell for cell in cells if cell not in [*order[:4], *spares]]


def test_no_cell_always_runs_after_the_same_other() -> None:
    before = {one[one.index(CELLS[-1]) - 1] for one in rounds(10)}
    assert len(before) > 2


def test_the_seed_decides_the_order() -> None:
    assert rounds(3, seed=7) == rounds(3, seed=7)
    assert rounds(3, seed=7) != rounds(3, seed=8)


def test_more_rounds_leave_the_earlier_ones_as_they_were() -> None:
    assert rounds(5)[:3] == rounds(3)


def test_a_single_round_runs_in_the_order_as_written() -> None:
    assert rounds(1) == [CELLS]


BASELINE = Cell(backend="null", environment="celery", pool="in-process")


ENDS = {
    (Outcome.OK,): False,
    (Outcome.OK, Outcome.WAITING): True,
    (Outcome.HUNG,): True,
    (Outcome.ERRORS,): False,
    (): False,
}


@pytest.mark.parametrize(("outcomes", "waits"), ENDS.items())
def test_serial_calls_that_wait_are_told_to_the_trials_of_the_pools(outcomes: tuple[Outcome, ...], waits: bool) -> None:
    cell = {"cell_id": "x", "cell": BASELINE.as_dict()}
    records = [handmade.record(**cell, outcome=one, measured_s=2.0, measured_requests=4) for one in outcomes]
    told = plan.pace(records)
    assert told["baseline_waits"] is waits
    assert told["baseline_s"] == (0.5 if Outcome.OK in outcomes else None)


@pytest.mark.parametrize(
    ("outcome", "cause", "changes", "shown"),
    [
        ("hung", "fork-lost-threads", {}, True),
        ("hung", "fork-lost-threads", {"workload": "lstm", "concurrency": 4, "call": "direct"}, True),
        ("hung", "deadlock", {}, False),
        ("waiting", "fork-lost-threads", {}, False),
        ("hung", "fork-lost-threads", {"placement": "first-task", "parent": "predict"}, False),
        ("hung", "fork-lost-threads", {"pool": "prefork-spawn"}, False),
        ("hung", "fork-lost-threads", {"backend": "theano"}, False),
    ],
)
def test_a_sibling_has_shown_what_the_fork_takes_away_if_engine_placement_and_parent_are_the_same(
    outcome: str, cause: str, changes: dict[str, Any], shown: bool
) -> None:
    cell = Cell(backend="tensorflow2", pool="prefork", concurrency=2, placement="import")
    other = replace(cell, **changes)
    one = record(outcome=Outcome(outcome), cause=cause).changed(asked={"cell": other.as_dict(), "cell_id": other.id})
    assert plan.loss_shown(cell, [one]) is shown
    assert not plan.loss_shown(cell, [])
