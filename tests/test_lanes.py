"""The run loop when it stops early: what runs beside what, what is run again, how it ends. Its trials are plain functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from harness.errors import CannotWrite
from harness.experiment.matrix import Cell
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run.plan import Planned
from harness.run.source import Desk
from tests.test_run_loop import ONE, OTHER, SETTINGS, THREE, TWO, Given, Screen, carry_on
from tests.test_store import record

EARLY = SETTINGS.model_copy(update={"stop_early": True})
LIMIT_S = 20.0


@dataclass
class Beside:
    """Trials that do as they are told, by cell; `began`: in which order."""

    acts: Mapping[Cell, Callable[[Desk], None]] = field(default_factory=dict)
    began: list[Cell] = field(default_factory=list)

    def __call__(self, source: object, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
        self.began.append(item.cell)
        desk.turn.measure()
        self.acts.get(item.cell, lambda _: None)(desk)
        if desk.interrupted():
            return None
        return record(item.cell, withdrawn=[*desk.turn.withdrawn]).changed(asked={"plan_key": item.key})


def test_the_next_of_another_interpreter_is_measured_while_one_stands(tmp_path: Path) -> None:
    measured = threading.Event()

    def stands(desk: Desk) -> None:
        desk.turn.stand()
        assert measured.wait(LIMIT_S)
        desk.turn.stir()

    runner = Beside({ONE: stands, OTHER: lambda _: measured.set()})
    table = carry_on(Given(folder=tmp_path, cells=[ONE, TWO, OTHER], settings=EARLY), runner)
    assert runner.began == [ONE, OTHER, TWO], "one of the same interpreter waits"
    assert list(table["cell"]) == [ONE.id, TWO.id, OTHER.id], "the table has the order of the plan"


def test_the_next_begins_while_the_last_is_written_down_and_is_measured_after_that(tmp_path: Path) -> None:
    begun, written = threading.Event(), threading.Event()

    def stirs(desk: Desk) -> None:
        desk.turn.stir()
        assert begun.wait(LIMIT_S)
        written.set()

    class Runner(Beside):
        def __call__(self, source: object, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
            if item.cell == TWO:
                begun.set()
            return super().__call__(source, desk, item, records)

    runner = Runner({ONE: stirs, TWO: lambda _: pytest.fail("too early") if not written.is_set() else None})
    assert list(carry_on(Given(folder=tmp_path, cells=[ONE, TWO], settings=EARLY), runner)["outcome"]) == ["ok", "ok"]


def test_nothing_begins_before_a_baseline_is_on_record(tmp_path: Path) -> None:
    known: list[int] = []

    class Runner(Beside):
        def __call__(self, source: object, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
            known.append(len(records))
            return super().__call__(source, desk, item, records)

    runner = Runner({ONE.baseline(): lambda desk: desk.turn.stir()})
    carry_on(Given(folder=tmp_path, cells=[ONE.baseline(), OTHER], settings=EARLY), runner)
    assert known == [0, 1]


def test_a_proof_that_did_not_stand_has_both_trials_run_again_one_after_the_other(tmp_path: Path) -> None:
    measured, screen, tries = threading.Event(), Screen(), []

    def stands(desk: Desk) -> None:
        tries.append(desk.turn.may_stand)
        if not desk.turn.may_stand:
            return
        desk.turn.stand()
        assert measured.wait(LIMIT_S)
        desk.turn.disturb("it went on meanwhile")
        desk.turn.disturbed, desk.turn.withdrawn = "it went on", ("a proof",)
        done.set()
        desk.turn.stir()

    def beside(desk: Desk) -> None:
        measured.set()
        assert done.wait(LIMIT_S)

    done = threading.Event()
    runner = Beside({ONE: stands, OTHER: beside})
    carry_on(Given(folder=tmp_path, cells=[ONE, OTHER], settings=EARLY), runner, screen)
    assert tries == [True, False]
    assert sorted(cell.id for cell in runner.began) == sorted([ONE.id, ONE.id, OTHER.id, OTHER.id])
    kept = {each.cell_id: each for each in RunFolder(tmp_path).records()}
    assert kept[ONE.id].ended.withdrawn == ["a proof"]
    assert kept[OTHER.id].ended.withdrawn == []
    assert len(RunFolder(tmp_path).records()) == 2
    assert f"{OTHER.id} is run again: it went on meanwhile" in screen.said


def test_a_stop_ends_what_stands_and_keeps_what_was_measured(tmp_path: Path) -> None:
    stopped = threading.Event()

    def stands(desk: Desk) -> None:
        desk.turn.stand()
        while not desk.interrupted():
            threading.Event().wait(0.01)

    runner = Beside({TWO: stands, OTHER: lambda _: stopped.set()})
    carry_on(Given(folder=tmp_path, cells=[ONE, TWO, OTHER, THREE], settings=EARLY), runner, interrupted=stopped.is_set)
    assert runner.began == [ONE, TWO, OTHER]
    assert [each.cell_id for each in RunFolder(tmp_path).records()] == [ONE.id]


def test_an_error_of_a_trial_ends_the_run_and_what_stands(tmp_path: Path) -> None:
    ended: list[Cell] = []

    def stands(desk: Desk) -> None:
        desk.turn.stand()
        while not desk.interrupted():
            threading.Event().wait(0.01)
        ended.append(ONE)

    def full(desk: Desk) -> None:
        raise CannotWrite("the disk is full")

    with pytest.raises(CannotWrite, match="full"):
        carry_on(Given(folder=tmp_path, cells=[ONE, OTHER], settings=EARLY), Beside({ONE: stands, OTHER: full}))
    assert ended == [ONE]


def test_without_it_no_trial_stands_and_each_ends_before_the_next_begins(tmp_path: Path) -> None:
    may: list[tuple[bool, int]] = []
    runner = Beside({cell: lambda desk: may.append((desk.turn.may_stand, threading.active_count())) for cell in (ONE, OTHER)})
    before = threading.active_count()
    carry_on(Given(folder=tmp_path, cells=[ONE, OTHER]), runner)
    assert may == [(False, before), (False, before)]
