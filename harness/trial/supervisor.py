"""The worker side of a trial behind one small interface: start, watch, stop, evidence.

`LocalWorker` runs `celery worker` on this machine, in a backend's own environment. Another kind (another host, a
container) has to offer what `WorkerSide` names and nothing more; `trial` knows no other thing of it.
"""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from harness.environments import Environment, worker_variables
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.machine import procfs, shared_memory
from harness.machine.processes import STOP_GRACE_S, OwnedProcess
from harness.machine.procfs import Thread
from harness.observe import diagnosis, greenlets, stacks
from harness.observe.diagnosis import Evidence, Subject, lost_threads
from harness.observe.looks import ProcessLook
from harness.observe.progress import Progress
from harness.observe.roles import Role
from harness.observe.stacks import Glance
from harness.observe.wakers import Wakers
from harness.trial.application import Application
from harness.worker import contract

GLANCE_EVERY_S = 0.9  # at a process that holds an overdue request

HUB_WAITS = ("epoll", "poll", "select")  # of a green library's event loop
BILLIARDS = frozenset({signal.SIGUSR2})


class WorkerSide(Protocol):
    """What a trial needs of the place where its workers run."""

    progress: Progress
    process: OwnedProcess
    at_ready: dict[int, tuple[Thread, ...]]  # the threads of each process when the worker was ready and idle
    billiards: frozenset[int]  # signals that billiard has given every child a handler for, see `set_by_billiard`

    def poll(self) -> int | None:
        """The worker's return code once it has ended, else None."""

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """All processes of the worker and their threads; of those in `closely` the Python stacks (and greenlets), too."""

    def evidence(self, folder: Path, pids: tuple[int, ...], request_id: Callable[[int], str]) -> Evidence:
        """Keep stacks, threads and log tail in `folder`, for these processes first."""

    def stop(self, *, at_once: bool) -> bool:
        """End everything; whether it went by itself."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one trial's worker runs: its environment, its own scratch folder and the broker's URL; or, where it serves
    somebody's own application, as that one is set up."""

    environment: Environment
    folder: Path
    broker_url: str
    spec: Mapping[str, Any]
    application: Application | None = None

    @property
    def working_folder(self) -> Path:
        return self.application.folder if self.application else self.folder

    def prepare(self) -> dict[str, str]:
        """Write the trial's spec; the variables its processes get."""
        events = Path(self.spec["events_dir"])
        events.mkdir(parents=True, exist_ok=True)
        spec_path = self.folder / contract.SPEC_FILE
        spec_path.write_text(json.dumps(dict(self.spec)))
        if self.application is not None:
            return {**self.application.variables(self.broker_url), contract.SPEC: str(spec_path)}
        variables = worker_variables(self.environment)
        return {**variables, contract.SPEC: str(spec_path), contract.BROKER_URL: self.broker_url}


class LocalWorker:
    """A Celery worker, or the in-process baseline, of one trial on this machine."""

    def __init__(self, place: Place, argv: list[str]) -> None:
        # what a killed process leaves in its temporary folder goes with it; not below the run's folder, since sockets are
        # made there, whose paths have to be short
        self._temporary = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        variables = {**place.prepare(), "TMPDIR": self._temporary.name}
        self.log = place.folder / "worker.log"
        self.progress = Progress(Path(place.spec["events_dir"]))
        self.process = OwnedProcess(argv, log=self.log, env=variables, cwd=place.working_folder)
        self.at_ready: dict[int, tuple[Thread, ...]] = {}
        self.billiards: frozenset[int] = frozenset()
        self._events = Path(place.spec["events_dir"])
        self._glances: dict[int, _Glances] = {}
        self._wakers: dict[int, Wakers] = {}

    def poll(self) -> int | None:
        return self.process.poll()

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        stats = procfs.tree(self.process.keeper_pid)
        parents = {stat.pid: stat.parent for stat in stats}
        threads = {stat.pid: tuple(procfs.threads(stat.pid)) for stat in stats}
        looks = [
            ProcessLook(
                pid=stat.pid,
                cpu_s=stat.own_cpu_s + stat.reaped_cpu_s,
                children=tuple(pid for pid, parent in parents.items() if parent == stat.pid),
                threads=threads[stat.pid],
                caught=procfs.caught_signals(stat.pid) - (self.billiards if stat.pid != self.process.pid else frozenset()),
                lost_threads=stat.forked and bool(lost_threads(threads.get(stat.parent, ()), threads[stat.pid])),
            )
            for stat in stats
        ]
        return self._closely(looks, closely)

    def _closely(self, looks: Sequence[ProcessLook], suspects: frozenset[int]) -> tuple[ProcessLook, ...]:
        """The looks; more of these processes, and of all that could end a wait in them. Of a program that a task has started
        the kernel alone is asked."""
        found, left = {look.pid: look for look in looks}, set(suspects)
        pool, done = self.progress.child_pids | {self.process.pid} | suspects, set[int]()
        while left := (left & set(found)) - done:
            look = found[pid := min(left)]
            done.add(pid)
            seen = self._stacks(look) if pid in pool else {}
            found[pid] = look = replace(look, threads=self._known(pid).told(look), **seen)
            left |= {*look.children, *(waker for thread in look.threads for waker in thread.wakers)}
        return tuple(found.values())

    def evidence(self, folder: Path, pids: tuple[int, ...], request_id: Callable[[int], str]) -> Evidence:
        subject = Subject(
            main=self.process.pid,
            first=pids,
            tree=tuple(stat.pid for stat in procfs.tree(self.process.keeper_pid)),
            at_ready=self.at_ready,
            log=self.log,
            progress=self.progress,
            request_id=request_id,
        )
        return diagnosis.collect(folder, subject)

    def stop(self, *, at_once: bool) -> bool:
        left = shared_memory.semaphores(stat.pid for stat in procfs.tree(self.process.keeper_pid))
        try:
            if at_once:
                self.process.kill()
                return False
            return self.process.terminate(STOP_GRACE_S)
        finally:
            shared_memory.forget(left)
            self._temporary.cleanup()

    def _known(self, pid: int) -> Wakers:
        return self._wakers.setdefault(pid, Wakers())

    def _stacks(self, look: ProcessLook) -> dict[str, Any]:
        """What glances into a process's stacks say, as fields of ProcessLook; repeated now and then."""
        pid, known = look.pid, self._glances.setdefault(look.pid, _Glances())
        now, tids = time.monotonic(), frozenset(thread.tid for thread in look.threads)
        in_hub = any(thread.tid == pid and thread.waits_in in HUB_WAITS for thread in look.threads)
        if now - known.at_s >= GLANCE_EVERY_S or not tids <= known.tids:
            known.take(stacks.glance(pid, known.last.ids if known.last else None), tids, now)
            # where a C call blocks it, the signal would only disturb what is looked at
            if in_hub and known.turns.due(now, greenlets.answer_id(self._events, pid)):
                greenlets.ask(pid)
        last = known.last
        return {
            "python_tids": last.foreign if last else None,
            "own_tids": last.own if last else frozenset(),
            "gil_owner": last.gil_owner if last else None,
            "functions": dict(known.functions),
            "role": last.role if last else Role.UNKNOWN,
            "tracing": last.tracing if last else frozenset(),
            "greenlets": greenlets.answer(self._events, pid) if in_hub else None,
        }


def set_by_billiard(main: int, processes: Sequence[ProcessLook]) -> frozenset[int]:
    """SIGUSR2, if all children of a worker that is ready handle it: billiard 3.6 gives each a handler that ends the process
    (billiard/common.py, TERMSIGS_DEFAULT). What the main process handles is the application's.
    """
    children = [look.caught for look in processes if look.pid != main]
    return BILLIARDS & frozenset.intersection(*children) if children else frozenset()


@dataclass
class _Glances:
    """The glances at one process: the last, what threads there were then, and how often each function was seen in a row."""

    at_s: float = 0.0
    tids: frozenset[int] = frozenset()
    last: Glance | None = None
    turns: greenlets.Turns = field(default_factory=greenlets.Turns)
    functions: dict[int, tuple[str, int]] = field(default_factory=dict)

    def take(self, glance: Glance | None, tids: frozenset[int], now: float) -> None:
        self.at_s, self.tids, self.last = now, tids, glance
        if glance is None:  # a glance that failed says nothing against those before it
            return
        before = self.functions
        self.functions = {}
        for tid, function in glance.functions.items():
            again = before.get(tid, ("", 0))
            self.functions[tid] = (function, again[1] + 1 if again[0] == function else 1)


def worker_command(cell: Cell, environment: Environment) -> list[str]:
    """`celery worker` as a user would call it.

    --without-mingle: it only asks other workers for a second before READY. The log level is Celery's own default for
    production.
    """
    celery = environment.python.parent / "celery"
    return [
        str(environment.python), str(celery), "-A", contract.APP, "worker", *POOLS[cell.pool].command(cell.concurrency),
        "--loglevel", "WARNING", "--without-mingle", "--hostname", "harness@%h",
    ]  # fmt: skip


def baseline_command(environment: Environment, *, seconds: float, requests: int, result: Path, processes: int) -> list[str]:
    """The in-process baseline: one process, see `harness.worker.baseline`, or several, see `harness.worker.ceiling`."""
    program = ["harness.worker.baseline"] if processes == 1 else ["harness.worker.ceiling"]
    number = [] if processes == 1 else [str(processes)]
    return [str(environment.python), "-m", *program, str(seconds), str(requests), str(result), *number]


def fresh_folder(path: Path) -> Path:
    """An empty folder at `path`."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path
