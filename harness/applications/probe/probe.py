"""The whole probe: learn, call serially, then one worker after the other, each pool on record as it ends."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from harness import broker
from harness.applications.probe import checks, code_change, learn, results
from harness.applications.probe.checks import Check, Expression, Reference
from harness.applications.probe.code_change import Change
from harness.applications.probe.learn import Facts
from harness.applications.probe.order import Order
from harness.broker import Broker
from harness.decide.advise.pages import CHANGE_FILE
from harness.environments import Environment
from harness.errors import BadInput, Interrupted
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.machine import identity
from harness.records import store
from harness.records.record import TrialRecord
from harness.records.upgrades import SCHEMA
from harness.run import conclude, estimate, plan, preflight, workflow
from harness.run.conclude import Heading
from harness.run.plan import Planned
from harness.summary import summary
from harness.trial import supervisor
from harness.trial.application import Application
from harness.trial.assignment import Assignment
from harness.trial.trial import Trial

APPLICATION = "application"  # of run.json
NAMED = ("keras", "tensorflow", "tensorflow-cpu", "theano", "torch", "celery", "kombu", "gevent", "eventlet", "numpy", "django")
SOURCE_MOST = 2_000_000  # bytes of a module that is read


@dataclass
class Probe:
    """A probe in progress."""

    order: Order
    screen: workflow.Screen
    application: Application
    facts: Facts
    environment: Environment
    server: Broker
    scratch: Path
    sources: str  # digest of the application's own source files: a probe after a change of code is another one
    changes: Sequence[Change]
    check: Check = checks.anything
    rows: int = 0  # that are sent: those, from the first on, whose right answers are known
    checked: str = ""  # what answers are held against, in words
    interrupted: bool = False
    known: dict[tuple[str, int], TrialRecord] = field(default_factory=dict)


def run(order: Order, screen: workflow.Screen) -> pd.DataFrame:
    """Carry out an order; the table. Raises Interrupted after a Ctrl-C, with everything kept."""
    preflight.check(order.out, "")
    with store.room(order.out), store.RunFolder(order.out).opened(fresh=order.fresh) as folder:
        if folder.moved_to:
            screen.say(f"the earlier probe was moved to {folder.moved_to}")
        store.check_machine(folder)
        check_application(order, folder)
        scratch = supervisor.fresh_folder(order.out / "scratch")
        preflight.check_sight(scratch)
        with broker.embedded(scratch / "broker") as server:
            probe = _learned(order, screen, server, scratch)
            with workflow.interruptible(probe):
                table = _measured(probe, folder)
        supervisor.fresh_folder(scratch).rmdir()
    if probe.interrupted:
        raise Interrupted("stopped on request; what was measured is kept", remedy="the same command goes on from here")
    return table


def check_application(order: Order, folder: store.RunFolder) -> None:
    """Raise BadInput where the folder holds a probe of something else: advice would mix the two."""
    known, asked = folder.read_json("run.json").get(APPLICATION), {"app": order.app, "task": order.task, "queue": order.queue}
    if folder.has_trials and known and any(known.get(name) != value for name, value in asked.items()):
        raise BadInput(
            f"{folder.path} holds a probe of {known['task']} in {known['app']}",
            remedy="name another --out, or set it aside with --fresh",
        )


def _learned(order: Order, screen: workflow.Screen, server: Broker, scratch: Path) -> Probe:
    screen.say(f"asking {order.app} what it is")
    rows = (scratch / "rows.json").resolve()
    rows.write_text(json.dumps(order.rows))
    bare = Application(
        app=order.app, task=order.task, python=order.python, folder=order.folder, own_variables=order.variables, rows=rows,
        queue=order.queue,
    )  # fmt: skip
    facts = learn.facts(order, bare, server, scratch)
    messages = (scratch / "messages.json").resolve()
    messages.write_text(json.dumps(list(facts.messages)))
    application = replace(bare, queue_key=facts.queue_key, messages=messages, settings=facts.told["settings"])
    for line in facts.said:
        screen.say(f"in the trial alone: {line}")
    return Probe(
        order=order, screen=screen, application=application, facts=facts, environment=_environment(order, facts), server=server,
        scratch=scratch, sources=_digest(facts), changes=changes(order, facts), rows=len(order.rows),
    )  # fmt: skip


def _environment(order: Order, facts: Facts) -> Environment:
    """The user's own, as far as a trial asks for one."""
    installed = facts.told["installed"]
    digest = hashlib.sha256(json.dumps([installed, facts.told["python"]], sort_keys=True).encode()).hexdigest()[:12]
    return Environment(
        name=OWN_APP, python=order.python, directory=order.python.parent.parent, fingerprint=digest, installed=installed,
        variables={}, interpreter_version=facts.told["python"], facts={}, cache_dir=order.python.parent.parent,
    )  # fmt: skip


def cells(order: Order) -> list[Cell]:
    """The serial calls first, then each pool with each concurrency."""
    real = [
        Cell(
            backend=OWN_APP, pool=pool, concurrency=concurrency, placement=AS_WRITTEN, call="task", workload=order.workload,
            traffic=order.traffic,
        )
        for pool in order.pools
        for concurrency in (order.concurrency if POOLS[pool].executors != "main" else (1,))
    ]  # fmt: skip
    return [*dict.fromkeys(cell.baseline() for cell in real), *real]


def why_skipped(cell: Cell, facts: Facts) -> str:
    """Why this pool cannot serve this application here, or ''."""
    if cell.is_baseline:
        return ""
    if cell.pool in ("gevent", "eventlet") and cell.pool not in facts.told["green"]:
        return f"{cell.pool} is not installed in the application's environment"
    return POOLS[cell.pool].refuses(concurrency=cell.concurrency, placement=cell.placement, celery=facts.celery) or ""


def _measured(probe: Probe, folder: store.RunFolder) -> pd.DataFrame:
    order = probe.order
    planned = [
        Planned(cell=cell, trial=trial, key=_key(probe, cell), skip=why_skipped(cell, probe.facts))
        for trial in range(1, order.settings.repeat + 1)
        for cell in cells(order)
    ]
    probe.known = folder.latest()
    todo = plan.missing(planned, probe.known, order.retry)
    serial = next(item for item in planned if item.cell.is_baseline)
    if todo and serial not in todo:
        todo.insert(0, serial)  # its answers are the reference, and are not kept
    if len(todo) < len(planned):
        probe.screen.say(f"{len(planned) - len(todo)} of {len(planned)} trials are on record; --fresh runs them again")
    _write_header(folder, probe, ended="")
    for index, item in enumerate(todo):
        if probe.interrupted:
            break
        left_s = estimate.left_s(todo[index:], list(probe.known.values()), order.settings)
        probe.screen.begins(item, index, len(todo), left_s)
        record = _one(probe, item, folder)
        if record is None:
            break
        folder.append(record)
        probe.known[record.cell_id, record.trial] = record
        groups: dict[str, list[TrialRecord]] = {}
        for each in probe.known.values():
            groups.setdefault(each.cell_id, []).append(each)
        probe.screen.ended(record, summary.row([record], groups, folder.path))
    _write_header(folder, probe, ended=workflow.now())
    return workflow.write_tables(folder, planned)


def _one(probe: Probe, item: Planned, folder: store.RunFolder) -> TrialRecord | None:
    """One trial, start to record; None if the user interrupted it."""
    heading = _heading(probe, item)
    if item.skip:
        return conclude.skipped(item.cell, item.trial, heading, item.skip)
    baselines = [record for record in probe.known.values() if record.cell_id == item.cell.baseline().id]
    pace = plan.pace(baselines)
    own = supervisor.fresh_folder((probe.scratch / "trial").resolve())
    work = Assignment(
        cell=item.cell, trial=item.trial, environment=probe.environment, bundle=Path(), rows=probe.rows,
        settings=probe.order.settings, broker=probe.server, folder=own,
        evidence=folder.path / "evidence" / f"{item.cell.id}.{item.trial}", application=probe.application,
        interrupted=lambda: probe.interrupted, baseline_s=pace["baseline_s"], baseline_first_s=pace["baseline_first_s"],
    )  # fmt: skip
    broker.emptied(probe.server.url)
    if isinstance(probe.check, Reference):
        probe.check.differed.clear()
    begun, left = time.monotonic(), Trial(work).run()
    if left.interrupted:
        return None
    if item.cell.is_baseline:
        _take_reference(probe, results.serial_lines(left.result))
    requests = (results.of_serial if item.cell.is_baseline else results.of_worker)(left, probe.check)
    record = conclude.record_of(left, heading, requests, folder.path, seconds=time.monotonic() - begun)
    unchecked = "answers: not checked, for the serial calls gave nothing to compare"
    doubts = [unchecked] if probe.check is checks.anything else []
    return record.revised(
        ended={"reason": _reworded(record.reason, probe)}, certainty={"doubts": [*record.certainty.doubts, *doubts]}
    )


def _reworded(reason: str, probe: Probe) -> str:
    """The reason, by what answers were held against here."""
    if probe.order.check:
        told = re.sub("differ from the reference by up to .*", "fail the check", reason)
    else:
        told = reason.replace("the reference by up to inf", "those of serial calls")
        told = told.replace("differ from the reference", "differ from those of serial calls")
        if isinstance(probe.check, Reference) and probe.check.differed and "differ from" in told:
            place, count = probe.check.differed.most_common(1)[0]
            told += f"; {checks.named(place)} in {count}: if it is another in each process, leave it out by --check"
    return told.replace("match the reference", probe.checked or "came")


def _take_reference(probe: Probe, lines: Sequence[Mapping[str, Any]]) -> None:
    """Decide what answers are held against: the user's expression, or what the serial calls gave."""
    found = checks.reference((row, result) for _, row, result in results.readable(lines))
    if probe.order.check and (found.answers or all(line["error"] for line in lines)):
        probe.check, probe.checked = Expression(text=probe.order.check, rows=probe.order.rows), "pass the check"
    elif found.usable:
        probe.check, probe.checked = found, "match those of serial calls"
        probe.rows = len({line["row"] for line in lines})  # from the first on: they are gone through in order
        if found.said():
            probe.screen.say(found.said())
        if probe.rows < len(probe.order.rows):
            some = f"{probe.rows} of {len(probe.order.rows)} rows"
            probe.screen.say(f"the serial calls had time for the first {some}: these are sent")
    else:
        probe.check, probe.checked = checks.anything, "came"
        why = "differ from call to call" if found.answers else "gave no answer that can be read"
        helps = "; --check 'expression on result' does" if found.answers else ""
        probe.screen.say(f"warning: the serial calls {why}: answers are not checked{helps}")


def _key(probe: Probe, cell: Cell) -> str:
    order = probe.order
    asked = {
        "schema": SCHEMA, "cell": cell.as_dict(), "settings": order.settings.model_dump(exclude={"repeat", "seed"}),
        "app": order.app, "task": order.task, "rows": order.rows, "queue": order.queue, "check": order.check,
        "environment": probe.environment.fingerprint, "sources": probe.sources, "variables": dict(order.own),
        "folder": str(order.folder),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _digest(facts: Facts) -> str:
    found = hashlib.sha256()
    for name in facts.told["files"]:
        found.update(Path(name).read_bytes())
    return found.hexdigest()


def _heading(probe: Probe, item: Planned) -> Heading:
    installed = probe.environment.installed
    versions = {name: installed[name] for name in NAMED if name in installed}
    return Heading(plan_key=item.key, started=workflow.now(), versions=versions)


def changes(order: Order, facts: Facts) -> list[Change]:
    """What could be changed in the application's own modules so that its model is loaded in each process."""
    sources = {}
    for name in facts.told["files"]:
        path = Path(name)
        if path.stat().st_size < SOURCE_MOST:
            sources[str(path.relative_to(order.folder.resolve()))] = path.read_text(errors="replace")
    return code_change.propose(sources)


def _write_header(folder: store.RunFolder, probe: Probe, *, ended: str) -> None:
    order = probe.order
    diff = "\n".join(change.diff for change in probe.changes if change.diff)
    if diff:
        folder.replace(CHANGE_FILE, diff)
    folder.write_json(
        "run.json",
        {
            "experiment": {
                "name": "probe", "summary": f"{order.task} of {order.app} in every pool", "cells": [],
                "settings": order.settings.model_dump(),
            },
            "machine": identity.facts(),
            "started": folder.read_json("run.json").get("started") or workflow.now(),
            "ended": ended,
            "interrupted": probe.interrupted,
            "broker": "embedded valkey",
            "environments": {
                OWN_APP: {"interpreter": probe.facts.told["python"], "installed": dict(probe.environment.installed)}
            },
            APPLICATION: {
                "app": order.app, "task": order.task, "queue": order.queue, "rows": len(order.rows),
                "folder": os.path.relpath(order.folder), "env_file": str(order.env_file or ""),
                "consumed": probe.application.queue_name, "said": probe.facts.said, "told": probe.facts.told["told"],
                "checked": probe.checked,
                "changes": [vars(change) for change in probe.changes],
            },
        },
    )  # fmt: skip
