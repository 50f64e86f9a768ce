"""What a report shows, as plain values: nothing here knows HTML.

What charts draw is in `frames`, what is shown of evidence in `excerpts`; the whole stays in the run's folder, to which every
cell links.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.decide.advise import candidates, ranking
from harness.decide.advise.constraints import Bound
from harness.decide.advise.ranking import Advice
from harness.decide.compare import sides
from harness.experiment import experiment
from harness.experiment.pools import POOLS
from harness.measure import doubts
from harness.records import evidence
from harness.records.outcomes import ANSWERED, GRAVITY
from harness.records.record import TrialRecord, by_cell
from harness.records.store import RunFolder
from harness.report import excerpts
from harness.report.excerpts import Excerpt
from harness.run import bundles
from harness.summary import notes, of_tasks, summary


@dataclass(frozen=True, kw_only=True)
class CellView:
    """One cell: its row of the table, what its trials said, what was kept of them."""

    row: Mapping[str, Any]
    trials: tuple[TrialRecord, ...]
    worst: TrialRecord  # whose reason the row tells, and whose evidence is shown
    excerpts: tuple[Excerpt, ...]
    files: tuple[str, ...]  # other evidence, in the run's folder
    command: str

    @property
    def id(self) -> str:
        return str(self.row["cell"])

    @property
    def outcome(self) -> str:
        return str(self.row["outcome"])

    @property
    def doubts(self) -> list[tuple[str, str]]:
        return doubts.parts(self.row["doubts"] or "")

    @property
    def tasks(self) -> list[str]:
        """Of a mix, what became of each."""
        return of_tasks.lines(self.trials)

    @property
    def notes(self) -> list[str]:
        """What else a reader has to know, see `summary.notes`."""
        return notes.of(self.trials)


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything of one run."""

    folder: Path
    header: Mapping[str, Any]
    table: pd.DataFrame
    cells: tuple[CellView, ...]
    advice: tuple[Advice, ...]

    @property
    def name(self) -> str:
        return str(self.header.get("experiment", {}).get("name") or self.folder.name)

    @property
    def real(self) -> list[CellView]:
        """Without controls and baselines."""
        return [one for one in self.cells if _measured(one.trials[0])]

    @property
    def controls(self) -> list[CellView]:
        """And baselines."""
        return [one for one in self.cells if not _measured(one.trials[0])]

    @cached_property
    def outcomes(self) -> list[tuple[str, int]]:
        """(outcome, cells), the gravest first."""
        ended = [one.outcome for one in self.cells]
        return [(outcome.value, ended.count(outcome.value)) for outcome in GRAVITY if outcome.value in ended]

    @cached_property
    def not_kept(self) -> str:
        """What cannot be drawn since the requests' and samples' files are gone; '' where all are there."""
        ended = [
            record for one in self.cells for record in one.trials if record.outcome in ANSWERED and record.answers.requests_file
        ]
        gone = sum(not (self.folder / record.answers.requests_file).is_file() for record in ended)
        said = f"requests not kept of {gone} of {len(ended)} trials that ended ok: no latencies by share, no cores over time"
        return f"{said} of them; figures and stages are in their records" if gone else ""

    @cached_property
    def doubts(self) -> list[tuple[str, str, int]]:
        """(name, one of the texts, cells that have it), the most frequent first."""
        found: dict[str, tuple[str, int]] = {}
        for one in self.cells:
            for name, rest in one.doubts:
                found[name] = (found.get(name, (rest, 0))[0], found.get(name, (rest, 0))[1] + 1)
        return sorted(((name, rest, count) for name, (rest, count) in found.items()), key=lambda item: -item[2])

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the figures, each note once."""
        return notes.counted([one.notes for one in self.cells])


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Outcomes at a glance. `rows`: (backend, placement), `columns`: pools; `cells` by (row, pool)."""

    rows: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[tuple[str, str], str], tuple[CellView, ...]]

    def at(self, row: tuple[str, str], pool: str) -> list[tuple[str, list[CellView]]]:
        """(outcome, the cells that ended so), the gravest first."""
        found = self.cells.get((row, pool), ())
        ended = [(outcome.value, [one for one in found if one.outcome == outcome.value]) for outcome in GRAVITY]
        return [(outcome, group) for outcome, group in ended if group]


def read(folder: Path, bounds: Sequence[Bound] = ()) -> Content:
    """A run's folder. Raises BadInput where it holds no trial."""
    side = sides.read(folder)
    run = RunFolder(folder)
    records = list(run.current().values())
    table = summary.table(records, folder)
    groups = by_cell(records)
    header = run.read_json("run.json")
    rows = {row["cell"]: _plain(row) for row in table.to_dict("records")}
    most = excerpts.most_text(groups.values())
    cells = tuple(_view(rows[cell], trials, folder, again(header, trials[0]), most) for cell, trials in groups.items())
    advice = ranking.advise(candidates.of_run(side, folder, bounds), bounds) if any(map(_measured, records)) else []
    return Content(folder=folder, header=header, table=table, cells=cells, advice=tuple(advice))


def _measured(record: TrialRecord) -> bool:
    cell = record.as_cell
    return not (cell.is_control or cell.is_baseline)


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    """Missing values as None: pandas says NaN."""
    return {str(name): None if isinstance(value, float) and np.isnan(value) else value for name, value in row.items()}


def again(header: Mapping[str, Any], record: TrialRecord | None = None) -> str:
    """The command that runs a cell again, or all of them, in a folder of its own; capitals stand for a user's own files."""
    own, cell = header.get("application"), record.as_cell if record else None
    out = " --out results/again"
    if own is not None:
        pool = f" --pools {cell.pool} --concurrency {cell.concurrency}" if cell and not cell.is_baseline else ""
        what = "--mix MIX.toml" if own.get("mix") else f"--task {own['task']} --args ROWS.json"
        return f"harness probe --app {own['app']} {what}{pool}{out}"
    spec = header.get("experiment", {})
    name = str(spec.get("name") or "EXPERIMENT")
    file = name if name in experiment.names() else f"{name}.toml"
    model = " --model MODEL --input ROWS.npy" if bundles.USER_WORKLOAD in header.get("workloads", {}) else ""
    repeat = f" --repeat {spec['settings']['repeat']}" if spec.get("settings", {}).get("repeat", 1) != 1 else ""
    select = f" --select {shlex.quote(record.cell_id)}" if record else ""
    variant = f"  # in an experiment whose cells have environment = [{cell.venv!r}]" if cell and "+" in cell.venv else ""
    return f"harness run {file}{select}{model}{repeat}{out}{variant}"


def _view(row: Mapping[str, Any], trials: Sequence[TrialRecord], folder: Path, command: str, most: int) -> CellView:
    worst = summary.gravest(trials)
    if said := evidence.section(folder, worst.ended.evidence):
        return _packed_view(row, trials, folder, command, excerpts.cut(worst.ended.evidence, said, most))
    shown = excerpts.files(folder, worst) if worst.ended.evidence else []
    others = [
        path for record in trials if record is not worst and record.ended.evidence for path in excerpts.files(folder, record)
    ]
    chosen = excerpts.chosen(shown)
    linked = dict.fromkeys(path for path in [*shown, *others] if path not in chosen)
    return CellView(
        row=row,
        trials=tuple(trials),
        worst=worst,
        excerpts=tuple(excerpts.of_file(folder, path, most) for path in chosen),
        files=tuple(str(path.relative_to(folder)) for path in linked) or (() if chosen else (RunFolder(folder).records_name,)),
        command=command,
    )


def _packed_view(
    row: Mapping[str, Any], trials: Sequence[TrialRecord], folder: Path, command: str, excerpt: Excerpt
) -> CellView:
    """Of a packed run: what its page of evidence says of the worst trial, and where it tells of the others."""
    others = dict.fromkeys(record.ended.evidence for record in trials if evidence.exists(folder, record.ended.evidence))
    return CellView(
        row=row, trials=tuple(trials), worst=summary.gravest(trials), excerpts=(excerpt,),
        files=tuple(way for way in others if way != excerpt.path), command=command,
    )  # fmt: skip


def matrix(content: Content) -> Matrix:
    """Real cells by backend, placement and pool."""
    cells: dict[tuple[tuple[str, str], str], list[CellView]] = {}
    for one in content.real:
        cell = one.trials[0].as_cell
        cells.setdefault(((cell.venv, cell.placement), cell.pool), []).append(one)
    rows = tuple(dict.fromkeys(row for row, _ in cells))
    pools = {pool for _, pool in cells}
    return Matrix(
        rows=rows,
        columns=tuple(pool for pool in POOLS if pool in pools),
        cells={key: tuple(group) for key, group in cells.items()},
    )
