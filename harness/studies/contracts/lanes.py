"""Contracts measured a few at a time, each answer told as soon as it is known.

A lane is a thread with a broker database and folders of its own, so that measurements side by side share nothing but
the cores. Contracts that ask for it (`alone`) are measured only beside others of their kind.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from harness import broker, environments
from harness.environments import Environment
from harness.errors import MissingTool
from harness.experiment.pools import Pool
from harness.run import bundles, plan
from harness.run.opening import Opened
from harness.studies.contracts.bench import CannotSay, Stand, Workload
from harness.studies.contracts.catalogue import Contract
from harness.studies.contracts.measures import ContractAnswer
from harness.studies.contracts.places import database, emptied
from harness.studies.contracts.rows import CANNOT_SAY, NOT_APPLICABLE, Row
from harness.trial import supervisor

S = TypeVar("S", bound=Stand)
WORKLOAD = "digits-cnn"
#: Where a real predict hangs by itself in prefork, and by which call: the parent loaded the model, the child uses it.
REAL_HANGS = {"tensorflow2": "predict", "tensorflow1": "graph", "tensorflow1_15": "graph"}
REAL_HANG_POOL = "prefork"


@dataclass(frozen=True, kw_only=True)
class Task:
    """One row to be."""

    backend: str
    pool: Pool
    contract: Contract

    @property
    def key(self) -> tuple[str, str, str]:
        return self.backend, self.pool.name, self.contract.id

    @property
    def id(self) -> str:
        return "-".join(self.key)


def why_not(task: Task) -> str:
    """Why this row cannot exist, or ''."""
    celery = plan.celery_version(task.backend)
    if reason := task.pool.refuses(concurrency=1, placement="first-task", celery=celery):
        return reason
    if task.contract.children_only and task.pool.executors != "processes":
        return "the pool has no child processes"
    return ""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the measurements in one backend's environment share."""

    environment: Environment
    url: str
    bundle: Path
    scratch: Path
    evidence: Path

    def stand(self, task: Task, lane: int, stopped: threading.Event) -> Stand:
        """The stand of one measurement, with folders that are empty."""
        return Stand(
            environment=self.environment, pool=task.pool.name, url=database(self.url, lane), bundle=self.bundle,
            folder=supervisor.fresh_folder(self.scratch / f"lane-{lane}"), real_hang=real_hang(task), stopped=stopped,
            evidence=supervisor.fresh_folder(self.evidence / task.id),
        )  # fmt: skip


def answers(todo: Sequence[Task], opened: Opened, say: Callable[[str], None], *, jobs: int) -> Generator[Row, None, None]:
    """The rows, each as soon as it is known: what needs no measuring first, then one backend after the other."""
    measurable = []
    for task in todo:
        if reason := why_not(task):
            yield row_of(task, "", ContractAnswer(verdict=NOT_APPLICABLE, detail=reason), "")
        else:
            measurable.append(task)
    if not measurable:
        return
    bundle = bundles.write_bundles([WORKLOAD], bundles.home())[WORKLOAD].folder
    scratch = opened.scratch.resolve()
    evidence = opened.folder.path.resolve() / "evidence"
    with broker.embedded(scratch / "broker") as server:
        for backend, group in groupby(measurable, key=lambda task: task.backend):
            try:
                environment = environments.prepare(backend, say)
            except MissingTool as error:
                missing = ContractAnswer(verdict=CANNOT_SAY, detail=f"no environment: {error}")
                yield from (row_of(task, "", missing, "") for task in group)
                continue
            place = Place(environment=environment, url=server.url, bundle=bundle, scratch=scratch, evidence=evidence)
            yield from _in_lanes(list(group), place, jobs, opened.stopped)


def _in_lanes(todo: Sequence[Task], place: Place, jobs: int, stopped: threading.Event) -> Iterator[Row]:
    """Measure some at a time, those that ask for it after all others. Raises Interrupted."""
    lanes: queue.SimpleQueue[int] = queue.SimpleQueue()
    for lane in range(1, jobs + 1):
        lanes.put(lane)

    def one(task: Task) -> Row:
        lane = lanes.get()
        try:
            return measure(task, place.stand(task, lane, stopped))
        finally:
            lanes.put(lane)

    crew = ThreadPoolExecutor(jobs)
    try:
        for alone in (False, True):
            for done in as_completed([crew.submit(one, task) for task in todo if task.contract.alone is alone]):
                yield done.result()
    except BaseException:
        stopped.set()  # whatever ends this early ends the lanes, and with them their workers
        raise
    finally:
        crew.shutdown(wait=True, cancel_futures=True)


def measure(task: Task, stand: Stand) -> Row:
    answer = answered(task.contract.measure, stand)
    return row_of(task, stand.environment.installed["celery"], answer, f"evidence/{task.id}/steps.txt")


def answered(measure: Callable[[S], ContractAnswer], stand: S) -> ContractAnswer:
    """What is measured at this stand; what did not come about is its own answer."""
    emptied(stand.url)
    try:
        return measure(stand)
    except CannotSay as reason:
        return ContractAnswer(verdict=CANNOT_SAY, detail=str(reason))
    finally:
        stand.keep_steps()


def row_of(task: Task, celery: str, answer: ContractAnswer, evidence: str) -> Row:
    return row(task.key, celery or ".".join(map(str, plan.celery_version(task.backend))), answer, evidence)


def row(key: tuple[str, str, str], celery: str, answer: ContractAnswer, evidence: str) -> Row:
    """`key`: of the row, see `rows.Row.key`."""
    backend, pool, contract = key
    seconds = "" if answer.seconds is None else f"{answer.seconds:.3g}"
    return Row(
        backend=backend, pool=pool, celery=celery, contract=contract, verdict=answer.verdict, seconds=seconds,
        detail=answer.detail, evidence=evidence,
    )  # fmt: skip


def real_hang(task: Task) -> Workload | None:
    """The predict that hangs here by itself: the model was loaded before the fork."""
    call = REAL_HANGS.get(task.backend)
    if call is None or task.pool.name != REAL_HANG_POOL:
        return None
    return Workload(backend=task.backend, placement="import", call=call)
