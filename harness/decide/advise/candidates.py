"""Each configuration that was measured, held against what a deployment must keep. Pure, but for reading runs.

A configuration is a real cell (no control, no baseline). It is *vetoed* if any of its trials hung, crashed, erred or answered
wrongly, whatever the others did, or if trials of its kind did so in the shipped atlas; it is *unfit* if one of its fresh
workers breaks a bound, and *unknown* if it cannot be said whether one more would: too few workers or requests, or too unlike
ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from harness.atlas import against, answer, stored
from harness.certainty import intervals
from harness.certainty.intervals import Span, of_one_more
from harness.decide.advise import ends, env_files, fresh
from harness.decide.advise.constraints import HANG_RATE, Bound
from harness.decide.compare.sides import Side, machines_differ, read, same_probe
from harness.errors import BadInput
from harness.experiment.matrix import OWN_APP, Cell
from harness.machine import identity
from harness.measure import doubts
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.summary import contrast, notes, pattern, summary
from harness.summary.summary import gravest

NOT_MEASURED = NOT_JUDGED | {Outcome.SLOW, Outcome.UNCHECKED}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One configuration. `row`: its row of the table, with `rows_per_s`, `fresh` (see `fresh.of`), `cores_available` (that
    could be used, by affinity and CPU quota) and `baseline_mean_s` (of a serial call); `paces`: rows a second, a trial each;
    `broken`: bounds that a worker of it does not keep, `unknown`: those of which it cannot be said."""

    cell: Cell
    row: Mapping[str, Any]
    paces: tuple[float, ...]
    run: str
    outcome: Outcome
    reason: str
    evidence: str = ""
    cause: str = ""
    support: tuple[str, ...] = ()  # of the cause, a sentence each
    unusable: str = ""  # why an ok trial has no figures
    doubts: tuple[str, ...] = ()  # of its records: those that decide, and those about the machine, see `doubts`
    beside: str = ""  # what sets it apart from the other pools, see `summary.pattern`
    atlas: str = ""  # how trials of its kind failed in the atlas, though none of its own did
    application: Mapping[str, Any] | None = None  # somebody's own, see `compare.sides.Side`
    notes: tuple[str, ...] = ()  # of its records: what a reader has to know beside the figures
    ended: str = ""  # that its engine is past its end of life, in words
    old: str = ""  # that its interpreter is
    broken: tuple[Bound, ...] = ()
    unknown: tuple[Bound, ...] = ()

    @property
    def id(self) -> str:
        return self.cell.id

    @property
    def question(self) -> tuple[str, str]:
        """What it answers: configurations are compared only for the same model under the same traffic."""
        return self.cell.workload, self.cell.traffic

    @property
    def vetoed(self) -> bool:
        return bool(self.atlas) or (self.outcome is not Outcome.OK and self.outcome not in NOT_MEASURED)

    @property
    def measured(self) -> bool:
        return self.outcome is Outcome.OK and bool(self.paces) and not self.vetoed

    @property
    def unused(self) -> bool:
        """It was run, and nothing speaks for or against it."""
        return not self.vetoed and not self.measured and self.outcome is not Outcome.SKIPPED

    @property
    def answers(self) -> bool:
        """All was right, but for figures: the machine was too busy, or the client was."""
        return self.unused and self.outcome is Outcome.OK

    @property
    def fit(self) -> bool:
        return self.measured and not self.broken and not self.unknown

    @property
    def rows_per_s(self) -> float:
        return float(self.row["rows_per_s"])

    @property
    def seen(self) -> tuple[float, float]:
        """Least and most rows a second that were seen: of its trials, or of a single one the 95 % interval if it is known.
        A few requests that have none bound nothing."""
        low, high = self.row["throughput_low_per_s"], self.row["throughput_high_per_s"]
        if len(self.paces) > 1:
            return min(self.paces), max(self.paces)
        if low is None:
            few = 0 < self.row["requests"] < intervals.LEAST_REQUESTS
            return (0.0, math.inf) if few else (self.paces[0], self.paces[0])
        return low * self.cell.batch, math.inf if high is None else high * self.cell.batch

    @property
    def fresh_worker(self) -> Span:
        """Rows a second of one more worker like it, with 95 %."""
        return of_one_more(self.paces)


def read_all(folders: Sequence[Path], bounds: Sequence[Bound]) -> list[Candidate]:
    """The configurations of all runs; a cell of several runs is taken from the last, unless an earlier one's own veto it.

    Raises BadInput if the runs were made on different machines, or are probes that ask different things.
    """
    found: dict[str, Candidate] = {}
    first: Side | None = None
    for folder in folders:
        side = read(folder)
        first = first or side
        _admit(first, side)
        for one in of_run(side, folder, bounds):
            if one.id not in found or not found[one.id].vetoed or found[one.id].atlas:
                found[one.id] = one
    return list(found.values())


def _admit(first: Side, other: Side) -> None:
    """Raises BadInput if the figures of the two cannot stand side by side."""
    if machines := machines_differ(first, other):
        raise BadInput(
            f"{first.name} and {other.name} were made on different machines: {machines}; their figures do not compare",
            remedy="name runs of one machine, or ask for advice on each",
        )
    if first.cells.keys() & other.cells.keys():
        same_probe(first, other)


def of_run(side: Side, folder: Path, bounds: Sequence[Bound]) -> list[Candidate]:
    groups = {trials[0].cell_id: list(trials) for trials in side.cells.values()}
    return [_candidate(trials, groups, side, folder, bounds) for trials in groups.values() if _real(trials[0].as_cell)]


def _real(cell: Cell) -> bool:
    return not (cell.is_control or cell.is_baseline)


def _candidate(
    trials: list[TrialRecord], groups: Mapping[str, list[TrialRecord]], side: Side, folder: Path, bounds: Sequence[Bound]
) -> Candidate:
    cell, worst, values = trials[0].as_cell, gravest(trials), summary.row(trials, groups, folder)
    cause = contrast.cause(worst, groups)
    known = [(record, side.of(record)) for record in trials if record.outcome is Outcome.OK]
    paces = tuple(one.throughput_per_s * cell.batch for _, one in known if one is not None and one.throughput_per_s)
    row = {
        **dict.fromkeys(summary.COLUMNS), **values, "rows_per_s": (values.get("throughput_per_s") or 0.0) * cell.batch,
        "cores_available": identity.usable(side.machine), "fresh": fresh.of(known),
        "baseline_mean_s": _mean_call_s(groups.get(cell.baseline().id, ()), side),
    }  # fmt: skip
    broken, unknown = held(row, bounds)
    return Candidate(
        cell=cell, row=row, paces=paces, run=str(folder), outcome=worst.outcome, reason=worst.reason,
        evidence=worst.ended.evidence, cause=cause.name, support=cause.support, beside=pattern.across(cell, groups),
        unusable=next((record.certainty.unusable for record in trials if record.certainty.unusable), ""),
        doubts=(*doubts.deciding(trials), *doubts.disturbed(trials)),
        application=_with_file(side.application), notes=(*notes.of(trials), *_beside(trials[0], side)),
        broken=broken, unknown=unknown, atlas=_quoted(trials) if worst.outcome is Outcome.OK else "",
        ended=ends.engine(trials[0].asked.versions), old=ends.python(side.interpreters.get(cell.venv, ""), date.today()),
    )  # fmt: skip


def _with_file(application: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """With what others read otherwise in its env file, see `env_files`, as that is now; nothing of one that cannot be read."""
    if application is None or not application.get("env_file"):
        return application
    try:
        text = Path(application["env_file"]).read_bytes().decode("utf-8")
    except (OSError, ValueError):
        return application
    return {**application, "misread": env_files.misread(text)}


def _mean_call_s(baseline: Sequence[TrialRecord], side: Side) -> float | None:
    """Seconds per serial call in the mean, with what our own loop does between two; None if it is not known."""
    found = [side.of(record) for record in baseline if record.outcome in ANSWERED]
    paces = [one.throughput_per_s for one in found if one is not None and one.throughput_per_s]
    return 1.0 / middle if (middle := intervals.middle(paces)) else None


def _beside(one: TrialRecord, side: Side) -> tuple[str, ...]:
    """What the atlas has in this pool of the engines that somebody's own application has loaded: told beside it, and no veto.

    Of an old run's application it is not known, and all that are installed count.
    """
    own, pool, used = one.as_cell.backend == OWN_APP, one.as_cell.pool, (side.application or {}).get("loaded")
    return answer.quoted(stored.shipped(), one.asked.versions, pool, used) if own else ()


def _quoted(trials: Sequence[TrialRecord]) -> str:
    """'1 trial ok here; the atlas has 3 of 12 crashed (5 % - 57 %)'; '' where it has nothing against these."""
    known = stored.shipped().entries
    if not (found := against.failures(known, trials[0].as_cell, trials[0].asked.versions)):
        return ""
    good = sum(record.outcome is Outcome.OK for record in trials)
    return f"{good} trial{'' if good == 1 else 's'} ok here; the atlas has {', '.join(map(str, found))}"


def held(row: Mapping[str, Any], bounds: Sequence[Bound]) -> tuple[tuple[Bound, ...], tuple[Bound, ...]]:
    """(bounds that a worker breaks, bounds of which it cannot be said whether one more fresh worker would).

    A hang rate without one hang that is not bounded low enough is not broken: more fresh workers may show it.
    """
    broken, open_ = list[Bound](), list[Bound]()
    for bound in bounds:
        seen, end = bound.at_best(row), bound.end(row)
        if seen is not None and not bound.keeps(seen) and not _is_bounded(bound, row):
            broken.append(bound)
        elif end is None or not bound.keeps(end):
            open_.append(bound)
    return tuple(broken), tuple(open_)


def _is_bounded(bound: Bound, row: Mapping[str, Any]) -> bool:
    return bound.name == HANG_RATE and not row["hung_trials"]


def comparable(unchecked: Sequence[Candidate]) -> str:
    """What makes answers comparable that were compared with nothing."""
    if any((one.application or {}).get("check") for one in unchecked):
        return "--check had none that can be read: results in json or msgpack are read, a pickle is not (result_serializer)"
    return "probe again with --check"
