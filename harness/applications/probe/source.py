"""The trials of somebody's own application: the serial calls, whose answers say what is right, then each pool."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness import broker
from harness.applications.probe import checks, code_change, patience, results, words
from harness.applications.probe.checks import AnswerCheck, Expression, Reference
from harness.applications.probe.code_change import Change
from harness.applications.probe.implicated import implicated
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder, cells
from harness.decide.advise.pages import CHANGE_FILE
from harness.environments import Environment
from harness.experiment.matrix import OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.records import stamps
from harness.records.answers import Requests
from harness.records.outcomes import STUCK, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.run import plan
from harness.run.plan import Planned
from harness.run.source import Slot
from harness.texts import visible
from harness.trial.application import Application, told
from harness.trial.assignment import Assignment
from harness.trial.left import Ending, Left
from harness.worker import contract, own_settings

APPLICATION = "application"  # of run.json
BY_A_ROW = (Outcome.CRASHED, Outcome.RESPAWNING, Outcome.HUNG, Outcome.WAITING)
BUSY_SHARE = 0.2  # of the executors' time
NOT_CHECKED = "answers: not checked, for the serial calls gave nothing to compare"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the last trial left beside its requests: settings that its worker had otherwise, what ended it, and the stack of the
    blocked thread, innermost frame first.
    """

    late: tuple[str, ...] = ()
    by: str = ""
    frames: tuple[str, ...] = ()
    busy: tuple[str, ...] = ()  # with what other tasks its executors were


@dataclass(kw_only=True)
class ApplicationSource:
    """An application that told what it is. `check`, `checked` and `rows` are settled by the serial calls."""

    order: ProbeOrder
    application: Application
    facts: Facts
    environment: Environment
    sources: str  # digest of its own source files
    code: Mapping[str, str]  # text of them, by path below the folder
    folder: RunFolder
    say: Callable[[str], None]
    rows: int  # that are sent: those, from the first on, that the serial calls came to
    spoiler: str = ""  # the row that ended the serial calls, or that they never came back from, in words
    check: AnswerCheck = checks.anything
    checked: str = ""  # what answers are held against, in words
    serial: TrialRecord | None = None  # of the serial calls of this run
    notes: list[str] = field(default_factory=list)  # of the comparison, settled by the serial calls
    whole: set[str] = field(default_factory=set)  # ids of the cells that get the whole limit after all
    changes: Sequence[Change] = ()  # of its code, that would help against what was seen
    _seen: Seen = Seen()

    def planned(self) -> list[Planned]:
        return [
            Planned(cell=cell, trial=trial, key=self._key(cell), skip=why_skipped(cell, self.facts))
            for trial in range(1, self.order.settings.repeat + 1)
            for cell in cells(self.order)
        ]

    def again(self, todo: Sequence[Planned]) -> list[Planned]:
        """The serial calls: their answers are the reference, and are not kept."""
        serial = next(item for item in self.planned() if item.cell.is_baseline)
        return [serial] if todo and serial not in todo else []

    def installed(self, item: Planned) -> Mapping[str, str]:
        return self.environment.installed

    @contextmanager
    def assignment(self, slot: Slot) -> Iterator[Assignment]:
        broker.emptied(slot.desk.server.url)
        settings = slot.desk.settings.model_copy(update={"limit_s": self._limit_s(slot.item.cell)})
        yield slot.assignment(
            environment=self.environment, bundle=Path(), rows=self.rows, application=self.application, settings=settings
        )  # fmt: skip

    def _limit_s(self, cell: Cell) -> float:
        asked = self.order.settings.limit_s
        return asked if cell.is_baseline or cell.id in self.whole else patience.limit_s(self.serial, asked)

    def spared(self, item: Planned, records: Sequence[TrialRecord]) -> str:
        if item.cell.is_baseline or Outcome.SKIPPED in self.order.retry:
            return ""
        same = [one for one in records if one.cell_id == item.cell.id and one.asked.plan_key == item.key]
        return patience.spared(self.serial, [one for one in same if one.trial < item.trial])

    def read(self, left: Left) -> Requests | None:
        found = told(left.events / contract.SETTINGS)
        late = own_settings.late(self.facts.told.get("expected", {}), found) if isinstance(found, dict) else []
        frames = left.ended.evidence.frames if left.ended.evidence else ()
        late = [*map(visible, late), *too_few(left)]
        self._seen = Seen(late=tuple(late), by=left.ended.by, frames=frames, busy=tuple(busy_with(left)))
        if left.cell.is_baseline:
            self.take_reference(results.serial_lines(left.result), left.ended, results.witnesses(left.result))
        if isinstance(self.check, Reference):
            self.check.begin()
        return (results.of_serial if left.cell.is_baseline else results.of_worker)(left, self.check)

    def take_reference(
        self, lines: Sequence[Mapping[str, Any]], ended: Ending, beside: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Decide what answers are held against: the user's expression, or what the serial calls gave; `beside`: lines of others
        that called the same rows at once.

        A row that ends the serial calls, or that they do not come back from, is sent to the pools all the same.
        """
        order = self.order
        came_to = max((line["row"] for line in lines), default=-1) + 1  # they are gone through in order
        if lines and (spoiler := results.row_in_work(len(lines), len(order.rows))) is not None and ended.by != "done":
            came_to = max(came_to, spoiler + 1)
            how = f"ended the serial calls ({ended.worker_exit})" if ended.by == "worker-exit" else "never came back"
            self.spoiler = f"row {spoiler + 1} {how}"
        found = checks.reference(_answers(lines), order.tolerance).beside(_answers(beside))
        if order.check and (found.answers or all(line["error"] for line in lines)):
            self.check, self.checked = Expression(text=order.check, rows=order.rows), "pass the check"
        elif found.usable:
            self.check, self.checked = found, "match those of serial calls"
            self.rows = came_to
            self.notes = [visible(text) for text in (*found.said(), self._some_rows(), self._spoiled()) if text]
        else:
            self.check, self.checked = checks.anything, "came"
            self.notes = [_unchecked(found)]
        for text in self.notes:
            self.say(text)

    def _some_rows(self) -> str:
        if self.rows == (every := len(self.order.rows)):
            return ""
        came = "came to" if self.spoiler else "had time for"
        return f"the serial calls {came} the first {self.rows} of {every} rows: these are sent"

    def _spoiled(self) -> str:
        told = "it is sent to the pools as well, and its answers are compared with nothing"
        return f"{self.spoiler}: {told}" if self.spoiler else ""

    def revised(self, record: TrialRecord) -> TrialRecord:
        """The reason, by what answers were held against here, and what the settings say of this pool; and a doubt where answers
        were held against nothing."""
        unchecked = self.check is checks.anything
        doubts = [NOT_CHECKED] if unchecked else []
        outcome = Outcome.UNCHECKED if unchecked and record.outcome is Outcome.OK else record.outcome
        cell, limits = record.as_cell, self.application.limits
        coverage = self.check.coverage() if isinstance(self.check, Reference) else ""
        compared = [f"compared: {coverage}"] if coverage and record.answers.ok else []
        alike = [f"{self.spoiler} without Celery, too"] if self.spoiler and record.outcome in BY_A_ROW else []
        if outcome is Outcome.STALLED and record.answers.died and words.replaced(record, limits):
            outcome = Outcome.SLOW  # it waits for children that a setting of its own replaces
        told = words.reworded(record.reason, self.order.check, self.checked, self.check)
        why = [*self._pool_settings(cell), *words.by_settings(record, limits, self.serial), *self._seen.busy]
        said = [told, *alike, *why, *compared]
        notes = [*self.facts.said, *self._seen.late, *self.notes, *self._patience(cell), *words.not_kept(cell, limits)]
        revised = record.changed(
            ended={"outcome": outcome, "reason": "; ".join(said)},
            answers={"coverage": coverage},
            certainty={"doubts": [*record.certainty.doubts, *doubts], "notes": [*record.certainty.notes, *notes]},
        )
        self._propose(revised)
        for line in self._seen.late:
            self.say(line)
        if cell.is_baseline:
            self.serial = revised
        return revised

    def _propose(self, record: TrialRecord) -> None:
        """What could be changed about the object that a child which hangs by the fork is blocked in."""
        if record.ended.cause.startswith("fork-") and not self.changes:
            self.changes = code_change.propose(self.code, implicated(self.code, self._seen.frames))
            if diff := "\n".join(change.diff for change in self.changes if change.diff):
                self.folder.replace(CHANGE_FILE, diff)

    def _patience(self, cell: Cell) -> list[str]:
        limit = self._limit_s(cell)
        shorter = self.serial is not None and limit < self.order.settings.limit_s and self._seen.by == "limit"
        return [patience.told(self.serial, limit)] if shorter and self.serial is not None else []

    def unsettled(self, record: TrialRecord) -> bool:
        """It made progress under the shorter limit, and was cut off by it."""
        again = self._seen.by == "limit" and record.outcome not in STUCK
        if again and self._limit_s(record.as_cell) < self.order.settings.limit_s:
            self.whole.add(record.cell_id)
            return True
        return False

    def _pool_settings(self, cell: Cell) -> list[str]:
        """What the owner has to change before a worker of theirs has this pool at all."""
        pool = POOLS.get(cell.pool)
        return self.facts.pool_settings if pool is not None and pool.executors == "processes" else []

    def _key(self, cell: Cell) -> str:
        order = self.order
        return plan.key(
            cell, order.settings, app=order.app, task=order.task, rows=order.rows, queue=order.queue, check=order.check,
            environment=self.environment.fingerprint, sources=self.sources, variables=dict(order.own), folder=str(order.folder),
            tolerance=order.tolerance,
        )  # fmt: skip

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        order, known = self.order, self.facts.told
        changes = [vars(change) for change in self.changes] or before.get(APPLICATION, {}).get("changes", [])
        return {
            "experiment": {
                "name": "probe", "summary": f"{order.task} of {order.app} in every pool", "cells": [],
                "settings": order.settings.model_dump(),
            },
            "environments": {OWN_APP: {"interpreter": known["python"], "installed": dict(self.environment.installed)}},
            APPLICATION: {
                "app": order.app, "task": order.task, "queue": order.queue, "rows": len(order.rows),
                "rows_digest": _digest(order.rows), "tolerance": order.tolerance, "check": order.check,
                "from_here": from_here(order), "celery": list(self.application.celery),
                "consumed": self.application.queue_name, "said": self.facts.said, "told": known["told"],
                "limits": asdict(self.application.limits),
                "checked": self.checked, "changes": changes,
            },
        }  # fmt: skip


def from_here(order: ProbeOrder) -> dict[str, str]:
    """Where the application lies, seen from the run's folder: `harness recommend` may be asked from anywhere."""
    known = {"folder": order.folder, "python": order.python, "env_file": order.env_file}
    return {name: os.path.relpath(path, order.out) for name, path in known.items() if path is not None}


def _digest(rows: Sequence[Any]) -> str:
    """Of the arguments: other ones are another probe."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]


def busy_with(left: Left) -> list[str]:
    """The other tasks of the application that kept its executors from the requests for a good part of the time."""
    ready_s, last_s = left.signs.ready_at_s, left.signs.last_event_s
    if left.cell.is_baseline or ready_s is None or last_s is None or last_s <= ready_s:
        return []
    shares = {
        name: took_s / (left.cell.concurrency * (last_s - ready_s))
        for name, took_s in stamps.others_s(left.events, last_s).items()
    }
    return [
        f"{visible(name)}, which its requests hand work to, had {100 * share:.0f} % of the executors' time"
        for name, share in shares.items()
        if share >= BUSY_SHARE
    ]


def _answers(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
    return ((row, result) for _, row, result in results.readable(lines))


def too_few(left: Left) -> list[str]:
    """Whether the kernel saw fewer children than were asked for, whatever the pool says of itself."""
    cell, samples = left.cell, left.machine.watched.samples
    if cell.is_baseline or POOLS[cell.pool].executors != "processes" or left.signs.ready_at_s is None or not samples:
        return []
    most = max(len(sample.pids) - 1 for sample in samples)
    return [f"the kernel saw {most} child processes at the most, {cell.concurrency} were asked for"] * (most < cell.concurrency)


def _unchecked(found: Reference) -> str:
    why = "differ from call to call" if found.answers else "gave no answer that can be read"
    helps = "; --check 'expression on result' does" if found.answers else ""
    return f"warning: the serial calls {why}: answers are not checked{helps}"


def why_skipped(cell: Cell, facts: Facts) -> str:
    """Why this pool cannot serve this application here, or ''."""
    if cell.is_baseline:
        return ""
    if cell.pool in ("gevent", "eventlet") and cell.pool not in facts.told["green"]:
        return f"{cell.pool} is not installed in the application's environment"
    return POOLS[cell.pool].refuses(concurrency=cell.concurrency, placement=cell.placement, celery=facts.celery) or ""
