"""The run loop with a source of plain values: what is run, in which order, and what is kept, whatever trials come from."""

from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.errors import BadInput, CannotWrite, Interrupted
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records import store
from harness.records.answers import Requests
from harness.records.outcomes import FAILED, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import one_trial, plan, workflow
from harness.run.plan import Planned
from harness.run.source import Desk, Slot, Terms
from harness.trial.assignment import Assignment
from harness.trial.left import Left
from tests.test_store import record

SETTINGS = Settings(measure_s=0.1)
ONE, TWO, THREE = CELLS = [Cell(backend="theano", pool=pool) for pool in ("solo", "threads", "prefork")]
OTHER = Cell(backend="tensorflow2", pool="solo")


@dataclass(kw_only=True)
class Given:
    """A source, and the order that asks for it: some cells, once each; `first` is run before all others, on record or not."""

    folder: Path
    cells: Sequence[Cell] = tuple(CELLS)
    skips: Mapping[Cell, str] = field(default_factory=dict)
    spares: Mapping[Cell, str] = field(default_factory=dict)
    after: Mapping[Cell, Cell] = field(default_factory=dict)  # a cell that follows from another one's errors
    first: Cell | None = None
    retry: frozenset[Outcome] = frozenset()
    fresh: bool = False
    settings: Settings = SETTINGS
    refuse: str = ""

    @property
    def terms(self) -> Terms:
        return Terms(folder=self.folder, settings=self.settings, cells=self.cells, fresh=self.fresh, retry=self.retry)

    def admit(self, folder: RunFolder) -> None:
        if self.refuse:
            raise BadInput(self.refuse)

    def source(self, desk: Desk) -> Given:
        return self

    def planned(self) -> list[Planned]:
        return [
            Planned(cell=cell, trial=1, key=plan.key(cell, self.settings, kind="given"), skip=self.skips.get(cell, ""))
            for cell in self.cells
        ]

    def follows(self, item: Planned, records: Sequence[TrialRecord]) -> list[Planned]:
        shown = any(record.cell_id == item.cell.id and record.outcome is Outcome.ERRORS for record in records)
        return [replace(item, cell=self.after[item.cell])] if item.cell in self.after and shown else []

    def again(self, todo: Sequence[Planned]) -> list[Planned]:
        return [item for item in self.planned() if todo and item.cell == self.first and item not in todo]

    def installed(self, item: Planned) -> Mapping[str, str]:
        return {"celery": "5.7.0", "billiard": "4.2.1"}

    @contextmanager
    def assignment(self, slot: Slot) -> Iterator[Assignment]:
        raise AssertionError("the tests' runner needs none")
        yield

    def spared(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        return self.spares.get(item.cell, "")

    def stand_in(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        return ""

    def apart(self, item: Planned) -> str:
        return item.cell.venv

    def read(self, left: Left) -> Requests | None:
        return None

    def revised(self, record: TrialRecord) -> TrialRecord:
        return record

    def unsettled(self, record: TrialRecord) -> bool:
        return False

    def left_s(self, todo: Sequence[Planned], records: Sequence[TrialRecord]) -> float | None:
        return 60.0 * len(todo)

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        return {"given": len(self.cells)}


@dataclass
class Screen:
    """Keeps what it is told."""

    said: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)

    def heads(self, todo: Sequence[Planned]) -> None: ...

    def begins(self, item: Planned, index: int, total: int, left_s: float | None) -> None:
        self.begun.append(f"{index + 1}/{total} {item.cell.pool}")

    def ended(self, record: TrialRecord, row: dict[str, object]) -> None:
        self.rows.append(row)


@dataclass
class Runner:
    """Ends each trial as it is told to, by cell; remembers what it was given."""

    ends: Mapping[Cell, TrialRecord | Callable[[], None] | None] = field(default_factory=dict)
    ran: list[Cell] = field(default_factory=list)
    records: list[int] = field(default_factory=list)

    def __call__(self, source: object, desk: Desk, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
        self.ran.append(item.cell)
        self.records.append(len(records))
        end = self.ends.get(item.cell, record(item.cell))
        if callable(end):
            end()
            end = record(item.cell)
        return end.changed(asked={"plan_key": item.key}) if end else None


@dataclass
class NoBroker:
    url: str = "redis://nowhere/0"
    process: None = None


def carry_on(
    given: Given, runner: workflow.CarryOut, screen: Screen | None = None, interrupted: Callable[[], bool] = bool
) -> pd.DataFrame:
    """The loop itself, in a folder that is there."""
    screen = screen or Screen()
    given.folder.mkdir(exist_ok=True)
    desk = Desk(
        folder=RunFolder(given.folder), scratch=given.folder, server=NoBroker(), settings=given.settings, say=screen.say,
        interrupted=interrupted,
    )  # fmt: skip
    return workflow.carry_on(given.terms, desk, given, screen, runner)


def header(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def test_what_follows_from_a_record_comes_next_and_is_measured_once(tmp_path: Path) -> None:
    given, screen = Given(folder=tmp_path, cells=[ONE, TWO], after={ONE: OTHER, TWO: THREE}), Screen()
    runner = Runner({ONE: record(ONE, outcome=Outcome.ERRORS)})
    table = carry_on(given, runner, screen)
    assert runner.ran == [ONE, OTHER, TWO]
    assert screen.begun[-1] == "3/3 threads"
    assert list(table["cell"]) == [ONE.id, OTHER.id, TWO.id]
    again = Runner()
    assert list(carry_on(given, again)["cell"]) == list(table["cell"])
    assert again.ran == []


def test_what_follows_and_was_not_reached_is_completed(tmp_path: Path) -> None:
    given = Given(folder=tmp_path, cells=[ONE, TWO], after={ONE: OTHER})
    runner = Runner({ONE: record(ONE, outcome=Outcome.ERRORS)})
    carry_on(given, runner, interrupted=lambda: len(runner.ran) == 1)
    rest = Runner()
    carry_on(given, rest)
    assert (runner.ran, rest.ran) == ([ONE], [OTHER, TWO])


def outcomes(folder: Path) -> dict[str, str]:
    return {each.as_cell.pool: str(each.outcome) for each in RunFolder(folder).latest().values()}


def test_trials_run_in_the_order_of_the_plan_and_each_is_on_record_as_it_ends(tmp_path: Path) -> None:
    seen: list[int] = []
    runner = Runner({TWO: lambda: seen.append(len(RunFolder(tmp_path).records()))})
    screen = Screen()
    table = carry_on(Given(folder=tmp_path), runner, screen)
    assert runner.ran == [ONE, TWO, THREE]
    assert seen == [1]
    assert screen.begun == ["1/3 solo", "2/3 threads", "3/3 prefork"]
    assert [row["cell"] for row in screen.rows] == list(table["cell"]) == [cell.id for cell in CELLS]
    assert list(pd.read_csv(tmp_path / "cells.csv")["cell"]) == list(table["cell"])
    assert (tmp_path / "diagnoses.md").read_text() == "Nothing went wrong.\n"


def test_what_is_on_record_is_not_run_again(tmp_path: Path) -> None:
    carry_on(Given(folder=tmp_path, cells=[ONE, TWO]), Runner())
    screen, runner = Screen(), Runner()
    carry_on(Given(folder=tmp_path), runner, screen)
    assert runner.ran == [THREE]
    assert screen.said[0] == "2 of 3 trials are on record; --fresh runs them again"


def test_other_settings_are_another_plan_but_for_how_often(tmp_path: Path) -> None:
    carry_on(Given(folder=tmp_path), Runner())
    runner = Runner()
    carry_on(Given(folder=tmp_path, settings=SETTINGS.model_copy(update={"seed": 7, "controls": False})), runner)
    assert runner.ran == []
    carry_on(Given(folder=tmp_path, settings=SETTINGS.model_copy(update={"requests": 21})), runner)
    assert runner.ran == [ONE, TWO, THREE]


def test_outcomes_that_are_to_be_tried_again_are_run_again(tmp_path: Path) -> None:
    carry_on(Given(folder=tmp_path), Runner({TWO: record(TWO, outcome=Outcome.HUNG)}))
    assert outcomes(tmp_path)["threads"] == "hung"
    runner = Runner()
    carry_on(Given(folder=tmp_path, retry=FAILED), runner)
    assert runner.ran == [TWO]
    assert outcomes(tmp_path)["threads"] == "ok"


def test_a_trial_that_others_rest_on_runs_first_though_it_is_on_record(tmp_path: Path) -> None:
    carry_on(Given(folder=tmp_path, cells=[ONE, TWO]), Runner())
    runner, done = Runner(), Runner()
    carry_on(Given(folder=tmp_path, first=ONE), runner)
    carry_on(Given(folder=tmp_path, first=ONE), done)
    assert runner.ran == [ONE, THREE]
    assert done.ran == [], "where nothing is left to run, nothing rests on it"


def test_an_interrupted_trial_is_not_kept_and_the_header_and_the_table_are_written(tmp_path: Path) -> None:
    runner = Runner({TWO: None})
    table = carry_on(Given(folder=tmp_path), runner, interrupted=lambda: len(runner.ran) == 2)
    assert runner.ran == [ONE, TWO]
    assert list(table["cell"]) == [ONE.id]
    assert header(tmp_path)["interrupted"] is True
    assert header(tmp_path)["ended"]
    again = Runner()
    carry_on(Given(folder=tmp_path), again)
    assert again.ran == [TWO, THREE]
    assert header(tmp_path)["interrupted"] is False


def test_a_stop_between_two_trials_begins_no_further_one(tmp_path: Path) -> None:
    runner, screen = Runner(), Screen()
    carry_on(Given(folder=tmp_path), runner, screen, interrupted=lambda: bool(runner.ran))
    assert runner.ran == [ONE]
    assert screen.begun == ["1/3 solo"]


def test_a_model_that_a_backend_cannot_build_is_tried_once(tmp_path: Path) -> None:
    lacking = record(ONE, outcome=Outcome.SKIPPED, reason="no LSTM")
    runner = Runner({ONE: lacking})
    carry_on(Given(folder=tmp_path, cells=[ONE, TWO, OTHER]), runner)
    assert runner.ran == [ONE, OTHER]
    kept = RunFolder(tmp_path).latest()[TWO.id, 1]
    assert (kept.outcome, kept.reason) == (Outcome.SKIPPED, "no LSTM")
    assert kept.asked.versions == {"celery": "5.7.0"}


def test_what_cannot_exist_is_skipped_with_its_reason_and_says_nothing_of_its_like(tmp_path: Path) -> None:
    runner = Runner()
    carry_on(Given(folder=tmp_path, skips={ONE: "no such pool"}), runner)
    assert runner.ran == [TWO, THREE]
    assert RunFolder(tmp_path).latest()[ONE.id, 1].reason == "no such pool"


def test_what_others_have_shown_is_spared_with_its_reason_and_its_like_is_run(tmp_path: Path) -> None:
    runner = Runner()
    carry_on(Given(folder=tmp_path, spares={TWO: "not run: nothing new"}), runner)
    assert runner.ran == [ONE, THREE]
    (spared,) = (each for each in RunFolder(tmp_path).latest().values() if each.as_cell == TWO)
    assert (spared.outcome, spared.reason) == (Outcome.SKIPPED, "not run: nothing new")


@pytest.mark.parametrize(("unsettled", "reasons"), [([], ["first"]), (["first"], ["first", "second"])])
def test_a_trial_that_was_given_less_than_was_asked_for_is_run_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unsettled: list[str], reasons: list[str]
) -> None:
    ends = iter([record(ONE, reason="first"), record(ONE, reason="second")])
    seen: list[str] = []

    class Source(Given):
        def unsettled(self, record: TrialRecord) -> bool:
            seen.append(record.reason)
            return record.reason in unsettled

    monkeypatch.setattr(one_trial, "once", lambda *_: next(ends))
    given = Source(folder=tmp_path, cells=[ONE])
    carry_on(given, one_trial.carried_out)
    assert seen == ["first"], "the second try is the last word"
    assert [one.reason for one in RunFolder(tmp_path).records()] == [reasons[-1]]


def test_a_trial_is_given_the_records_of_those_before_it(tmp_path: Path) -> None:
    runner = Runner()
    carry_on(Given(folder=tmp_path, cells=[ONE.baseline(), OTHER.baseline(), ONE]), runner)
    assert runner.records == [0, 1, 2]


def test_a_slot_holds_the_pace_and_folders_of_its_trial(tmp_path: Path) -> None:
    desk = Desk(
        folder=RunFolder(tmp_path), scratch=tmp_path / "scratch", server=NoBroker(), settings=SETTINGS, say=print,
        interrupted=bool,
    )  # fmt: skip
    paced = record(ONE.baseline(), measured_s=2.0, measured_requests=10, first_predict_s=0.5)
    others = record(OTHER.baseline(), measured_s=9.0, measured_requests=10, first_predict_s=9.5)
    slot = one_trial.slot(desk, Planned(cell=ONE, trial=3, key="k"), [paced, others])
    assert (slot.baseline_s, slot.baseline_first_s) == (0.2, 0.5)
    assert slot.evidence == tmp_path / "evidence" / f"{ONE.id}.3"
    assert [(path.name, path.read_text()) for path in slot.folder.iterdir()] == [(one_trial.CELL_FILE, ONE.id)]


def test_the_header_keeps_the_first_start_and_has_the_sources_own_part(tmp_path: Path) -> None:
    store.RunFolder(tmp_path).write_json("run.json", {"started": "long ago"})
    carry_on(Given(folder=tmp_path), Runner())
    assert header(tmp_path)["started"] == "long ago"
    assert header(tmp_path)["given"] == 3
    assert header(tmp_path)["broker"] == "embedded valkey"


# -- from the beginning: with a folder that is locked, a broker, and a look at our own processes


def test_a_whole_run_leaves_records_and_no_scratch_folder(tmp_path: Path) -> None:
    screen = Screen()
    table = workflow.run(Given(folder=tmp_path / "run"), screen, Runner())
    assert list(table["outcome"]) == ["ok"] * 3
    assert not (tmp_path / "run" / "scratch").exists()
    workflow.run(Given(folder=tmp_path / "run", fresh=True), screen, Runner())
    assert any(text.startswith("the earlier run was moved to ") for text in screen.said)


def test_ctrl_c_ends_a_run_of_any_source_with_what_was_measured(tmp_path: Path) -> None:
    screen = Screen()
    runner = Runner({TWO: lambda: os.kill(os.getpid(), signal.SIGINT)})
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted, match="what was measured is kept"):
        workflow.run(Given(folder=tmp_path / "run"), screen, runner)
    assert runner.ran == [ONE, TWO]
    assert len(pd.read_csv(tmp_path / "run" / "cells.csv")) == 2
    assert header(tmp_path / "run")["interrupted"] is True
    assert "stopping after this trial's clean-up; what was measured is kept" in screen.said
    assert not (tmp_path / "run" / "scratch").exists()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_disk_that_fills_up_is_said_and_keeps_the_records(tmp_path: Path) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CannotWrite, match="the disk is full"):
        workflow.run(Given(folder=tmp_path / "run"), Screen(), Runner({TWO: full}))
    assert outcomes(tmp_path / "run") == {"solo": "ok"}


def test_a_run_does_not_begin_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LEAST_FREE_BYTES", 2**62)
    runner = Runner()
    with pytest.raises(CannotWrite, match="MiB are needed"):
        workflow.run(Given(folder=tmp_path / "run"), Screen(), runner)
    assert not (tmp_path / "run").exists()
    assert runner.ran == []


def test_two_runs_of_any_source_do_not_write_to_one_folder(tmp_path: Path) -> None:
    with RunFolder(tmp_path).opened(), pytest.raises(BadInput, match="another run"):
        workflow.run(Given(folder=tmp_path), Screen(), Runner())


def test_a_run_of_any_source_is_not_completed_on_another_machine(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.append(record())
    folder.write_json("run.json", {"machine": {"cores_available": 4096}})
    with pytest.raises(BadInput, match=r"another machine: .*cores_available 4096"):
        workflow.run(Given(folder=tmp_path), Screen(), Runner())


def test_a_folder_that_a_source_does_not_admit_stays_as_it_is(tmp_path: Path) -> None:
    runner = Runner()
    with pytest.raises(BadInput, match="holds something else"):
        workflow.run(Given(folder=tmp_path, refuse="holds something else"), Screen(), runner)
    assert runner.ran == []
    assert [path.name for path in tmp_path.iterdir()] == [store.LOCK]


def test_traffic_that_a_trial_has_no_time_for_is_refused_before_an_earlier_run_is_moved(tmp_path: Path) -> None:
    RunFolder(tmp_path).append(record())
    slow = Cell(backend="theano", pool="solo", traffic="poisson-0.01")
    with pytest.raises(BadInput, match="cut off"):
        workflow.run(Given(folder=tmp_path, cells=[slow], fresh=True), Screen(), Runner())
    assert len(RunFolder(tmp_path).records()) == 1
