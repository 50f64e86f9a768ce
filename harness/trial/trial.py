"""One cell, run once: start the worker, wait until it consumes, send the load, watch, stop, and tell what was seen.

The load generator and the worker are processes of their own; this one only looks. It judges nothing itself:
`watchdog` says whether progress can come, `outcome` how the trial ended.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import redis

from harness import broker
from harness.broker import Broker, Census
from harness.client.plan import EXIT_BROKER_LOST, GO, Plan, new_prefix, request_id
from harness.environments import Environment
from harness.experiment import seeds
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell, engine_threads, fault_options
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.judge.blocked import How
from harness.judge.watchdog import State, Verdict, judge
from harness.machine import procfs
from harness.machine.processes import OwnedProcess, signal_name
from harness.measure import noise
from harness.measure.monitor import Monitor, Sample
from harness.observe import diagnosis
from harness.observe.diagnosis import Evidence
from harness.observe.looks import Look, ProcessLook, patience_s
from harness.places import CHECKOUT
from harness.trial import supervisor
from harness.trial.application import Application
from harness.trial.supervisor import LocalWorker, Place, WorkerSide

LOOK_EVERY_S = 0.1
SAMPLE_EVERY_S = 0.5
JUDGE_EVERY_S = 0.2
OVERDUE_SHARE = 0.4  # of the watchdog's patience, after which threads are looked at
SETTLE_LIMIT_S = 2.0  # after READY; a child that still loads computes for longer
KEPT_LOOKS = 60  # more than the watchdog's window holds
DEAD_CHILD_S = 13.0  # billiard answers WorkerLostError for a dead child's request within 10 s (LOST_WORKER_TIMEOUT)
UNRECOVERABLE = "Unrecoverable error"  # Celery's worker logs this and stops (celery/worker/worker.py)
LAST_WORDS_S = 1.0  # an answer can be read before its worker has noted that it is done
STOPPING_S = 40.0  # billiard's children wait 30 s for their last answer to be taken (GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT)
RAISED_START_WINDOW_S = 600.0
SEARCH_SHARE = 0.5  # of the time limit, for finding a peak


class Outside(Protocol):
    """A fault that is done to a running trial, once; `struck` says whether it has been."""

    struck: bool

    def __call__(self, trial: Trial) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Everything a trial needs to know. `folder` is its own scratch folder, `interrupted` tells of a Ctrl-C.

    `outside` is called at each look of the measured phase, see `trial.outside`; `worker_broker_url`: where the worker is
    to find the broker, if elsewhere than the client.
    """

    cell: Cell
    trial: int
    environment: Environment
    bundle: Path
    rows: int
    settings: Settings
    broker: Broker
    folder: Path
    evidence: Path
    baseline_s: float | None = None  # of the same predict in this run's in-process baseline: the median,
    baseline_first_s: float | None = None  # and the first
    worker_broker_url: str = ""
    application: Application | None = None  # somebody's own, instead of ours
    outside: Outside | None = None
    interrupted: Callable[[], bool] = lambda: False


@dataclass
class Seen:
    """What the driver itself saw of a trial; the requests are in the load generator's file."""

    ended_by: str = ""
    verdict: Verdict | None = None
    partial: Verdict | None = None  # some executors hang while others go on
    judged_s: float | None = None  # when the verdict, or the partial one, was first reached
    evidence: Evidence | None = None
    depths: list[tuple[int, int]] = field(default_factory=list)  # see broker.depth, sampled in the measured phase
    noise: list[noise.Reading] = field(default_factory=list)  # with the samples of the measured phase
    census: Census | None = None  # what the broker said when the trial stood still
    oom_kills: int = field(default_factory=procfs.oom_kills)  # before the trial; during it, once it has ended
    started_s: float = field(default_factory=time.monotonic)
    worker_exit: str = ""
    no_consumer: str = ""  # why nobody would take the requests of somebody's own application
    client_exit: str = ""
    before: Sample | None = None  # as the measured phase began, and as it ended
    after: Sample | None = None
    last: Sample | None = None
    quiet_s: float = 0.0
    longest_silence_s: float = 0.0
    dead: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # requests that dead processes held


class Trial:
    """The state of one running trial. `run` does it all; the rest are its steps."""

    def __init__(self, work: Assignment) -> None:
        self.work = work
        self.queue = work.application.queue_key if work.application else f"harness-{os.urandom(4).hex()}"
        self.prefix = new_prefix()
        self.events = work.folder / "events"
        self.result = work.folder / "requests.npz"
        self.seen = Seen()
        self.looks: list[Look] = []
        self.furniture: dict[int, str] = {}
        self.broker_view = broker.client(work.broker.url)
        self.worker: WorkerSide
        self.client: OwnedProcess | None = None
        self.monitor: Monitor
        self._answers = self._dead_before = 0  # answers so far, and the children that had died by the last of them
        self._sampled_s = self._judged_s = 0.0

    def run(self) -> None:
        """Start, watch until something ends it, keep evidence, stop everything."""
        try:
            self._start()
            while not self.seen.ended_by:
                self._step()
                time.sleep(LOOK_EVERY_S)
            if self.seen.ended_by != "interrupted":  # then an earlier try at the same trial stays on record, with its evidence
                shutil.rmtree(self.work.evidence, ignore_errors=True)
                self._keep_evidence()
        finally:
            self._stop()

    def _start(self) -> None:
        work = self.work
        url = work.worker_broker_url or work.broker.url
        place = Place(
            environment=work.environment, folder=work.folder, broker_url=url, spec=self._spec(), application=work.application
        )
        if work.application is not None:
            argv = self._command_of(work.application)
        elif work.cell.is_baseline:
            argv = supervisor.baseline_command(
                work.environment,
                seconds=work.settings.measure_s,
                requests=work.settings.requests,
                result=self.result,
                processes=work.cell.concurrency,
            )
        else:
            argv = supervisor.worker_command(work.cell, work.environment)
        self.worker = LocalWorker(place, argv)
        if not work.cell.is_baseline:
            self.client = self._start_client()
        self.monitor = Monitor(worker=self.worker.process, broker=work.broker.process, client=self.client)

    def _command_of(self, application: Application) -> list[str]:
        cell, settings = self.work.cell, self.work.settings
        if cell.is_baseline:
            return application.serial_command(settings.measure_s, settings.requests, self.result)
        return application.worker_command(cell)

    def _spec(self) -> dict[str, object]:
        cell, work = self.work.cell, self.work
        if work.application is not None:
            return work.application.spec(prefix=self.prefix, events=self.events)
        intra, inter = engine_threads(cell.engine_threads)
        cold = work.folder / "compile-cache"
        return {
            "backend": cell.backend,
            "placement": cell.placement,
            "call": cell.call,
            "parent": cell.parent,
            "bundle": str(work.bundle),
            "batch": cell.batch,
            "intra": intra,
            "inter": inter,
            "cache_dir": str(cold if cell.compile_cache == "cold" else work.environment.cache_dir),
            "events_dir": str(self.events),
            "prefetch": cell.prefetch,
            "celery": {"worker_max_tasks_per_child": cell.max_tasks} if cell.max_tasks else {},
            "proc_alive_timeout": cell.start_window_s or RAISED_START_WINDOW_S,
            "queue": self.queue,
            "options": {**fault_options(cell.fault), "trial": work.trial, "folder": str(work.folder)},
        }

    def _start_client(self) -> OwnedProcess:
        work, cell = self.work, self.work.cell
        executors = POOLS[cell.pool].executors
        many = executors in ("processes", "threads")
        plan = Plan(
            url=work.broker.url,
            queue=self.queue,
            traffic=cell.traffic,
            rows=work.rows,
            batch=cell.batch,
            measure_s=work.settings.measure_s,
            requests=work.settings.requests,
            warmup_limit_s=work.settings.warmup_limit_s,
            stable_limit_s=work.settings.stable_limit_s,
            search_s=SEARCH_SHARE * work.settings.limit_s,
            executors=cell.concurrency if many else 1,
            by_thread=executors == "threads",
            in_flight_warmup=max(parse(cell.traffic).in_flight, 2 * cell.concurrency),
            arrivals_seed=seeds.seed_for("arrivals", work.settings.seed, work.trial),
            rows_seed=seeds.seed_for("rows", work.settings.seed, work.trial),
            events_dir=str(self.events),
            result=str(self.result),
            prefix=self.prefix,
            messages=str(work.application.messages) if work.application else "",
        )
        path = work.folder / "plan.json"
        plan.write(path)
        variables = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        variables["PYTHONPATH"] = str(CHECKOUT)
        variables["OMP_NUM_THREADS"] = variables["OPENBLAS_NUM_THREADS"] = "1"
        argv = [sys.executable, "-m", "harness.client", str(path)]
        return OwnedProcess(argv, log=work.folder / "client.log", env=variables)

    def _step(self) -> None:
        """Look once, and note whatever ends the trial."""
        progress, seen = self.worker.progress, self.seen
        was_ready, phase = progress.ready_at_s is not None, progress.phase
        progress.read()
        now = time.monotonic()
        seen.quiet_s, seen.longest_silence_s = progress.quiet_s(now), progress.longest_silence_s
        if progress.phase != phase or now - self._sampled_s >= SAMPLE_EVERY_S:
            self._sample(phase)
        if not was_ready and progress.ready_at_s is not None:
            self._ready()
        if self.work.outside is not None and progress.phase == "measure":
            self.work.outside(self)
        seen.ended_by = self._ended(now)

    def _sample(self, phase_before: str) -> None:
        """Read CPU times; the measured window is from the first sample in its phase to the first one after it."""
        progress, seen = self.worker.progress, self.seen
        edge = "measure" in (progress.phase, phase_before) and progress.phase != phase_before
        seen.last = sample = self.monitor.sample(progress.phase, edge=edge)
        self._sampled_s = sample.at_s
        if "measure" in (progress.phase, phase_before):
            seen.before = seen.before or sample
            seen.after = sample
            seen.noise.append(noise.read())
            with contextlib.suppress(redis.RedisError):  # a broker that is lost has its own verdict
                seen.depths.append(broker.depth(self.broker_view, self.queue))
        gone = {pid for pid in progress.child_pids if pid not in sample.pids and pid != self.worker.process.pid}
        if gone - seen.dead:  # or only new: a child of another thread than the main one is found a little later
            gone -= {stat.pid for stat in procfs.tree(self.worker.process.keeper_pid)}
        seen.dead |= gone
        seen.lost |= {stage.number for stage in progress.forget(gone) if stage.kind == "request"}

    def _ready(self) -> None:
        """The worker consumes: remember what its threads wait in once they are idle, and let the load begin."""
        until = time.monotonic() + SETTLE_LIMIT_S
        processes = self.worker.look(closely=frozenset())
        while _computes(processes) and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
            processes = self.worker.look(closely=frozenset())
        self.worker.at_ready = {process.pid: process.threads for process in processes}
        self.furniture = {thread.tid: thread.waits_in for process in processes for thread in process.threads}
        application = self.work.application
        if application is not None and self.client is not None:
            self.seen.no_consumer = application.no_consumer(self.events)
        if self.client is not None and not self.seen.no_consumer:
            (self.work.folder / GO).touch()

    def _ended(self, now: float) -> str:
        """What ends the trial now; '' to go on."""
        progress, settings = self.worker.progress, self.work.settings
        if self.seen.no_consumer:
            return "no-consumer"
        if self.work.broker.process is not None and self.work.broker.process.poll() is not None:
            return "broker-exit"
        if progress.unsupported:
            return "unsupported"
        code = self.client.poll() if self.client is not None else self.worker.poll()
        if code == 0:
            progress.read()  # it may have ended since the last look
        if code == 0 and progress.phase == "done":  # another code: what it saw was not saved
            return "done"
        if self.client is not None and code is not None:
            self.seen.client_exit = signal_name(code)
            return "broker-exit" if code == EXIT_BROKER_LOST else "client-exit"
        if self.worker.poll() is not None:
            self.seen.worker_exit = signal_name(self.worker.poll())
            return "worker-exit"
        if self.work.interrupted():
            return "interrupted"
        return self._judged(now) or self._out_of_time(now, settings)

    def _out_of_time(self, now: float, settings: Settings) -> str:
        progress = self.worker.progress
        if progress.ready_at_s is None:
            return "ready-limit" if now - self.seen.started_s > settings.ready_limit_s else ""
        return "limit" if now - progress.ready_at_s > settings.limit_s else ""

    @property
    def pace_s(self) -> float | None:
        """What a request usually takes: in the baseline or in this worker, whichever is longer; None while unknown."""
        known = [value for value in (self.work.baseline_s, self.worker.progress.usual_s) if value is not None]
        return max(known) if known else None

    def _judged(self, now: float) -> str:
        progress, seen = self.worker.progress, self.seen
        soon_s = OVERDUE_SHARE * patience_s(self.pace_s)
        suspects = frozenset(stage.pid for stage in progress.open.values() if now - stage.since_s >= soon_s)
        answers = progress.ended + progress.received
        if answers != self._answers:
            self._answers, self._dead_before = answers, len(seen.dead)
        respawning = len(seen.dead) > self._dead_before
        if seen.partial and all(stage.since_s != seen.partial.since_s for stage in progress.open.values()):
            seen.partial = seen.judged_s = None  # what was thought to hang has gone on
        if not suspects and seen.quiet_s < soon_s and not respawning:
            self.looks.clear()
            return ""
        if now - self._judged_s < JUDGE_EVERY_S:
            return ""
        self._judged_s = now
        self.looks = [*self.looks[-KEPT_LOOKS:], self._look(now, suspects)]
        seen.verdict = judge(self.looks)
        return self._act_on(seen.verdict, now)

    def _act_on(self, verdict: Verdict, now: float) -> str:
        progress, seen = self.worker.progress, self.seen
        if verdict.state is State.HUNG and seen.partial is None:
            seen.judged_s = now
        if verdict.partial:
            seen.partial = seen.partial or verdict
            return ""
        if verdict.state in (State.WORKING, State.UNDECIDED):
            return ""
        if verdict.state is State.STALLED or verdict.how is How.LOST:
            return self._whose_fault(verdict)
        before_s = progress.last_event_s
        progress.read()  # what was looked at may have moved on while it was looked at
        return "verdict" if progress.last_event_s == before_s else ""

    def _whose_fault(self, verdict: Verdict) -> str:
        """Nothing moves, and nobody holds a request: before the worker is blamed, look at the broker and at our client."""
        progress, before_s = self.worker.progress, self.worker.progress.last_event_s
        if verdict.how is How.LOST and self.seen.dead and self.seen.quiet_s < DEAD_CHILD_S:
            return ""  # the worker will answer in a dead child's place
        if self.seen.quiet_s < STOPPING_S and UNRECOVERABLE in self._log_tail():
            return ""  # the worker is about to end, and then has crashed
        self.seen.census = broker.census(self.work.broker.url, self.queue)
        progress.read()
        if progress.last_event_s != before_s:
            return ""
        if not self.seen.census.answers:
            return "broker-silent"
        if verdict.how is How.LOST and self.seen.census.messages:
            return ""  # the worker has been given it, and may come back to it: a retry that waits for its time
        client = procfs.process(self.client.pid) if self.client is not None else None
        if client is not None and client.state == "R":
            return ""  # it may be late to take the answers that came
        return "client-stopped" if client is not None and client.state in "Tt" else "verdict"

    def _log_tail(self) -> str:
        with contextlib.suppress(OSError):
            return (self.work.folder / "worker.log").read_bytes()[-diagnosis.LOG_TAIL_BYTES :].decode("utf-8", "replace")
        return ""

    def _look(self, now: float, suspects: frozenset[int]) -> Look:
        progress, cell = self.worker.progress, self.work.cell
        alone = "main" if cell.concurrency == 1 else "processes"
        kind = alone if cell.is_baseline else POOLS[cell.pool].executors
        return Look(
            at_s=now,
            ready=progress.ready_at_s is not None,
            last_progress_s=progress.last_event_s or self.seen.started_s,
            waiting=0 if cell.is_baseline else progress.waiting,
            unanswered=0 if cell.is_baseline else progress.unanswered,
            ended=progress.ended,
            stages=tuple(progress.open.values()),
            processes=self.worker.look(closely=suspects),
            pace_s=self.pace_s,
            cold_s=self.work.baseline_first_s,
            furniture=self.furniture,
            dead_children=len(self.seen.dead) - self._dead_before,
            executors=1 if kind == "main" else cell.concurrency,
            executor_kind="threads" if kind == "main" else kind,
        )

    def _keep_evidence(self) -> None:
        """Stacks while the processes still stand, for whatever did not end by itself."""
        seen, folder = self.seen, self.work.evidence
        seen.oom_kills = procfs.oom_kills() - seen.oom_kills
        if seen.ended_by in ("verdict", "limit", "ready-limit", "broker-silent", "client-stopped"):
            verdict = seen.partial or seen.verdict
            seen.evidence = self.worker.evidence(folder, verdict.pids if verdict else (), self._request_id)
        elif seen.ended_by != "done":
            seen.evidence = Evidence(path=diagnosis.keep_log(folder, self.work.folder / "worker.log"))

    def _request_id(self, number: int) -> str:
        return request_id(self.prefix, number)

    def _stop(self) -> None:
        """End client and worker. Ours is killed: nothing is left to learn from it once it has answered, and Celery takes
        seconds to shut down, three and more in green pools.
        """
        if self.client is not None:
            self.client.terminate(grace_s=5.0)
        if hasattr(self, "worker"):
            if self.seen.ended_by == "done":
                self._last_words()
            if self.seen.last is not None and self.worker.poll() is None:
                self.seen.last = self.monitor.sample(self.worker.progress.phase)
            self.worker.stop(at_once=not self._may_say_goodbye())
            self.worker.progress.read()
        self._tidy_broker()

    def _last_words(self) -> None:
        """Wait until the worker has noted the end of what it has answered."""
        until = time.monotonic() + LAST_WORDS_S
        while self.worker.progress.open and self.worker.poll() is None and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)
            self.worker.progress.read()

    def _may_say_goodbye(self) -> bool:
        """Whether the worker gets its time to shut down: where it runs somebody's own application, or uses their broker."""
        theirs = self.work.application is not None or self.work.broker.process is None
        return theirs and self.seen.ended_by in ("done", "interrupted")

    def _tidy_broker(self) -> None:
        """Take our queue and its bindings out of the broker, which may be the user's own."""
        with contextlib.suppress(redis.RedisError):  # the broker may have died; the outcome says so
            broker.forget(self.broker_view, self.queue)
            broker.forget(self.broker_view, f"{self.queue}-template")
            if self.work.application is not None:  # whatever else it left; the broker is ours alone
                self.broker_view.flushdb()
        self.broker_view.close()


def _computes(processes: Sequence[ProcessLook]) -> bool:
    return any(thread.waits_in == "running" for process in processes for thread in process.threads)
