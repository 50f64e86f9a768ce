"""The whole run on one screen: from an experiment to records and a table.

Every step is a named function below; data flows from one to the next as plain values. What a trial does is in `trial`,
what becomes of it in `conclude`.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Protocol

import pandas as pd

from harness import broker, environments, places
from harness.broker import Broker
from harness.environments import Environment
from harness.errors import BuildFailed, Interrupted, MissingTool
from harness.experiment.experiment import Experiment, Settings
from harness.experiment.matrix import Cell
from harness.machine import identity
from harness.records import store
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run import conclude, estimate, plan, preflight
from harness.run.conclude import Heading
from harness.run.plan import Bundle, Planned
from harness.summary import diagnoses, summary
from harness.texts import portable
from harness.trial import outside, supervisor
from harness.trial.assignment import Assignment
from harness.trial.trial import Trial

USER_WORKLOAD = "user-model"


class Screen(Protocol):
    """What the run tells a person; `cli` has one that prints."""

    def say(self, text: str) -> None: ...
    def begins(self, item: Planned, index: int, total: int, left_s: float) -> None: ...
    def ended(self, record: TrialRecord, row: dict[str, object]) -> None: ...


class Silent:
    """A screen that shows nothing."""

    def say(self, text: str) -> None: ...
    def begins(self, item: Planned, index: int, total: int, left_s: float) -> None: ...
    def ended(self, record: TrialRecord, row: dict[str, object]) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the user asked for. `folder` is the run's folder, `home` where environments and bundles are kept."""

    experiment: Experiment
    cells: list[Cell]
    folder: Path
    broker_url: str = ""
    model: Path | None = None
    rows: Path | None = None
    fresh: bool = False
    retry: frozenset[Outcome] = frozenset()


@dataclass
class Run:
    """The run in progress."""

    order: Order
    screen: Screen
    ready: dict[str, Environment | MissingTool] = field(default_factory=dict)
    bundles: dict[str, Bundle] = field(default_factory=dict)
    interrupted: bool = False

    @property
    def settings(self) -> Settings:
        return self.order.experiment.settings

    def is_interrupted(self) -> bool:
        return self.interrupted


def run(order: Order, screen: Screen) -> pd.DataFrame:
    """Carry out an order; the table of the run. Raises Interrupted after a Ctrl-C, with everything kept."""
    preflight.check(order.folder, order.broker_url)
    preflight.check_traffic(order.cells, order.experiment.settings)
    state = Run(order=order, screen=screen)
    run_folder = store.RunFolder(order.folder)
    with store.room(order.folder), run_folder.opened(fresh=order.fresh) as folder, interruptible(state):
        if folder.moved_to:
            screen.say(f"the earlier run was moved to {folder.moved_to}")
        store.check_machine(folder)
        scratch = supervisor.fresh_folder(order.folder / "scratch")
        preflight.check_sight(scratch)
        state.ready = prepare_environments(order.cells, screen)
        state.bundles = prepare_bundles(state)
        planned = plan.trials(
            order.cells, state.settings, environments_ready=state.ready, bundles=state.bundles, broker_url=order.broker_url
        )
        todo = plan.missing(planned, folder.latest(), order.retry)
        if len(todo) < len(planned):
            screen.say(f"{len(planned) - len(todo)} of {len(planned)} trials are on record; --fresh runs them again")
        started = now()
        write_header(folder, state, started)
        if todo:
            left_s = estimate.left_s(todo, list(folder.latest().values()), state.settings)
            screen.say(f"{len(todo)} trials to run, about {round(left_s / 60) or 1} min")
            with open_broker(order, scratch) as server:
                run_trials(state, folder, server, planned, todo, scratch)
        table = write_tables(folder, planned)
        write_header(folder, state, started, ended=now())
        supervisor.fresh_folder(scratch).rmdir()
    if state.interrupted:
        raise Interrupted("stopped on request; what was measured is kept", remedy="the same command goes on from here")
    return table


def prepare_environments(cells: Sequence[Cell], screen: Screen) -> dict[str, Environment | MissingTool]:
    """Find or build each environment that is needed; one that cannot be had becomes the reason of its skipped cells.

    Raises BuildFailed where none could be built.
    """
    ready: dict[str, Environment | MissingTool] = {}
    failed: BuildFailed | None = None
    for name in dict.fromkeys(cell.venv for cell in cells):
        try:
            ready[name] = environments.prepare(name, screen.say)
        except MissingTool as error:
            screen.say(f"warning: no environment {name}: {error}")
            ready[name] = error
        except BuildFailed as error:
            screen.say(f"warning: no environment {name}: {error}{f' ({error.evidence})' if error.evidence else ''}")
            ready[name], failed = MissingTool(str(error), remedy=error.remedy, evidence=error.evidence), error
    if failed is not None and not any(isinstance(one, Environment) for one in ready.values()):
        raise failed  # nothing could be measured
    return ready


def prepare_bundles(state: Run) -> dict[str, Bundle]:
    """Write the workloads that are needed, the user's own model among them."""
    order, folder = state.order, places.home() / "bundles"
    names = {cell.workload for cell in order.cells}
    bundles = plan.write_bundles(sorted(names - {USER_WORKLOAD}), folder)
    if order.model is not None:
        bundles[USER_WORKLOAD] = user_bundle(state, order.model, order.folder / "model")
    return bundles


def user_bundle(state: Run, model: Path, folder: Path) -> Bundle:
    """Read the user's model with today's Keras, in its own environment."""
    from harness.workloads.user_model import write_user_bundle

    reader = environments.prepare("tensorflow2", state.screen.say)
    doubts = write_user_bundle(
        reader.python, environments.worker_variables(reader), model, state.order.rows, supervisor.fresh_folder(folder)
    )
    for doubt in doubts:
        state.screen.say(f"warning: {doubt}")
    return plan.bundle(folder)


def open_broker(order: Order, scratch: Path) -> AbstractContextManager[Broker]:
    """The user's own broker, or one of ours for the length of the run."""
    return broker.external(order.broker_url) if order.broker_url else broker.embedded(scratch / "broker")


def run_trials(
    state: Run, folder: store.RunFolder, server: Broker, planned: Sequence[Planned], todo: Sequence[Planned], scratch: Path
) -> None:
    """Run what is missing, one after the other, each recorded as it ends."""
    unsupported: dict[tuple[str, str], str] = {}
    known = folder.latest()
    for index, item in enumerate(todo):
        if state.interrupted:
            return
        state.screen.begins(item, index, len(todo), estimate.left_s(todo[index:], list(known.values()), state.settings))
        reason = item.skip or unsupported.get((item.cell.backend, item.cell.workload), "")
        record = skip(state, item, reason) if reason else run_one(state, item, server, folder, scratch, known)
        if record is None:
            return
        if record.outcome is Outcome.SKIPPED and not item.skip:
            unsupported[item.cell.backend, item.cell.workload] = record.reason
        folder.append(record)
        known[record.cell_id, record.trial] = record
        state.screen.ended(record, summary.row([record], _by_cell(known.values()), folder.path))


def _by_cell(records: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    found: dict[str, list[TrialRecord]] = {}
    for record in records:
        found.setdefault(record.cell_id, []).append(record)
    return found


def run_one(
    state: Run,
    item: Planned,
    server: Broker,
    folder: store.RunFolder,
    scratch: Path,
    known: Mapping[tuple[str, int], TrialRecord],
) -> TrialRecord | None:
    """One trial, start to record; None if the user interrupted it."""
    baselines = [record for record in known.values() if record.cell_id == item.cell.baseline().id]
    environment, bundle = state.ready[item.cell.venv], state.bundles[item.cell.workload]
    assert isinstance(environment, Environment)
    own = supervisor.fresh_folder((scratch / "trial").resolve())
    with outside.around(item.cell.fault, server, own) as given:
        work = Assignment(
            cell=item.cell,
            trial=item.trial,
            environment=environment,
            bundle=bundle.folder,
            rows=bundle.rows,
            settings=state.settings,
            folder=own,
            evidence=folder.path / "evidence" / f"{item.cell.id}.{item.trial}",
            interrupted=state.is_interrupted,
            **{**plan.pace(baselines), **given},
        )
        heading, begun = heading_of(state, item), time.monotonic()
        left = Trial(work).run()
        if left.interrupted:
            return None
        requests = conclude.compared(left, bundle)
        return conclude.record_of(left, heading, requests, folder.path, seconds=time.monotonic() - begun)


def skip(state: Run, item: Planned, reason: str) -> TrialRecord:
    return conclude.skipped(item.cell, item.trial, heading_of(state, item), reason)


def heading_of(state: Run, item: Planned) -> Heading:
    environment = state.ready.get(item.cell.venv)
    named = ("keras", "tensorflow", "tensorflow-cpu", "theano", "celery", "kombu", "gevent", "eventlet", "numpy")
    installed = environment.installed if isinstance(environment, Environment) else {}
    versions = {name: installed[name] for name in named if name in installed}
    return Heading(plan_key=item.key, started=now(), versions=versions)


def write_tables(folder: store.RunFolder, planned: Sequence[Planned]) -> pd.DataFrame:
    """`cells.csv` and `diagnoses.md`: the cells of this plan first, in its order, then whatever else is on record."""
    latest = folder.current()
    keys = list(dict.fromkeys([(item.cell.id, item.trial) for item in planned] + list(latest)))
    table = summary.table((latest[key] for key in keys if key in latest), folder.path)
    folder.replace("cells.csv", table.to_csv(index=False))
    folder.replace("diagnoses.md", diagnoses.text(latest[key] for key in keys if key in latest) or "Nothing went wrong.\n")
    return table


def write_header(folder: store.RunFolder, state: Run, started: str, ended: str = "") -> None:
    """`run.json`: machine, versions as installed, experiment, times; a run that is completed later keeps its start."""
    before = folder.read_json("run.json")
    known, models = before.get("environments", {}), before.get("workloads", {})  # of cells that this plan leaves alone
    folder.write_json(
        "run.json",
        {
            "experiment": state.order.experiment.model_dump(),
            "machine": identity.facts(),
            "started": before.get("started") or started,
            "ended": ended,
            "interrupted": state.interrupted,
            "broker": broker.shown(state.order.broker_url) if state.order.broker_url else "embedded valkey",
            "environments": known | {name: _described(environment) for name, environment in state.ready.items()},
            "workloads": models | {name: bundle.fingerprint for name, bundle in state.bundles.items()},
        },
    )


def _described(environment: Environment | MissingTool) -> dict[str, object]:
    if isinstance(environment, MissingTool):
        return {"missing": str(environment), "remedy": environment.remedy}
    return {
        "interpreter": environment.interpreter_version,
        "fingerprint": environment.fingerprint,
        "installed": dict(environment.installed),
        "facts": json.loads(portable(json.dumps(dict(environment.facts)))),
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


class Stoppable(Protocol):
    """Work that looks at `interrupted` now and then."""

    interrupted: bool
    screen: Screen


@contextmanager
def interruptible(state: Stoppable) -> Iterator[None]:
    """The first Ctrl-C (or TERM) finishes the clean-up of the trial; a second one is Python's own."""

    def handler(number: int, frame: FrameType | None) -> None:
        if state.interrupted:
            raise KeyboardInterrupt
        state.interrupted = True
        state.screen.say("stopping after this trial's clean-up; what was measured is kept")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
