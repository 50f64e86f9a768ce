"""Who is held for clearly slower, what a run spares, and how the client ends a measured phase that is decided."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.certainty.slower import LEAST_SPANS, Race
from harness.client.early import Early
from harness.client.log import Log
from harness.client.plan import Plan
from harness.environments import Environment
from harness.experiment.matrix import Cell
from harness.proof import racing
from harness.records.cpu import CpuUse
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Figures
from harness.run import sparing
from harness.summary import summary
from harness.trial.assignment import Rival
from harness.worker import contract
from tests.test_generator import ANSWER, EchoWire, generated, told  # noqa: F401 - a fixture
from tests.test_store import record

CELL = Cell(backend="tensorflow1", pool="prefork", concurrency=2)
RAISED = json.dumps({"status": "FAILURE", "result": {"exc_type": "ValueError"}}).encode()


def raced(pace_per_s: float, own_per_s: float, seconds: float = 3.0) -> Race:
    race = Race(pace_per_s, 0.0)
    dice = np.random.default_rng(1)
    race.add(np.cumsum(dice.gamma(4.0, 1 / (4.0 * own_per_s), int(own_per_s * seconds))).tolist())
    return race


@pytest.mark.parametrize(("own", "lost"), [(100.0, False), (95.0, False), (60.0, True), (30.0, True)])
def test_who_is_clearly_slower_has_lost_and_who_is_as_fast_has_not(own: float, lost: bool) -> None:
    assert raced(100.0, own).lost is lost


def test_a_few_spans_decide_nothing_and_what_is_lost_stays_lost() -> None:
    assert not raced(1000.0, 50.0, seconds=0.1 * (LEAST_SPANS - 2)).lost
    race = raced(100.0, 30.0)
    race.add(np.linspace(10.0, 11.0, 10_000).tolist())
    assert race.lost


@pytest.mark.parametrize("answers", ["recorded", *racing.MODELS])
def test_few_races_are_lost_by_who_is_not_slower_and_most_by_who_is(answers: str) -> None:
    dice, gaps = np.random.default_rng(3), np.random.default_rng(4).gamma(4.0, 1 / 240.0, 180)

    def made() -> racing.Floats:
        return racing.drawn(gaps, dice) if answers == "recorded" else racing.modelled(racing.MODELS[answers], dice)

    alike = [racing.raced(made(), made()) for _ in range(100)]
    slow = [racing.raced(made(), made() / 0.4) for _ in range(30)]
    assert sum(end is not None for end in alike) <= 9, "at 5 %, more than 9 are met once in 35 such tests; the seed is fixed"
    assert sum(end is not None for end in slow) >= 25


def plan(**changes: object) -> Plan:
    given = {
        "url": "", "queue": "", "traffic": "closed-4", "rows": 1, "batch": 1, "measure_s": 3.0, "requests": 30,
        "warmup_limit_s": 1.0, "stable_limit_s": 1.0, "search_s": 1.0, "executors": 1, "by_thread": False,
        "in_flight_warmup": 4, "arrivals_seed": 1, "rows_seed": 1, "events_dir": "", "result": "", "prefix": "",
    }  # fmt: skip
    return Plan(**{**given, **changes})  # type: ignore[arg-type]


def told_of(asked: Plan, raws: list[bytes], each_s: float = 0.02) -> Early:
    log = Log()
    early = Early(asked, log, 0.0)
    for place, raw in enumerate(raws):
        number = log.add(row=0, phase=3, intended=0, published=0)
        log.raw[number], log.received[number] = raw, round((place + 1) * each_s * 1e9)
        early.add([number])
    return early


def test_a_cell_is_measured_on_unless_it_is_asked_to_stop_early_and_decided() -> None:
    slow = {"rival": "the best", "rival_per_s": 100.0}
    assert told_of(plan(early=True, **slow), [ANSWER] * 100).why(2.0) == (
        "after 2.0 of 3 s, since it is clearly slower than the best (95% confidence)"
    )
    assert told_of(plan(early=True), [ANSWER, RAISED]).why(0.04) == "after 0.0 of 3 s, since requests raise"
    assert told_of(plan(early=True, rival="as fast", rival_per_s=51.0), [ANSWER] * 100).why(2.0) == ""
    assert told_of(plan(early=True, control=True), [ANSWER] * 100).why(2.0).endswith("known within 10% (95% confidence)")
    assert told_of(plan(early=True, control=True), [ANSWER] * 25).why(0.5) == ""
    assert told_of(plan(control=True), [ANSWER] * 100).why(2.0) == ""
    assert told_of(plan(**slow), [ANSWER] * 100).why(2.0) == ""
    assert told_of(plan(), [ANSWER, RAISED]).why(2.0) == ""


class Raises(EchoWire):
    def take(self, limit_s: float) -> object:  # type: ignore[override]
        taken = super().take(limit_s)
        return replace(taken, answers=[(number, RAISED) for number, _ in taken.answers])


@pytest.mark.parametrize("early", [True, False])
def test_a_cell_whose_requests_raise_is_measured_for_as_many_as_were_asked_for(early: bool, tmp_path: Path) -> None:
    generator = generated(tmp_path, Raises(), early=early, measure_s=0.3)
    measured = generator.flow.log.phase.count(contract.PHASES.index("measure"))
    assert measured >= 90
    assert ("requests raise" in generator.notes().stopped) is early
    assert (generator.notes().warmup_windows == 0) or not early


# -- what a run spares


def use(saturation: float) -> CpuUse:
    return CpuUse(
        window_s=1.0, cores=2, requests=9, worker=0.0, children=2 * saturation, broker=0, client=0, machine=2.0, steal=0
    )


@pytest.mark.parametrize(("saturation", "spared"), [(0.99, True), (0.90, False)])
def test_more_processes_than_cores_are_spared_if_the_cores_were_full(saturation: float, spared: bool) -> None:
    two, four = CELL.ceilings(2)[-2:]
    assert (two.concurrency, four.concurrency) == (2, 4)
    known = [record(two, cpu=use(saturation))]
    assert bool(sparing.ceiling(four, known)) is spared
    assert sparing.ceiling(two, [record(CELL.baseline(), cpu=use(saturation))]) == "", "one process does not fill two cores"
    assert sparing.ceiling(CELL, known) == ""
    assert sparing.ceiling(four, [record(two, cpu=use(1.0), outcome=Outcome.ERRORS)]) == ""


@pytest.mark.parametrize(("paces", "spared"), [((6.0, 9.0), True), ((6.0, 60.0), False), ((None, None), True), ((), False)])
def test_a_ceiling_is_spared_if_all_pools_are_far_below_a_lower_one(paces: tuple[float | None, ...], spared: bool) -> None:
    two, four = CELL.ceilings(2)[-2:]
    pools = (CELL, replace(CELL, pool="threads", placement="import"))
    ran = [
        measured(cell, pace, pace) if pace else record(cell, outcome=Outcome.HUNG)
        for cell, pace in zip(pools, paces, strict=False)
    ]
    others = [measured(replace(CELL, call="graph"), 99.0, 98.0), measured(CELL.null_control(), 999.0, 998.0)]
    assert bool(sparing.ceiling(four, [measured(two, 100.0, 99.0, cpu=use(0.8)), *ran, *others])) is spared


def test_the_cores_of_a_ceiling_whose_cpu_is_unknown_are_those_that_the_other_records_tell() -> None:
    two, four = CELL.ceilings(2)[-2:]
    known = [measured(two, 100.0, 99.0), measured(CELL, 6.0, 5.0)]
    assert sparing.ceiling(four, known) == "", "nobody knows whether two processes are as many as there are cores"
    assert sparing.ceiling(four, [*known, record(CELL.baseline(), cpu=use(0.5))])
    assert not sparing.ceiling(four, [measured(two, 100.0, 99.0), record(CELL.baseline(), cpu=use(1.0))]), "no pool yet"


def environment(name: str, python: str = "3.7.17", **installed: str) -> Environment:
    return Environment(
        name=name, python=Path(name), directory=Path(name), fingerprint=name, installed={"celery": "5.2.7", **installed},
        variables={}, interpreter_version=python, facts={}, cache_dir=Path(name),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("other", "stands"),
    [
        (environment("tensorflow1_15", numpy="1.18.5"), True),
        (environment("tensorflow1_15", python="3.8.1"), False),
        (environment("tensorflow1_15", kombu="5.5.4"), False),
    ],
)
def test_a_control_is_read_in_place_of_one_that_would_repeat_it(other: Environment, stands: bool) -> None:
    own, there = replace(CELL, backend="tensorflow1_15").null_control(), CELL.null_control()
    ready = {"tensorflow1": environment("tensorflow1"), "tensorflow1_15": other}
    assert sparing.twin(own, [record(there)], ready) == (there.id if stands else "")
    assert sparing.twin(own, [record(there, outcome=Outcome.STALLED)], ready) == ""
    assert sparing.twin(replace(CELL, backend="tensorflow1_15"), [record(CELL)], ready) == "", "an engine is no control"


def measured(cell: Cell, pace: float, low: float, **changes: object) -> TrialRecord:
    figures = Figures(requests=99, throughput_per_s=pace, throughput_span_per_s=(low, 2 * pace - low))
    return record(cell, figures=figures, measured_s=1.0, measured_requests=99, **changes)


def test_the_row_of_a_cell_whose_control_was_spared_is_read_beside_the_other_control() -> None:
    cell = replace(CELL, backend="tensorflow1_15")
    spared = record(cell.null_control(), outcome=Outcome.SKIPPED, instead=CELL.null_control().id)
    records = [measured(cell, 50.0, 49.0), spared, measured(CELL.null_control(), 1000.0, 990.0)]
    row = summary.row(records[:1], {one.cell_id: [one] for one in records}, Path())
    assert (row["null_throughput_per_s"], row["overhead_fraction"]) == (1000.0, 0.05)


def test_a_ceiling_that_was_spared_is_not_missed() -> None:
    one, two, four = (CELL.ceilings(2)[place] for place in (0, -2, -1))
    spared = record(four, outcome=Outcome.SKIPPED)
    records = [measured(CELL, 50.0, 49.0, cpu=use(0.9)), measured(one, 60.0, 59.0), measured(two, 100.0, 99.0), spared]
    row = summary.row(records[:1], {each.cell_id: [each] for each in records}, Path())
    assert (row["efficiency"], row["ceiling_cell"]) == (0.5, two.id)


def test_the_rival_is_the_best_of_the_same_work() -> None:
    threads, solo = replace(CELL, pool="threads"), replace(CELL, pool="solo", concurrency=1)
    known = [
        measured(threads, 60.0, 55.0), measured(solo, 58.0, 57.0), measured(CELL, 90.0, 89.0),
        measured(CELL.baseline(), 99.0, 98.0), measured(CELL.null_control(), 999.0, 998.0),
        measured(replace(threads, call="graph"), 99.0, 98.0), measured(replace(threads, batch=8), 99.0, 98.0),
        measured(replace(threads, traffic="single"), 99.0, 98.0),
        measured(replace(threads, placement="import"), 99.0, 98.0, outcome=Outcome.ERRORS),
    ]  # fmt: skip
    assert sparing.rival(CELL, known) == Rival(cell=solo.id, least_per_s=57.0)
    assert sparing.rival(CELL, known[2:3]) is None
    assert sparing.rival(CELL.null_control(), known) is None
