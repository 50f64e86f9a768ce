"""A trial's real site: a worker and a load generator, processes of ours on this machine, and a broker that runs already.

`opened` starts them; `close` ends them, whatever happened, and takes our queue out of the broker.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness import broker
from harness.broker import Backlog, Broker, Census, View
from harness.client.plan import GO, Plan, new_prefix, request_id
from harness.machine import descriptors, oom_kills, procfs
from harness.machine.processes import OwnedProcess, signal_name
from harness.measure import noise
from harness.measure.monitor import Monitor, Sample, Watched
from harness.observe import children, diagnosis
from harness.observe.diagnosis import Evidence
from harness.observe.looks import ProcessLook
from harness.trial import load, start
from harness.trial.assignment import Assignment
from harness.trial.supervisor import LocalWorker, Place, WorkerSide

#: signals of a crash; others are no fault of native code: ours to stop it, or a timer that Python disarms late
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP, signal.SIGSYS}
LAST_WORDS_S = 1.0  # an answer can be read before its worker has noted that it is done
LAST_WORDS_EVERY_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Means:
    """What a site is made with."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    worker: Callable[[Place, list[str]], WorkerSide] = LocalWorker
    load: Callable[[Assignment, Plan], OwnedProcess] = load.start
    broker_view: Callable[[Broker, str], View] = broker.view
    monitor: Callable[..., Monitor] = Monitor


REAL = Means()


class LiveSite:
    """Started when it is made; see `site.Site` for what the watcher asks of it."""

    def __init__(self, work: Assignment, means: Means = REAL) -> None:
        self.work, self.means = work, means
        self.started_s = self.now()
        self.queues = work.application.keys if work.application else (f"harness-{os.urandom(4).hex()}",)
        self.prefix = new_prefix()
        self._oom_kills, self._shared, self._end = oom_kills.read(), tuple[str, ...](), ""
        self._broker = means.broker_view(work.broker, work.application.key_prefix if work.application else "")
        self.client: OwnedProcess | None = None
        with contextlib.ExitStack() as undo:  # what was started ends again, if the rest cannot be
            undo.callback(self._broker.close)
            place = start.place_of(work, start.spec_of(work, queue=self.queues[0], prefix=self.prefix))
            self.worker = means.worker(place, start.command_of(work))
            undo.callback(self.worker.stop, at_once=True)
            self.progress, self.main = self.worker.progress, self.worker.process.pid
            plan = None if work.cell.is_baseline else load.plan_of(work, queue=self.queues[0], prefix=self.prefix)
            self.progress.place_of = load.place_of(work, plan)
            if plan is not None:
                self.client = means.load(work, plan)
                undo.callback(self.client.kill)
            self._monitor = means.monitor(
                worker=self.worker.process, broker=work.broker.process, client=self.client,
                broker_spread=self._broker.spread,
            )  # fmt: skip
            undo.pop_all()

    def now(self) -> float:
        return self.means.clock()

    def sleep(self, seconds: float) -> None:
        self.means.sleep(seconds)

    def worker_code(self) -> int | None:
        return self.worker.poll()

    def client_code(self) -> int | None:
        return self.client.poll() if self.client is not None else self.worker.poll()

    def has_client(self) -> bool:
        return self.client is not None

    def client_state(self) -> str:
        stat = procfs.process(self.client.pid) if self.client is not None else None
        return stat.state if stat is not None else ""

    def broker_ended(self) -> bool:
        return self.work.broker.process is not None and self.work.broker.process.poll() is not None

    def census(self) -> Census:
        """Of all its queues together."""
        every = [self._broker.census(queue) for queue in self.queues]
        silent = next((one for one in every if not one.answers), None)
        known = [one.messages for one in every if one.messages is not None]
        return silent or replace(every[-1], messages=sum(known) if known else None)

    def depth(self) -> tuple[int, int] | None:
        known = [depth for queue in self.queues if (depth := self._broker.depth(queue)) is not None]
        return (sum(waiting for waiting, _ in known), sum(given for _, given in known)) if known else None

    def sample(self, phase: str, *, edge: bool = False) -> Sample:
        return self._monitor.sample(phase, edge=edge)

    def noise(self) -> noise.Reading:
        return noise.read()

    def children(self) -> frozenset[int]:
        return children.of_pool(self.main, self.progress.child_pids)

    def pids(self) -> frozenset[int]:
        return frozenset(stat.pid for stat in procfs.tree(self.worker.process.keeper_pid))

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        return self.worker.look(closely=closely)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self.worker.settled(processes)
        self._shared = tuple(descriptors.inherited(self.main, self.children()))

    def no_consumer(self) -> str:
        application = self.work.application
        return application.unfit(self.work.events, self.work.cell) if application is not None else ""

    def go(self) -> None:
        (self.work.folder / GO).touch()

    def log_tail(self) -> str:
        return diagnosis.log_tail(self.work.log)

    def shared(self) -> tuple[str, ...]:
        """The connections that the children had in common with the main process when the worker was ready."""
        return self._shared

    def left_behind(self) -> tuple[str, ...]:
        """Native threads of the main process that no forked child had when the worker was ready."""
        return self.worker.left_behind()

    def oom_kills(self) -> int:
        """Since the trial began, where `oom_counted` says."""
        return oom_kills.read().since(self._oom_kills)

    def oom_counted(self) -> str:
        return self._oom_kills.where

    def backlog(self) -> tuple[Backlog, ...]:
        """Of somebody's own application, in its private broker."""
        if self.work.application is None or self.work.broker.process is None:
            return ()
        return self._broker.backlog(request_id(self.prefix, 0)[:-8])

    def consumed(self) -> tuple[str, ...] | None:
        return self.work.application.consumed(self.work.events) if self.work.application is not None else None

    def evidence(self, pids: tuple[int, ...]) -> Evidence:
        """Stacks while the processes still stand, of these first."""
        return self.worker.evidence(self.work.evidence, pids, lambda number: request_id(self.prefix, number))

    def watched(self) -> Watched:
        return self._monitor.watched()

    def kernel_cpu_s(self) -> float | None:
        """CPU seconds of the worker's whole life, once it has ended."""
        return self.worker.process.kernel_cpu_s

    def close(self, ended_by: str) -> Sample | None:
        """End client and worker; the last sample of the living worker. Ours is killed: nothing is left to learn from it once
        it has answered, and Celery takes seconds to shut down, three and more in green pools.
        """
        last = None
        if self.client is not None:
            self.client.terminate(grace_s=5.0)
        if ended_by == "done":
            self._last_words()
        if ended_by and self.worker.poll() is None:
            last = self._monitor.sample(self.progress.phase)
        ended = self.worker.poll() is not None
        if (self.worker.stop(at_once=not self._may_say_goodbye(ended_by)) or ended) and ended_by == "done":
            code = self.worker.poll()
            self._end = signal_name(code) if code is not None and -code in CRASHES else ""
        self.progress.read()
        self._tidy_broker()
        return last

    def end(self) -> str:
        """The signal of a crash by which the worker ended once all was answered."""
        return self._end

    def _last_words(self) -> None:
        """Wait until the worker has noted the end of what it has answered."""
        until = self.now() + LAST_WORDS_S
        while self.progress.open and self.worker.poll() is None and self.now() < until:
            self.sleep(LAST_WORDS_EVERY_S)
            self.progress.read()

    def _may_say_goodbye(self, ended_by: str) -> bool:
        """Whether the worker gets its time to shut down: where it runs somebody's own application, uses their broker, or is to
        show how it ends."""
        theirs = self.work.application is not None or self.work.broker.process is None
        shown = self.work.settings.shutdown and not self.work.cell.is_baseline
        return (theirs or shown) and ended_by in ("done", "interrupted")

    def _tidy_broker(self) -> None:
        """Take our queue and its bindings out of the broker, which may be the user's own."""
        self._broker.forget(*self.queues, f"{self.queues[0]}-template")
        if self.work.application is not None:  # whatever else it left; the broker is ours alone
            self._broker.empty()
        self._broker.close()
