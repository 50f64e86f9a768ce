"""The trials of somebody's own application: the serial calls, whose answers say what is right, then each pool."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import broker
from harness.applications.probe import checks, results
from harness.applications.probe.checks import AnswerCheck, Expression, Reference
from harness.applications.probe.code_change import Change
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder, cells
from harness.environments import Environment
from harness.experiment.matrix import OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.records.answers import Requests
from harness.records.record import TrialRecord
from harness.run import plan
from harness.run.plan import Planned
from harness.run.source import Slot
from harness.trial.application import Application
from harness.trial.assignment import Assignment
from harness.trial.left import Left

APPLICATION = "application"  # of run.json
NOT_CHECKED = "answers: not checked, for the serial calls gave nothing to compare"


@dataclass(kw_only=True)
class ApplicationSource:
    """An application that told what it is. `check`, `checked` and `rows` are settled by the serial calls."""

    order: ProbeOrder
    application: Application
    facts: Facts
    environment: Environment
    sources: str  # digest of its own source files
    changes: Sequence[Change]
    say: Callable[[str], None]
    rows: int  # that are sent: those, from the first on, whose right answers are known
    check: AnswerCheck = checks.anything
    checked: str = ""  # what answers are held against, in words

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
        yield slot.assignment(
            environment=self.environment, bundle=Path(), rows=self.rows, application=self.application
        )  # fmt: skip

    def read(self, left: Left) -> Requests | None:
        if left.cell.is_baseline:
            self.take_reference(results.serial_lines(left.result))
        if isinstance(self.check, Reference):
            self.check.differed.clear()
        return (results.of_serial if left.cell.is_baseline else results.of_worker)(left, self.check)

    def take_reference(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Decide what answers are held against: the user's expression, or what the serial calls gave."""
        order = self.order
        found = checks.reference((row, result) for _, row, result in results.readable(lines))
        if order.check and (found.answers or all(line["error"] for line in lines)):
            self.check, self.checked = Expression(text=order.check, rows=order.rows), "pass the check"
        elif found.usable:
            self.check, self.checked = found, "match those of serial calls"
            self.rows = len({line["row"] for line in lines})  # from the first on: they are gone through in order
            for text in filter(None, (found.said(), self._some_rows())):
                self.say(text)
        else:
            self.check, self.checked = checks.anything, "came"
            self.say(_unchecked(found))

    def _some_rows(self) -> str:
        if self.rows == (every := len(self.order.rows)):
            return ""
        return f"the serial calls had time for the first {self.rows} of {every} rows: these are sent"

    def revised(self, record: TrialRecord) -> TrialRecord:
        """The reason, by what answers were held against here, and what the settings say of this pool; and a doubt where answers
        were held against nothing."""
        doubts = [NOT_CHECKED] if self.check is checks.anything else []
        return record.changed(
            ended={"reason": "; ".join([self._reworded(record.reason), *self._pool_settings(record.as_cell)])},
            certainty={"doubts": [*record.certainty.doubts, *doubts]},
        )

    def _pool_settings(self, cell: Cell) -> list[str]:
        """What the owner has to change before a worker of theirs has this pool at all."""
        pool = POOLS.get(cell.pool)
        return self.facts.pool_settings if pool is not None and pool.executors == "processes" else []

    def _reworded(self, reason: str) -> str:
        if self.order.check:
            told = re.sub("differ from the reference by up to .*", "fail the check", reason)
        else:
            told = reason.replace("the reference by up to inf", "those of serial calls")
            told = told.replace("differ from the reference", "differ from those of serial calls")
            if isinstance(self.check, Reference) and self.check.differed and "differ from" in told:
                place, count = self.check.differed.most_common(1)[0]
                told += f"; {checks.named(place)} in {count}: if it is another in each process, leave it out by --check"
        return told.replace("match the reference", self.checked or "came")

    def _key(self, cell: Cell) -> str:
        order = self.order
        return plan.key(
            cell, order.settings, app=order.app, task=order.task, rows=order.rows, queue=order.queue, check=order.check,
            environment=self.environment.fingerprint, sources=self.sources, variables=dict(order.own),
            folder=str(order.folder),
        )  # fmt: skip

    def header(self, before: Mapping[str, Any]) -> dict[str, Any]:
        order, told = self.order, self.facts.told
        return {
            "experiment": {
                "name": "probe", "summary": f"{order.task} of {order.app} in every pool", "cells": [],
                "settings": order.settings.model_dump(),
            },
            "environments": {OWN_APP: {"interpreter": told["python"], "installed": dict(self.environment.installed)}},
            APPLICATION: {
                "app": order.app, "task": order.task, "queue": order.queue, "rows": len(order.rows),
                "folder": os.path.relpath(order.folder), "env_file": str(order.env_file or ""),
                "consumed": self.application.queue_name, "said": self.facts.said, "told": told["told"],
                "limits": asdict(self.application.limits),
                "checked": self.checked, "changes": [vars(change) for change in self.changes],
            },
        }  # fmt: skip


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
