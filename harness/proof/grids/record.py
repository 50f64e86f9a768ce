"""Measures a project's whole grid, or searches it as a user does and holds what is advised against the best on record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from harness import environments
from harness.applications.probe import command as probed
from harness.applications.probe.differences import RTOL
from harness.applications.tune import command as tuning
from harness.applications.tune import grid as grids
from harness.certainty.intervals import middle
from harness.decide.advise import candidates, ranking
from harness.decide.advise.candidates import Candidate
from harness.decide.tune import tune
from harness.decide.tune.search import NOTHING, Score
from harness.decide.tune.tune import TuneOrder
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.proof.grids import projects
from harness.proof.grids.projects import Project
from harness.proof.instrument import searched
from harness.run import workflow

TRIALS, TRIALS_AGAIN = 5, 7  # of what may be the best; one of every other cell
NEAR = 0.6  # of the best pace by one trial each: at least so much has what may be the best
LIMIT_S = 60.0
QUICK = {"measure_s": 1.0, "stable_limit_s": 0.5}  # of a recording: several hundred trials
AS_TUNE = {"measure_s": 3.0, "requests": 30}  # what `harness tune --app` has if nothing is said


@dataclass(frozen=True, kw_only=True)
class Live:
    """A live search's answer. `reached`: of the pace of the best on record, both measured again side by side."""

    best: str
    measured: int
    grid: int
    reached: float
    note: str


def whole(project: Project, folder: Path, screen: workflow.Screen) -> pd.DataFrame:
    """One line per trial of every cell of the grid that can exist; `folder` is made, and takes what the runs leave."""
    with ordered(project, folder, screen, settings_of(**QUICK, requests=project.requests)) as order:
        _run(order, order.grid, 1, screen)
        known = candidates.read_all([order.folder], ())
        best = max(one.rows_per_s for one in known if one.measured)
        near = [one.cell for one in known if one.measured and one.rows_per_s >= NEAR * best]
        _run(order, near, TRIALS, screen)
        return table(candidates.read_all([order.folder], ()))


def again(project: Project, chosen: Sequence[Cell], folder: Path, screen: workflow.Screen) -> pd.DataFrame:
    """The same of these cells alone, by turns: what a grid of few trials calls its best is partly luck."""
    with ordered(project, folder, screen, settings_of(**QUICK, requests=project.requests)) as order:
        _run(order, chosen, TRIALS_AGAIN, screen)
        return table(candidates.read_all([order.folder], ()))


def _run(order: TuneOrder, cells: Sequence[Cell], trials: int, screen: workflow.Screen) -> None:
    workflow.run(order.ask(cells, order.settings.model_copy(update={"repeat": trials}), order.folder), screen)


def table(known: Sequence[Candidate]) -> pd.DataFrame:
    """`cell`, `outcome` (the gravest of its trials), `trial` and `pace_per_s` (None if no trial of it has figures)."""
    lines = [
        {"cell": one.id, "outcome": str(one.outcome), "trial": number, "pace_per_s": pace}
        for one in known
        for number, pace in enumerate(one.paces if one.measured else (None,), 1)
    ]
    return pd.DataFrame(lines)


def live(project: Project, best: Cell, folder: Path, screen: workflow.Screen) -> Live:
    """Search the grid with real workers. `best`: of the recorded grid."""
    with ordered(project, folder / "search", screen, settings_of(**AS_TUNE)) as order:
        answer = tune.live(order, screen)
        known = tune.advised(order, answer)
        told = tune.as_advised(answer, ranking.advise(known, ())[0], known)
        pair = order.ask([told.best, best], searched.again(order.settings), folder / "pair")
        reached, note = searched.side_by_side(told.best, best, pair, folder / "pair")
    spans = note.removeprefix("; rows/s ") or "the very best"
    return Live(best=told.best.id, measured=told.measured, grid=told.grid, reached=reached, note=spans)


@contextlib.contextmanager
def ordered(project: Project, folder: Path, screen: workflow.Screen, settings: Settings) -> Iterator[TuneOrder]:
    """The search that `harness tune --app` would make. What is started for it ends with the context."""
    place = folder.with_name(f"{folder.name}-project")
    asked = probed.read(
        app=projects.APP, task=projects.TASK, args=projects.made(project, place),
        python=str(environments.prepare(project.environment).python), env_file=None, cwd=place, pools="",
        concurrency=project.concurrency, queue="", check="", tolerance=RTOL, traffic=project.traffic, settings=settings,
        out=folder, fresh=False, retry="invalid", limit_s=LIMIT_S,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        yield tuning.of_application(asked, project.prefetch, project.max_tasks, project.vary, [], screen, stack)


def settings_of(**values: float) -> Settings:
    return probed.settings_of(LIMIT_S, noise_limit=100.0, **values)


def cells(project: Project) -> list[Cell]:
    """The grid of a project, with what it cannot have."""
    taken, kept = grids.numbers("prefetch", project.prefetch, 1), grids.numbers("max_tasks", project.max_tasks, 0)
    counts = tuple(int(count) for count in project.concurrency.split(","))
    return list(grids.cells(
        projects.TASK, project.traffic, pools=tuple(POOLS), concurrency=counts, prefetch=taken, max_tasks=kept,
        variables=grids.variables(project.vary),
    ))  # fmt: skip


def scored(lines: pd.DataFrame, known: Sequence[Cell]) -> tuple[dict[Cell, Score], dict[Cell, tuple[float, ...]]]:
    """(score, paces) of each recorded cell. Raises KeyError for a cell that is not of the grid."""
    by_id = {cell.id: cell for cell in known}
    paces = {by_id[str(name)]: tuple(found["pace_per_s"].dropna()) for name, found in lines.groupby("cell", sort=False)}
    return {cell: _score(each) for cell, each in paces.items()}, paces


def _score(paces: Sequence[float]) -> Score:
    pace = middle(paces)
    return NOTHING if pace is None else replace(NOTHING, answers=True, nearness=0.0, rows_per_s=pace)
