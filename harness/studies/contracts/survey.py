"""The survey: which contracts are to be measured where, a few at a time, each kept as soon as it is known.

A lane is a thread with a broker database and folders of its own, so that measurements side by side share nothing but
the cores. Contracts that ask for it (`alone`) are measured only beside others of their kind.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby
from pathlib import Path
from types import FrameType

from harness import broker, environments
from harness.environments import Environment
from harness.errors import BadInput, MissingTool, NothingMatches
from harness.experiment.pools import POOLS, Pool
from harness.places import home
from harness.records import store
from harness.run import bundles, plan, preflight
from harness.studies.contracts import rows
from harness.studies.contracts.bench import CannotSay, Stand, Workload, database, emptied
from harness.studies.contracts.measures import CONTRACTS, Answer, Contract
from harness.studies.contracts.rows import CANNOT_SAY, NOT_APPLICABLE, Column, Row
from harness.trial import supervisor

CONTROL_ENVIRONMENT = "celery"  # Celery alone, for tests
BACKENDS = [name for name in environments.descriptions() if name != CONTROL_ENVIRONMENT]
WORKLOAD = "digits-cnn"
MOST_LANES = 8  # a Valkey has 16 databases; more lanes than cores only wait
#: Where a real predict hangs by itself in prefork, and by which call: the parent loaded the model, the child uses it.
REAL_HANGS = {"tensorflow2": "predict", "tensorflow1": "graph", "tensorflow1_15": "graph"}
REAL_HANG_POOL = "prefork"
TABLES = {
    "A predict that never returns": ("hard-", "soft-", "revoke-"),
    "Shutdown with work in flight, and a killed process": ("warm-", "cold-", "kill"),
    "Signs of life while the only executor is busy": ("ping-",),
}
PREFACE = """\
Made by `harness contracts`; every word was seen with a real worker of concurrency 1, none is from documentation.
Measurements ran up to {jobs} at a time, which adds some tenths of a second to the seconds in parentheses. **Bold** is not
what one would hope for; the notes say what was seen. *python*: the predict is blocked on a lock in Python (the control
`faulty`). *native*: it is in C and does not come back; the note, or `detail` in `contracts.csv`, says whether that was a
real predict or an endless computation. Every wait was bounded: "not" means not within the seconds that the note names."""

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What the user asked for; `select` are patterns of `BACKEND-POOL-CONTRACT` or of a contract's own id."""

    folder: Path
    backends: Sequence[str]
    pools: Sequence[str]
    select: Sequence[str] = ()
    jobs: int = 3
    fresh: bool = False


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


def tasks(order: Order) -> list[Task]:
    """All rows that the order asks for, in the table's order. Raises BadInput, NothingMatches."""
    for names, known, what in (
        (order.backends, list(environments.descriptions()), "backend"),
        (order.pools, list(POOLS), "pool"),
    ):
        for name in names:
            if name not in known:
                raise BadInput(f"no {what} {name!r}", remedy=f"use {', '.join(known)}")
    everything = [
        Task(backend=backend, pool=POOLS[pool], contract=contract)
        for backend in order.backends
        for pool in order.pools
        for contract in CONTRACTS.values()
    ]
    chosen = [task for task in everything if _selected(task, order.select)]
    if not chosen:
        raise NothingMatches(
            f"no contract matches {' or '.join(map(repr, order.select))}", remedy=f"contracts are {', '.join(CONTRACTS)}"
        )
    return chosen


def _selected(task: Task, patterns: Sequence[str]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns for name in (task.id, task.contract.id))


def why_not(task: Task) -> str:
    """Why this row cannot exist, or ''."""
    celery = plan.celery_version(task.backend)
    if reason := task.pool.refuses(concurrency=1, placement="first-task", celery=celery):
        return reason
    if task.contract.children_only and task.pool.executors != "processes":
        return "the pool has no child processes"
    return ""


def survey(order: Order, say: Say, measured: Callable[[Row], None]) -> dict[tuple[str, str, str], Row]:
    """Measure what is asked for and not yet known; all rows of the folder. Raises Interrupted with everything kept."""
    preflight.check(order.folder, "")
    wanted = tasks(order)
    with store.RunFolder(order.folder).opened(fresh=order.fresh) as held:
        if held.moved_to:
            say(f"the earlier survey was moved to {held.moved_to}")
        known = rows.read(order.folder)
        todo = [task for task in wanted if task.key not in known or known[task.key].verdict == CANNOT_SAY]
        if len(todo) < len(wanted):
            say(f"{len(wanted) - len(todo)} of {len(wanted)} answers are on record; --fresh measures them again")
        stopped = threading.Event()
        try:
            with _interruptible(stopped, say), closing(answers(order, todo, stopped, say)) as found:
                for row in found:
                    rows.append(order.folder, row)
                    known[row.key] = row
                    measured(row)
        finally:
            known = arranged(known)
            held.replace(rows.TABLE, rows.table(known.values()))
            held.replace("contracts.md", page(known, order.jobs))
    return known


def arranged(known: dict[tuple[str, str, str], Row]) -> dict[tuple[str, str, str], Row]:
    """In the order of backends, pools and contracts, whatever order they were measured in."""
    ranks = [list(environments.descriptions()), list(POOLS), list(CONTRACTS)]
    places = [{name: rank for rank, name in enumerate(names)} for names in ranks]
    order = sorted(known, key=lambda key: [place.get(part, 99) for place, part in zip(places, key, strict=True)])
    return {key: known[key] for key in order}


def page(known: dict[tuple[str, str, str], Row], jobs: int) -> str:
    columns = [Column(id=item.id, title=item.title, seconds=item.seconds, kept=item.kept) for item in CONTRACTS.values()]
    groups = {title: [column for column in columns if column.id.startswith(heads)] for title, heads in TABLES.items()}
    return rows.markdown(known, groups, PREFACE.format(jobs=jobs))


@contextmanager
def _interruptible(stopped: threading.Event, say: Say) -> Iterator[None]:
    """The first Ctrl-C (or TERM) ends the measurements in progress; a second one is Python's own."""

    def handler(number: int, frame: FrameType | None) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        stopped.set()
        say("stopping; what was measured is kept")

    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


# -- measuring


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


def answers(order: Order, todo: Sequence[Task], stopped: threading.Event, say: Say) -> Generator[Row, None, None]:
    """The rows, each as soon as it is known: what needs no measuring first, then one backend after the other."""
    measurable = []
    for task in todo:
        if reason := why_not(task):
            yield row_of(task, "", Answer(verdict=NOT_APPLICABLE, detail=reason), "")
        else:
            measurable.append(task)
    if not measurable:
        return
    bundle = bundles.write_bundles([WORKLOAD], home() / "bundles")[WORKLOAD].folder
    scratch = supervisor.fresh_folder((order.folder / "scratch").resolve())
    evidence = order.folder.resolve() / "evidence"
    with broker.embedded(scratch / "broker") as server:
        for backend, group in groupby(measurable, key=lambda task: task.backend):
            try:
                environment = environments.prepare(backend, say)
            except MissingTool as error:
                missing = Answer(verdict=CANNOT_SAY, detail=f"no environment: {error}")
                yield from (row_of(task, "", missing, "") for task in group)
                continue
            place = Place(environment=environment, url=server.url, bundle=bundle, scratch=scratch, evidence=evidence)
            yield from _in_lanes(list(group), place, order.jobs, stopped)
    supervisor.fresh_folder(scratch).rmdir()


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
    """One row; what did not come about is its own answer."""
    emptied(stand.url)
    try:
        answer = task.contract.measure(stand)
    except CannotSay as reason:
        answer = Answer(verdict=CANNOT_SAY, detail=str(reason))
    finally:
        stand.keep_steps()
    return row_of(task, stand.environment.installed["celery"], answer, f"evidence/{task.id}/steps.txt")


def row_of(task: Task, celery: str, answer: Answer, evidence: str) -> Row:
    celery = celery or ".".join(map(str, plan.celery_version(task.backend)))
    seconds = "" if answer.seconds is None else f"{answer.seconds:.3g}"
    return Row(
        backend=task.backend, pool=task.pool.name, celery=celery, contract=task.contract.id, verdict=answer.verdict,
        seconds=seconds, detail=answer.detail, evidence=evidence,
    )  # fmt: skip


def real_hang(task: Task) -> Workload | None:
    """The predict that hangs here by itself: the model was loaded before the fork."""
    call = REAL_HANGS.get(task.backend)
    if call is None or task.pool.name != REAL_HANG_POOL:
        return None
    return Workload(backend=task.backend, placement="import", call=call)
