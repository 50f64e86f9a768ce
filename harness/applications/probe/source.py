"""The trials of somebody's own application: the serial calls, whose answers say what is right, then each pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil

from harness.applications.probe import (
    code_change,
    curve,
    header,
    mixed,
    off_path,
    one_thread,
    pace,
    patience,
    pool_limits,
    results,
    seen,
    varied,
    words,
)
from harness.applications.probe.again import Calls
from harness.applications.probe.code_change import Change
from harness.applications.probe.expected import Expected
from harness.applications.probe.implicated import implicated
from harness.applications.probe.learn import Facts, why_skipped
from harness.applications.probe.order import ProbeOrder, cells
from harness.applications.probe.seen import Seen
from harness.applications.probe.serving import Serving
from harness.applications.probe.sizing import Sizing
from harness.decide.advise.pages import CHANGE_FILE
from harness.environments import Environment
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.judge.causes import LOST_THREADS
from harness.records.answers import Requests
from harness.records.of_task import OfTask
from harness.records.outcomes import ANSWERED, NOT_JUDGED, STUCK, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import estimate, plan
from harness.run.plan import FAILS_ALONE, NOT_BOUGHT, Planned
from harness.run.source import Slot
from harness.summary import pattern
from harness.trial.application import Application
from harness.trial.assignment import Assignment
from harness.trial.left import Left

BY_A_ROW = (Outcome.CRASHED, Outcome.RESPAWNING, Outcome.HUNG, Outcome.WAITING)
NOT_CHECKED = "answers: not checked, for the serial calls gave nothing to compare"
LOOKED = "each raised what every call without Celery does, so no more were sent"


@dataclass(kw_only=True)
class ApplicationSource:
    """An application that told what it is."""

    order: ProbeOrder
    application: Application
    facts: Facts
    environment: Environment
    sources: str  # digest of its own source files
    code: Mapping[str, str]  # text of them, by path below the folder
    folder: RunFolder
    say: Callable[[str], None]
    calls: Calls  # the serial calls, once more
    sizing: Sizing  # how each pool is measured, settled by the serial calls
    serving: Serving
    expected: Expected  # what answers are held against, settled by the serial calls
    fails: str = ""  # that every serial call raised, in words
    raised: str = ""  # then: the name of the exception
    loaded: frozenset[str] = frozenset()  # the packages that its process has loaded, as they are imported
    serial: TrialRecord | None = None  # of the serial calls of this run
    whole: set[str] = field(default_factory=set)  # ids of the cells that get the whole limit after all
    changes: Sequence[Change] = ()  # of its code, that would help against what was seen
    _seen: Seen = field(default_factory=Seen)
    _of_tasks: Sequence[OfTask] = ()  # of the trial that was read last

    def planned(self) -> list[Planned]:
        return [
            Planned(cell=cell, trial=trial, key=self._key(cell), skip=why_skipped(cell, self.facts))
            for trial in range(1, self.order.settings.repeat + 1)
            for cell in cells(self.order)
            if trial == 1 or not (cell.is_baseline and self.order.grid)  # a search makes the serial calls once
        ]

    def goes_on_from(self, before: ApplicationSource) -> ApplicationSource:
        """With what answers are held against, as the serial calls of an earlier run of the same search settled it."""
        names = ("serial", "whole", "changes", "fails", "raised", "loaded")
        expected = replace(before.expected, order=self.order, say=self.say)
        known = {name: getattr(before.sizing, name) for name in ("pace", "import_s", "beside_s")}
        own = {name: getattr(before, name) for name in names}
        return replace(self, **own, expected=expected, sizing=replace(self.sizing, **known))

    def follows(self, item: Planned, records: Sequence[TrialRecord]) -> list[Planned]:
        """Its sibling, where the pool was over-subscribed, and the fastest pool with other numbers of executors, if that was
        asked for; none if the calls are counted, or in a search."""
        if self.order.max_calls or self.order.grid:
            return []
        sibling = one_thread.follows(item, records, self.one_thread, self._key(item.cell.sibling()))
        if not self.order.curve:
            return sibling
        mine = [one for one in records if one.asked.plan_key == self._key(one.as_cell)]
        more = curve.cells(self._real(), mine, psutil.virtual_memory().available)
        return [*sibling, *(Planned(cell=cell, trial=1, key=self._key(cell)) for cell in more)]

    @property
    def one_thread(self) -> dict[str, str]:
        """The variables that a sibling has beside those of its pool."""
        return one_thread.variables(self.order.own, self.environment.installed)

    def again(self, todo: Sequence[Planned]) -> list[Planned]:
        """The serial calls: their answers are the reference, and are not kept."""
        if self.serial is not None:
            return []
        serial = next(item for item in self.planned() if item.cell.is_baseline)
        return [serial] if todo and serial not in todo else []

    def installed(self, item: Planned) -> Mapping[str, str]:
        return self.environment.installed

    @contextmanager
    def assignment(self, slot: Slot) -> Iterator[Assignment]:
        self.serving.empty(slot.desk)
        cell = slot.item.cell
        given = {"limit_s": self._limit_s(cell), **self.sizing.settings(cell)}
        settings = slot.desk.settings.model_copy(update=given)
        yield slot.assignment(
            broker=self.serving.broker, environment=self.environment, bundle=Path(), rows=self.expected.rows,
            application=self._in(cell), settings=settings, **self.sizing.assignment(cell),
        )  # fmt: skip

    def _in(self, cell: Cell) -> Application:
        return varied.in_cell(self.application, cell, self.one_thread)

    def _limit_s(self, cell: Cell) -> float:
        whole_s = self.sizing.limit_s(cell)
        return whole_s if cell.is_baseline or cell.id in self.whole else patience.limit_s(self.serial, whole_s)

    def spared(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        if item.cell.is_baseline:
            return ""
        if self.expected.broken:
            return f"not run, for {self.expected.broken}; mend what the task needs, then --fresh"
        in_vain = self.serial is not None and pattern.waits_for_nobody(self.serial)  # that tells nothing of a pool
        tried, serial_kind = self._tried(records), "" if self.order.go_on or in_vain else self.raised
        if serial_kind and (pool := patience.fails_in(item.cell.pool, tried, serial_kind)):
            said = f"{FAILS_ALONE}, without Celery and in {pool}: {self.fails}"
            return said if self.order.grid else f"{said}; --go-on runs it all the same"  # a search has no such option
        same = [one for one in records if one.cell_id == item.cell.id and one.asked.plan_key == item.key]
        same = [] if Outcome.SKIPPED in self.order.retry else [one for one in same if one.trial < item.trial]
        if spared := patience.spared(self.serial, same):
            return spared
        latest = {(record.cell_id, record.trial): record for record in records}
        later = [one.cell for one in plan.missing(self._real(), latest, frozenset()) if one != item]
        lacking = self.sizing.why_not(item.cell, later)
        if patience.looks_first(serial_kind, tried):
            self.sizing.look(item.cell)
        return f"{NOT_BOUGHT} {lacking}" if lacking else ""

    def stand_in(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        return ""

    def apart(self, item: Planned) -> str:
        return ""  # its broker is emptied for each trial, and all trials are of one interpreter

    def _tried(self, records: Sequence[TrialRecord]) -> list[TrialRecord]:
        """The pools' trials of this plan that were judged."""
        known = {(item.cell.id, item.key) for item in self._real()}
        return [one for one in records if (one.cell_id, one.asked.plan_key) in known and one.outcome not in NOT_JUDGED]

    def left_s(self, todo: Sequence[Planned], records: Sequence[TrialRecord]) -> float | None:
        if self.sizing.pace is None and any(item.cell.is_baseline for item in todo):
            return None
        known = self.sizing.left_s([item.cell for item in todo if not (item.skip or item.cell.is_baseline)])
        return estimate.left_s(todo, records, self.order.settings) if known is None else known

    def _real(self) -> list[Planned]:
        """The trials that are run by a worker."""
        return [item for item in self.planned() if not item.cell.is_baseline and not item.skip]

    def read(self, left: Left) -> Requests | None:
        if left.cell.is_baseline:
            lines, result = results.whole_lines(left.result), left.result
            self.sizing.pace, self.fails = pace.of(lines, self.order.mix), results.all_raised(lines)
            self.raised, self.loaded = results.kind(lines[-1]["error"]) if self.fails else "", results.loaded(result)
            self.expected.settle(lines, left.ended, results.witnesses(result), off_path.late(result, self.application))
        requests = self.expected.compared(left)
        if not left.cell.is_baseline:
            requests = self.calls.after(left, requests, self.expected, self.sizing)
        told = varied.expected(self.facts.told.get("expected", {}), self.order.varied)
        self._seen = seen.of(left, requests, told, self.order, self.expected.retried, self.expected.raised)
        self._of_tasks = mixed.of_tasks(requests, self.order.mix) if self.order.mix and requests is not None else []
        return requests

    def revised(self, record: TrialRecord) -> TrialRecord:
        """The reason, by what answers were held against and what the settings say of this pool; a doubt if that was nothing."""
        expected, record = self.expected, record.changed(answers={"tasks": list(self._of_tasks)})
        doubts = [*([NOT_CHECKED] if expected.nothing else []), *mixed.doubts(record)]
        cell, limits = record.as_cell, self._in(record.as_cell).limits
        seen = self._seen
        compared = not expected.nothing and not expected.unsure
        outcome = words.outcome(record, limits, compared=compared, endless=seen.endless, outside=seen.outside)
        covered = [f"compared: {expected.coverage}"] if expected.coverage and record.answers.ok else []
        alike = [f"{expected.spoiler} without Celery, too"] if expected.spoiler and record.outcome in BY_A_ROW else []
        told = words.reworded(record.reason, self.order.check, expected.checked, expected.check)
        beside = words.beside_each_other(record, expected.check, expected.right_in)
        decides = words.by_settings(record, limits, self.serial)
        of_mix = mixed.said(record) if record.answers.tasks else []
        also = seen.logged if outcome in ANSWERED else ()
        why = [*beside, *seen.rows, *self._start(record), *decides, *seen.busy, *also, *of_mix]
        cut = self.sizing.cut_short(record)
        looked = cell.id in self.sizing.looks and patience.raises(record, self.raised)
        brief = [LOOKED + ("" if self.order.grid else "; --fresh --go-on sends all")] if looked else []
        single = [one_thread.said(self.one_thread)] if cell.plain else []
        first = filter(None, [cut, expected.unsure])
        said = [*first, *seen.endless, *seen.outside, told, *alike, *brief, *why, *covered, *single]
        known = [*varied.said(self.facts.said, self.order.varied), *seen.late, *expected.notes, *self.sizing.note(record)]
        known += [*self._patience(cell), *pool_limits.notes(record, self._in(cell), self.order.mix, self.serving.served.broker)]
        limited = {"cause": "", "support": []} if cell.is_baseline and decides else {}
        revised = record.changed(
            ended={"outcome": outcome, "reason": "; ".join(said), **limited},
            answers={"coverage": expected.coverage, "tasks": mixed.kept(record)},
            memory={"peak_pss_bytes": words.own_peak(record)},
            certainty={"doubts": [*record.certainty.doubts, *doubts], "notes": [*record.certainty.notes, *known]},
        )
        self._propose(revised)
        for line in self._seen.late:
            self.say(line)
        self.sizing.ended(revised)
        if cell.is_baseline:
            self.serial, self.sizing.import_s = revised, revised.pace.ready_s or 0.0
            real = self._real()
            announced = self.sizing.said([item.cell for item in real], self.left_s(real, [revised]))
            if announced and (self.order.go_on or not self.fails):
                self.say(announced)
        return revised

    def _propose(self, record: TrialRecord) -> None:
        """What could be changed about the object that a child which hangs by the fork is blocked in."""
        if record.ended.cause.startswith("fork-") and not self.changes:
            found = code_change.propose(self.code, implicated(self.code, self._seen.frames))
            self.changes = found or (code_change.by_hand(self.code) if record.ended.cause == LOST_THREADS else [])
            if diff := "\n".join(change.diff for change in self.changes if change.diff):
                self.folder.replace(CHANGE_FILE, diff)

    def _patience(self, cell: Cell) -> list[str]:
        if self.serial is None or self._seen.by != "limit" or (limit := self._limit_s(cell)) >= self.sizing.limit_s(cell):
            return []
        return [patience.told(self.serial, limit)]

    def unsettled(self, record: TrialRecord) -> bool:
        """It made progress under the shorter limit, and was cut off by it; or not all requests of a look raised alike."""
        if record.cell_id in self.sizing.looks and record.outcome in (*ANSWERED, Outcome.WRONG, Outcome.ERRORS, Outcome.SLOW):
            self.sizing.looks.discard(record.cell_id)
            return not patience.raises(record, self.raised)
        again = self._seen.by == "limit" and not self.order.max_calls and record.outcome not in STUCK
        if again and self._limit_s(record.as_cell) < self.sizing.limit_s(record.as_cell):
            self.whole.add(record.cell_id)
            return True
        return False

    def _start(self, record: TrialRecord) -> list[str]:
        """What the owner has to change of how a worker is started, be it that it has no such pool at all else."""
        pool = POOLS.get(record.as_cell.pool)
        settings = self.facts.pool_settings if pool is not None and pool.executors == "processes" else []
        return [*off_path.said(record, self.application), *settings]

    def _key(self, cell: Cell) -> str:
        order = self.order
        return plan.key(
            cell, order.settings, app=order.app, task=order.task, **self._of_mix, rows=order.rows, queue=order.queue,
            check=order.check, environment=self.environment.fingerprint, sources=self.sources, variables=dict(order.own),
            folder=str(order.home), tolerance=order.tolerance, **self.serving.key,
            **({"linked": order.linked} if order.linked else {}), **({"script": True} if order.script else {}),
        )  # fmt: skip

    @property
    def _of_mix(self) -> dict[str, Any]:
        """What of a mix its trials hang on, beside its rows."""
        mix = self.order.mix
        return {"shares": dict(zip(mix.tasks, mix.shares, strict=True)), "of_rows": mix.of_rows} if mix else {}

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        known = before.get(header.APPLICATION, {})
        changes = [vars(change) for change in self.changes] or known.get("changes", [])
        first_look = dict(self.order.first_look) or known.get("first_look", {})
        loaded = header.packages(self.loaded, known.get("loaded", ()), self.facts.told["loaded"])
        found = {
            "checked": self.expected.checked, "changes": changes, "one_thread": self.one_thread, "first_look": first_look,
            "servers": self.serving.as_json, "loaded": loaded,
        }  # fmt: skip
        of = self.order, self.facts, self.application, self.environment.installed, found
        return {"broker": self.serving.shown, **header.of(*of)}
