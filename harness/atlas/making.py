"""From the runs on record to the atlas. What counts: trials of real cells that could be judged; controls, baselines and
somebody's own application are left out. The same runs give the same atlas, whatever their order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from harness.atlas.entries import BAD, Cost, Entry, Releases, kind, release, releases
from harness.atlas.stored import Atlas
from harness.errors import BadInput
from harness.experiment.matrix import OWN_APP, Cell
from harness.places import CHECKOUT
from harness.records import store
from harness.records.links import Ways
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.run import packing

DIGITS = 4  # that a figure is kept to: more is noise


@dataclass(frozen=True, kw_only=True)
class Found:
    """A trial, and the run in whose folder its record lies. `python`: the version that its worker ran on."""

    record: TrialRecord
    run: str
    python: str = ""
    evidence: str = ""

    @property
    def key(self) -> tuple[Cell, Releases, str]:
        cell = self.record.as_cell
        return kind(cell), releases(cell.pool, self.record.asked.versions), release(self.python)


def of_runs(roots: Iterable[Path]) -> Atlas:
    """The atlas of the runs at and below these folders. Raises BadInput where there is none."""
    folders = sorted({folder.resolve() for root in roots for folder in _runs(root)})
    every = [one for folder in folders for one in _of_run(folder)]
    found = [one for one in every if counts(one.record)]
    entries = tuple(build(found))
    return Atlas(runs=dict(Counter(one.run for one in found)), entries=entries, skipped=_skipped(every, entries))


def build(found: Iterable[Found]) -> list[Entry]:
    """The entries of these trials, sorted by cell, releases and Python."""
    groups: dict[tuple[Cell, Releases, str], list[Found]] = {}
    for one in found:
        groups.setdefault(one.key, []).append(one)
    return [_entry(*key, groups[key]) for key in sorted(groups)]


def _skipped(every: Iterable[Found], entries: Iterable[Entry]) -> dict[str, str]:
    """Of each backend that was asked for, and of which no trial could be judged: why, as most of its records say."""
    known, why = {one.cell.backend for one in entries}, dict[str, Counter[str]]()
    for record in (one.record for one in every):
        cell = record.as_cell
        if record.outcome is Outcome.SKIPPED and not cell.is_control and cell.backend not in (*known, OWN_APP):
            why.setdefault(cell.backend, Counter())[record.reason] += 1
    return {name: max(found.items(), key=lambda item: (item[1], item[0]))[0] for name, found in sorted(why.items())}


def counts(record: TrialRecord) -> bool:
    """Whether the trial says something of a real configuration."""
    cell = record.as_cell
    beside = cell.is_control or cell.is_baseline or cell.backend == OWN_APP
    return not beside and record.outcome not in NOT_JUDGED


def _runs(root: Path) -> list[Path]:
    if found := [folder for folder in packing.runs(root) if store.RunFolder(folder).has_trials]:
        return found
    raise BadInput(f"{root} holds no run", remedy=store.NO_RECORDS)


def _of_run(folder: Path) -> list[Found]:
    run = store.RunFolder(folder)
    known = run.read_json("run.json").get("environments", {})
    name, ways = _name(folder), Ways(folder=folder)
    return [
        Found(
            record=record, run=name, python=known.get(record.as_cell.venv, {}).get("interpreter", ""),
            evidence=f"{name}/{ways.light(record.ended.evidence)}" if record.ended.evidence else "",
        )
        for record in run.trials()
    ]  # fmt: skip


def _name(folder: Path) -> str:
    """A run of this checkout by its path in it, another one by its own name: no path of a machine goes into the file."""
    return folder.relative_to(CHECKOUT).as_posix() if folder.is_relative_to(CHECKOUT) else folder.name


def _entry(cell: Cell, known: Releases, python: str, found: Sequence[Found]) -> Entry:
    records = [one.record for one in found]
    days = sorted(record.asked.started[:10] for record in records)
    return Entry(
        cell=cell, releases=known, python=python, outcomes=Counter(record.outcome for record in records),
        causes=Counter(cause for record in records if (cause := _cause(record))), days=(days[0], days[-1]),
        runs=tuple(sorted({one.run for one in found})), evidence=_evidence(found), costs=tuple(_costs(found)),
    )  # fmt: skip


def _cause(record: TrialRecord) -> str:
    if record.outcome not in BAD:
        return ""
    if record.outcome is not Outcome.ERRORS or not record.answers.errors:
        return record.ended.cause
    return max(record.answers.errors.items(), key=lambda item: (item[1], item[0]))[0].partition(":")[0].strip()


def _evidence(found: Sequence[Found]) -> str:
    """Of the gravest trial that failed and has some; of several, the first by name."""
    shown = [(BAD.index(one.record.outcome), one.evidence) for one in found if one.record.outcome in BAD and one.evidence]
    return min(shown)[1] if shown else ""


def _costs(found: Sequence[Found]) -> Iterable[Cost]:
    """By run and concurrency: figures of two machines, or of two numbers of processes, make no one figure."""
    groups: dict[tuple[str, int], list[TrialRecord]] = {}
    for one in found:
        if one.record.outcome is Outcome.OK and one.record.certainty.figures and not one.record.certainty.unusable:
            groups.setdefault((one.run, one.record.as_cell.concurrency), []).append(one.record)
    for (run, concurrency), records in sorted(groups.items()):
        known = [record.certainty.figures for record in records if record.certainty.figures]
        peaks = [record.memory.peak_pss_bytes for record in records if record.memory.peak_pss_bytes]
        halves = [one.latency_s["p50"] for one in known if "p50" in one.latency_s]
        yield Cost(
            run=run, concurrency=concurrency, trials=len(records),
            throughput_per_s=_kept([one.throughput_per_s for one in known]),
            p50_s=_kept(halves) if halves else None, peak_pss_bytes=int(median(peaks)) if peaks else None,
        )  # fmt: skip


def _kept(values: Sequence[float]) -> float:
    return float(f"{median(values):.{DIGITS}g}")
