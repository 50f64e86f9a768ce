"""How many executors help: which trials follow from those on record, and what is said of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.applications.probe import curve
from harness.decide.advise import pages
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run.plan import Planned
from tests.test_advise import OWN, advised, of_own, trials

FREE = 64 * 2**30
FORK = Cell(
    backend=OWN_APP,
    pool="prefork",
    concurrency=2,
    placement=AS_WRITTEN,
    call="task",
    workload="shop.predict",
    traffic="closed-16",
)
THREADS, SOLO = replace(FORK, pool="threads"), replace(FORK, pool="solo", concurrency=1)
PLAN = [Planned(cell=cell, trial=1, key="k") for cell in (FORK, THREADS, SOLO)]


def follow(*records: list[TrialRecord], free: float = FREE, plan: list[Planned] = PLAN) -> list[tuple[str, int]]:
    return [(one.pool, one.concurrency) for one in curve.cells(plan, [each for group in records for each in group], free)]


def many(cell: Cell, count: int, rate: float) -> list[TrialRecord]:
    return trials(replace(cell, concurrency=count), rate)


MEASURED = (trials(FORK, 40), trials(THREADS, 20), trials(SOLO, 90))


def test_nothing_follows_before_all_pools_are_on_record() -> None:
    assert follow(*MEASURED[:2]) == []
    assert follow(*MEASURED) == [("prefork", 1)]


def test_the_fastest_pool_that_can_have_more_executors_gets_them_until_they_bring_nothing() -> None:
    one, four = many(FORK, 1, 22), many(FORK, 4, 70)
    assert follow(*MEASURED, one) == [("prefork", 1), ("prefork", 4)]
    assert follow(*MEASURED, one, four) == [("prefork", 1), ("prefork", 4), ("prefork", 8)]
    assert follow(*MEASURED, one, four, many(FORK, 8, 72)) == [("prefork", 1), ("prefork", 4), ("prefork", 8)]


@pytest.mark.parametrize("second", [41.0, 24.0])
def test_two_that_are_as_fast_as_one_get_no_more(second: float) -> None:
    measured = (trials(FORK, second), *MEASURED[1:])
    assert follow(*measured, many(FORK, 1, second / 1.05)) == [("prefork", 1)]


def test_no_more_than_the_traffic_keeps_busy() -> None:
    plan = [Planned(cell=replace(item.cell, traffic="closed-4"), trial=1, key="k") for item in PLAN]
    cells = [item.cell for item in plan]
    measured = [trials(cell, rate) for cell, rate in zip(cells, (40, 20, 90), strict=True)]
    known = [*measured, many(cells[0], 1, 22), many(cells[0], 4, 70)]
    assert follow(*known, plan=plan) == [("prefork", 1), ("prefork", 4)]


def test_no_more_than_there_is_memory_for_but_what_is_on_record_stays() -> None:
    one, four = many(FORK, 1, 22), many(FORK, 4, 70)
    little = 900 * 2**20  # twice the 500 MiB of a trial do not fit
    assert follow(*MEASURED, one, free=little) == [("prefork", 1)]
    assert follow(*MEASURED, one, four, free=little) == [("prefork", 1), ("prefork", 4)]


def test_what_failed_or_has_no_figures_is_not_tried_with_more() -> None:
    hung = trials(FORK, 1, end=Outcome.HUNG)
    assert follow(hung, trials(THREADS, 20), trials(SOLO, 90)) == [("threads", 1)]
    assert follow(hung, trials(THREADS, 1, end=Outcome.HUNG), trials(SOLO, 90)) == []
    assert follow(*MEASURED, many(FORK, 1, 22), trials(replace(FORK, concurrency=4), 1, end=Outcome.HUNG)) == [
        ("prefork", 1), ("prefork", 4)
    ]  # fmt: skip


def test_the_advice_says_how_many_executors_help_and_what_they_take(tmp_path: Path) -> None:
    groups = [many(OWN, count, rate) for count, rate in ((1, 20), (2, 39), (4, 40))]
    (told,) = [line for line in pages.lines(of_own(tmp_path / "run", *groups)) if line.startswith("executors")]
    assert told == (
        "executors of prefork: 1: 20 rows/s, 500 MiB; 2: 39 rows/s, 500 MiB; 4: 40 rows/s, 500 MiB; "
        "more than 2 bring nothing that can be told"
    )
    (told,) = [line for line in pages.lines(of_own(tmp_path / "more", *groups[:2])) if line.startswith("executors")]
    assert told.endswith("; more may help: 2 is the most that was measured")


def test_more_executors_that_are_really_slower_are_not_said_to_help(tmp_path: Path) -> None:
    rates = {1: (20, 20.1, 19.9), 2: (40, 40.1, 39.9), 4: (30, 30.1, 29.9)}
    groups = [trials(replace(OWN, concurrency=count), *each) for count, each in rates.items()]
    (told,) = [line for line in pages.lines(of_own(tmp_path / "run", *groups)) if line.startswith("executors")]
    assert told.endswith("; more than 2 bring nothing that can be told")


def test_what_the_traffic_cannot_keep_busy_is_not_said_to_bring_nothing(tmp_path: Path) -> None:
    for counts in ((2, 4), (2, 4, 8)):
        cell = replace(OWN, traffic="closed-4")
        groups = [many(cell, count, 10 * min(count, 4)) for count in counts]
        (told,) = [line for line in pages.lines(of_own(tmp_path / str(counts), *groups)) if line.startswith("executors")]
        assert told.endswith("; closed-4 keeps no more than 4 busy: with more requests at once, more may help")


def test_of_one_number_of_executors_nothing_is_said_and_memory_is_not_passed_off_as_measured(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(OWN, 20))
    assert not [line for line in pages.lines(advice) if line.startswith("executors")]
    assert advice.shown is not None
    assert pages.memory(advice.shown, 1200 * 2**20) == (
        "memory of such a worker: 500 MiB; of several, multiplied and not measured: 2 workers 1000 MiB, "
        "4 workers 2000 MiB, 8 workers 4000 MiB; "
        "2 would fit into 1200 MiB"
    )
