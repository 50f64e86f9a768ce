"""What a search runs a second time, since others had spoiled its figures, and when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from harness.decide.tune import tune
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records.store import RunFolder
from harness.run import workflow
from harness.run.screen import PrintingScreen
from tests.test_advise import written
from tests.test_store import record

GRID = [Cell(backend="null", pool=pool, concurrency=count) for pool in ("prefork", "threads") for count in (1, 2)]


@dataclass
class Runs:
    """In place of real runs: a trial spoils where `spoiled` says so, once. `made`: the cells of all trials, in order."""

    folder: Path
    spoiled: set[str]
    made: list[str] = field(default_factory=list)
    buys: bool = False

    def __call__(
        self, cells: Sequence[Cell], settings: Settings, folder: Path, later: Any = (), further: Any = (), *, again: bool = True
    ) -> Any:
        return cells, settings.repeat, again

    def run(self, ordered: tuple[Sequence[Cell], int, bool], _screen: object) -> None:
        cells, trials, again = ordered
        for number in range(1, trials + 1):
            for cell in cells:
                known = RunFolder(self.folder).latest().get((cell.id, number))
                if known is None or (again and known.spoiled):
                    self.make(cell, number)

    def make(self, cell: Cell, trial: int) -> None:
        self.made.append(cell.id)
        one = record(cell, trial=trial)
        if cell.id in self.spoiled:
            self.spoiled.remove(cell.id)
            one = one.changed(certainty={"unusable": "machine too noisy"})
        RunFolder(self.folder).append(one)


def searched(folder: Path, monkeypatch: pytest.MonkeyPatch, grid: Sequence[Cell], spoiled: set[str], **known: Any) -> Runs:
    made = Runs(folder=folder, spoiled=spoiled, **known)
    monkeypatch.setattr(workflow, "run", made.run)
    tune.live(tune.TuneOrder(grid=grid, settings=Settings(), ask=made, folder=folder, trials=1), PrintingScreen())
    return made


def test_what_was_spoiled_is_run_again_once_each_configuration_was_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {cell.id for cell in GRID}
    start = tune.begun(GRID, lambda _: {}, 1.0).start.id
    made = searched(written(tmp_path / "run"), monkeypatch, GRID, {start, GRID[0].id}).made
    assert made[0] == start
    assert set(made[: len(GRID)]) == names, "each had its first trial"
    assert sorted(made[len(GRID) :]) == sorted({start, GRID[0].id})


def test_what_an_earlier_call_left_spoiled_comes_after_what_it_did_not_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tune.begun(GRID, lambda _: {}, 1.0).start
    before = record(start).changed(certainty={"unusable": "machine too noisy"})
    made = searched(written(tmp_path / "run", [before]), monkeypatch, GRID, set()).made
    assert made[-1] == start.id
    assert set(made[:-1]) == {cell.id for cell in GRID} - {start.id}


def test_a_descent_runs_again_what_it_goes_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = [
        Cell(backend="null", pool="threads", concurrency=count, batch=batch) for count in range(1, 7) for batch in (1, 8, 32)
    ]
    start = tune.begun(grid, lambda _: {}, 0.1).start.id
    made = searched(written(tmp_path / "run"), monkeypatch, grid, {start}).made
    assert made[:2] == [start, start]
