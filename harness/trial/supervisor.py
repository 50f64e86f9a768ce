"""The worker side of a trial behind one small interface: start, watch, stop, evidence.

`LocalWorker` runs `celery worker` on this machine, in a backend's own environment. Another kind (another host, a
container) has to offer what `WorkerSide` names and nothing more; `trial` knows no other thing of it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from harness.environments import Environment, worker_variables
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.machine import procfs, shared_memory
from harness.machine.processes import STOP_GRACE_S, OwnedProcess
from harness.machine.procfs import Thread
from harness.observe import diagnosis
from harness.observe.diagnosis import Evidence, Subject
from harness.observe.eyes import Eyes
from harness.observe.looks import ProcessLook
from harness.observe.progress import Progress
from harness.trial import worker_log
from harness.trial.application import Application
from harness.worker import contract, unstarted


class WorkerSide(Protocol):
    """What a trial needs of the place where its workers run."""

    progress: Progress
    process: OwnedProcess

    def poll(self) -> int | None:
        """The worker's return code once it has ended, else None."""

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """All processes of the worker and their threads; of those in `closely` the Python stacks (and greenlets), too."""

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        """Remember how they were when the worker was ready and idle."""

    def left_behind(self) -> tuple[str, ...]:
        """Native threads of the main process that no forked child had when the worker was ready, by name."""

    def evidence(self, folder: Path, pids: tuple[int, ...], request_id: Callable[[int], str]) -> Evidence:
        """Keep stacks, threads and log tail in `folder`, for these processes first."""

    def stop(self, *, at_once: bool) -> bool:
        """End everything; whether it went by itself."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where one trial's worker runs: its environment, its own scratch folder, the broker's URL and that of the result back end,
    '' for the broker's; or, where it serves somebody's own application, as that one is set up."""

    environment: Environment
    folder: Path
    broker_url: str
    spec: Mapping[str, Any]
    application: Application | None = None
    result_url: str = ""

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
        results = {contract.RESULT_URL: self.result_url} if self.result_url else {}
        return {**variables, contract.SPEC: str(spec_path), contract.BROKER_URL: self.broker_url, **results}


class LocalWorker:
    """A Celery worker, or the in-process baseline, of one trial on this machine."""

    def __init__(self, place: Place, argv: list[str]) -> None:
        # what a killed process leaves in its temporary folder goes with it; not below the run's folder, since sockets are
        # made there, whose paths have to be short
        self._temporary = tempfile.TemporaryDirectory(prefix="harness-", ignore_cleanup_errors=True)
        variables = {**place.prepare(), "TMPDIR": self._temporary.name}
        self.log = place.folder / "worker.log"
        self.progress = Progress(Path(place.spec["events_dir"]))
        self.process = OwnedProcess(argv, log=self.log, env=variables, cwd=place.working_folder, scratch=self._temporary.name)
        self._at_ready: dict[int, tuple[Thread, ...]] = {}
        self._left_behind = tuple[str, ...]()
        self._eyes = Eyes(
            main=self.process.pid,
            tree=lambda: procfs.tree(self.process.keeper_pid),
            pool=lambda: self.progress.child_pids,
            events=self.progress.directory,
        )

    def poll(self) -> int | None:
        return self.process.poll()

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        worker_log.bound(self.log)
        return self._eyes.look(closely=closely)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self._at_ready = {process.pid: process.threads for process in processes}
        self._eyes.settled(processes)
        pool = self.progress.child_pids
        lost = [process.threads for process in processes if process.lost_threads and process.pid in pool]
        if lost:
            self._left_behind = diagnosis.left_behind(self.process.pid, self._at_ready.get(self.process.pid, ()), lost)

    def left_behind(self) -> tuple[str, ...]:
        return self._left_behind

    def evidence(self, folder: Path, pids: tuple[int, ...], request_id: Callable[[int], str]) -> Evidence:
        subject = Subject(
            main=self.process.pid,
            first=pids,
            tree=tuple(stat.pid for stat in procfs.tree(self.process.keeper_pid)),
            at_ready=self._at_ready,
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


def worker_command(cell: Cell, environment: Environment) -> list[str]:
    """`celery worker` as a user would call it.

    --without-mingle: it only asks other workers for a second before READY. The log level is Celery's own default for
    production.
    """
    celery = environment.python.parent / "celery"
    return [
        str(environment.python), str(celery), "-A", contract.APP, "worker", *POOLS[cell.pool].command(cell.concurrency),
        "--loglevel", "WARNING", "--without-mingle", "--hostname", unstarted.HOSTNAME,
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
