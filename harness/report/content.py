"""What a report shows, as plain values: nothing here knows HTML.

Distributions and time lines are thinned to what a chart can show; the whole stays in the run's folder, to which every cell
links.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from harness.decide.advise import candidates, ranking
from harness.decide.advise.constraints import Bound
from harness.decide.advise.ranking import Advice
from harness.decide.compare import sides
from harness.experiment import experiment
from harness.experiment.pools import IN_PROCESS, POOLS
from harness.measure import doubts, waterfall
from harness.records import answers, evidence
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import workflow
from harness.summary import summary
from harness.summary.summary import GRAVITY

QUANTILES = np.array([0.0, *np.linspace(0.05, 0.95, 19), 0.975, 0.99, 0.995, 0.999, 1.0])
MOST_SAMPLES = 60  # of a time line
MOST_TEXT = 6000  # characters of one file of evidence
MOST_ALL_TEXT = 5_000_000  # of all files together
KINDS = ("stacks", "fork", "threads", "worker.log")  # of evidence, as one reads them
MOST_OF_KIND = 2  # excerpts; the other files are linked
ROLES = ("worker", "children", "broker", "client")


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """The begin of one file of evidence, or of a section of the page of evidence; `path` leads there from the run's folder."""

    path: str
    text: str
    cut: bool


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
        return [one for one in self.cells if not (one.trials[0].as_cell.is_control or one.trials[0].as_cell.is_baseline)]

    @cached_property
    def outcomes(self) -> list[tuple[str, int]]:
        """(outcome, cells), the gravest first."""
        ended = [one.outcome for one in self.cells]
        return [(outcome.value, ended.count(outcome.value)) for outcome in GRAVITY if outcome.value in ended]

    @cached_property
    def not_kept(self) -> str:
        """What cannot be drawn since the requests' and samples' files are gone; '' where all are there."""
        ended = [
            record
            for one in self.cells
            for record in one.trials
            if record.outcome is Outcome.OK and record.answers.requests_file
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
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(record.cell_id, []).append(record)
    header = run.read_json("run.json")
    rows = {row["cell"]: _plain(row) for row in table.to_dict("records")}
    most = _most_text(groups.values())
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
        return f"harness probe --app {own['app']} --task {own['task']} --args ROWS.json{pool}{out}"
    spec = header.get("experiment", {})
    name = str(spec.get("name") or "EXPERIMENT")
    file = name if name in experiment.names() else f"{name}.toml"
    model = " --model MODEL --input ROWS.npy" if workflow.USER_WORKLOAD in header.get("workloads", {}) else ""
    repeat = f" --repeat {spec['settings']['repeat']}" if spec.get("settings", {}).get("repeat", 1) != 1 else ""
    select = f" --select {shlex.quote(record.cell_id)}" if record else ""
    variant = f"  # in an experiment whose cells have environment = [{cell.venv!r}]" if cell and "+" in cell.venv else ""
    return f"harness run {file}{select}{model}{repeat}{out}{variant}"


def _most_text(groups: Iterable[Sequence[TrialRecord]]) -> int:
    """Characters of an excerpt: of a run in which many cells went wrong, less of each."""
    shown = sum(any(record.ended.evidence for record in trials) for trials in groups)
    return min(MOST_TEXT, MOST_ALL_TEXT // max(1, shown * MOST_OF_KIND * (len(KINDS) + 1)))


def _view(row: Mapping[str, Any], trials: Sequence[TrialRecord], folder: Path, command: str, most: int) -> CellView:
    worst = summary.gravest(trials)
    if said := evidence.section(folder, worst.ended.evidence):
        return _packed_view(row, trials, folder, command, _cut(worst.ended.evidence, said, most))
    shown = evidence_files(folder, worst) if worst.ended.evidence else []
    others = [
        path for record in trials if record is not worst and record.ended.evidence for path in evidence_files(folder, record)
    ]
    excerpts = [path for kind in (*KINDS, "") for path in [one for one in shown if _kind(one) == kind][:MOST_OF_KIND]]
    linked = dict.fromkeys(path for path in [*shown, *others] if path not in excerpts)
    return CellView(
        row=row,
        trials=tuple(trials),
        worst=worst,
        excerpts=tuple(excerpt(folder, path, most) for path in excerpts),
        files=tuple(str(path.relative_to(folder)) for path in linked) or (() if excerpts else (_records(folder),)),
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


def _records(folder: Path) -> str:
    run = RunFolder(folder)
    return (run.packed_path if run.packed_path.exists() and not run.trials_path.exists() else run.trials_path).name


def evidence_files(folder: Path, record: TrialRecord) -> list[Path]:
    """What was kept of a trial: the file that its record names first, then stacks, threads, logs. Nothing outside the run."""
    if evidence.PAGE_WAY.fullmatch(record.ended.evidence):  # a packed one beside others: its place on the page is linked
        return []
    named = folder / record.ended.evidence
    place = named if named.is_dir() else named.parent
    if not place.is_dir() or not place.resolve().is_relative_to(folder.resolve()):
        return []
    inside = folder.resolve()
    found = [
        path
        for path in place.rglob("*")
        if path.is_file() and path.suffix in (".txt", ".log", ".md") and path.resolve().is_relative_to(inside)
    ]
    return sorted(found, key=lambda path: (path != named, [*KINDS, ""].index(_kind(path)), path.name))


def _kind(path: Path) -> str:
    return next((kind for kind in KINDS if path.name.startswith(kind)), "")


def excerpt(folder: Path, path: Path, most: int = MOST_TEXT) -> Excerpt:
    return _cut(str(path.relative_to(folder)), path.read_text(errors="replace"), most)


def _cut(path: str, text: str, most: int) -> Excerpt:
    return Excerpt(path=path, text=text[:most], cut=len(text) > most)


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


def figures(content: Content) -> pd.DataFrame:
    """A row a real cell that ended ok: what the chart of throughput against latency shows."""
    table = content.table
    real = ~table["backend"].isin(["null", "faulty"]) & (table["pool"] != IN_PROCESS)
    found = table[real & (table["outcome"] == Outcome.OK.value) & table["throughput_per_s"].notna()].copy()
    found["latency_ms"] = found["latency_p95_s"].fillna(found["latency_p50_s"]) * 1e3
    found["percentile"] = np.where(found["latency_p95_s"].notna(), "p95", "p50")
    found["rows_per_s"] = found["throughput_per_s"] * found["batch"]
    found = found.dropna(subset=["latency_ms"])
    found["front"], found["question"] = False, found["workload"] + ", " + found["traffic"] + ", " + found["percentile"]
    for _, group in found.groupby("question"):  # only what can be had instead of each other lies on one front
        on = on_front(group["rows_per_s"].to_numpy(float), group["latency_ms"].to_numpy(float))
        found.loc[group.index, "front"] = on
    return found


def on_front(rates: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """Whether no other point is as fast at a lower latency: the Pareto front."""
    order = np.lexsort((-rates, latencies))
    best, found = -np.inf, np.zeros(len(rates), dtype=bool)
    for place in order:
        if rates[place] > best:
            best, found[place] = rates[place], True
    return found


def distributions(content: Content) -> pd.DataFrame:
    """(cell, share, latency_ms): each cell's latencies at some quantiles, all trials that ended ok together."""
    parts = []
    for one in content.cells:
        paths = [content.folder / record.answers.requests_file for record in one.trials if record.outcome is Outcome.OK]
        known = [answers.measured(path).latency_s for path in paths if path.is_file()]
        latencies = np.concatenate(known) if known else np.array([])
        if len(latencies):
            values = np.quantile(latencies, QUANTILES) * 1e3
            parts.append(pd.DataFrame({"cell": one.id, "share": QUANTILES, "latency_ms": _short(values)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["cell", "share", "latency_ms"])


def timelines(content: Content) -> pd.DataFrame:
    """(cell, at_s, role, cores): what each role used between samples, of the first trial that has them."""
    parts = []
    for one in content.cells:
        files = [content.folder / record.cpu.samples_file for record in one.trials if record.cpu.samples_file]
        path = next((path for path in files if path.is_file()), None)
        if path is not None and (part := _timeline(path)) is not None:
            parts.append(part.assign(cell=one.id))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["cell", "at_s", "role", "cores"])


def _timeline(path: Path) -> pd.DataFrame | None:
    read_ = pq.read_table(path, columns=["at_ns", *(f"cpu_{role}_s" for role in ROLES)]).to_pandas()
    step = max(1, len(read_) // MOST_SAMPLES)
    thinned = read_.iloc[::step]
    if len(thinned) < 2:
        return None
    seconds = thinned["at_ns"].to_numpy() * 1e-9
    rates = {role: np.diff(thinned[f"cpu_{role}_s"].to_numpy()) / np.diff(seconds) for role in ROLES}
    frame = pd.DataFrame({"at_s": _short(seconds[1:] - seconds[0]), **{role: _short(rate) for role, rate in rates.items()}})
    return frame.melt(id_vars="at_s", var_name="role", value_name="cores")


def stages(content: Content) -> pd.DataFrame:
    """(cell, stage, order, ms): the median of each stage of a request, of cells that have stamps."""
    rows = [
        {"cell": one.id, "stage": stage, "order": place, "ms": round(value * 1e3, 4)}
        for one in content.cells
        for place, stage in enumerate(waterfall.STAGES)
        if (value := one.row[f"stage_{stage}_p50_s"]) is not None
    ]
    return pd.DataFrame(rows, columns=["cell", "stage", "order", "ms"])


def memory(content: Content) -> pd.DataFrame:
    """(cell, part, mib): the peak by role, and what sharing saves."""
    parts = (("worker", "pss_worker_bytes"), ("children", "pss_children_bytes"), ("saved by sharing", "shared_saved_bytes"))
    rows = [
        {"cell": one.id, "part": part, "mib": round(value / 2**20, 1)}
        for one in content.real
        for part, column in parts
        if (value := one.row[column]) is not None
    ]
    return pd.DataFrame(rows, columns=["cell", "part", "mib"])


def _short(values: Iterable[float]) -> list[float]:
    """Four digits are more than a chart shows."""
    return [float(f"{value:.4g}") for value in values]
