"""What the events of a trial add up to: read from the files that the processes append to, without asking anyone.

The driver reads; workers, baseline and load generator write (`harness.worker.heartbeat`). A request is *waiting* once
published, *open* once a worker began it, *ended* when the worker has done with it, *received* when its answer came.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from harness.records.tail import Tail
from harness.worker import contract

NS = 1e-9
KEPT_DURATIONS = 200
TASKS = ("request", "other")  # kinds of stages that occupy an executor
BEGINS = {
    contract.TASK_BEGIN: "request",
    contract.LOAD_BEGIN: "load",
    contract.PARENT_PREDICT_BEGIN: "parent-predict",
    contract.OTHER_BEGIN: "other",
    contract.START_BEGIN: "start",
}
ENDS = {
    contract.TASK_END: "request",
    contract.LOAD_END: "load",
    contract.PARENT_PREDICT_END: "parent-predict",
    contract.OTHER_END: "other",
    contract.CHILD_INIT: "start",
}
#: events that a request will be begun again -> what its task has done, of several requests, in words
PUT_OFF = {
    contract.RETRIED: "put off by a retry",
    contract.REQUEUED: "put back into the queue by their own task (Reject with requeue)",
    contract.REPLACED: "handed to another task (replace)",
}


@dataclass(frozen=True, kw_only=True)
class TaskPace:
    """What the requests of one task take, in seconds: usually, the first one, the slowest. None while unknown."""

    usual_s: float | None = None
    first_s: float | None = None
    slowest_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class OpenStage:
    """A stage that a process has begun and not ended: a request, a model load, a predict in the parent, or one of these two.

    `start`: a prefork child that does not serve yet. `other`: a task of somebody's own application that is none of our
    requests; its `number` is a counter of its process.
    """

    kind: str
    pid: int
    tid: int
    number: int
    since_s: float
    cold: bool = False  # the first request of its task in its process
    limit_s: float = (
        0.0  # its own time limit, if that is known; in a trial of one task all have the same (`looks.Look.limit_s`)
    )
    ran_s: float | None = None  # when its thread was on a CPU last, if somebody has asked that and the kernel tells
    task: int = 0  # of a request: which task of a mix it is of
    pace: TaskPace | None = None  # of a request in a mix: what those of its task take, instead of what all take


@dataclass
class Progress:
    """Incremental reader of one trial's events. Times are seconds of CLOCK_MONOTONIC."""

    directory: Path
    ready_at_s: float | None = None
    ready_pid: int | None = None  # of the process that said so: the worker's main one
    ran_in: set[int] = field(default_factory=set)  # processes in which requests began or ended
    last_event_s: float | None = None
    silences_s: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})  # see `longest_silence_s`
    published: int = 0
    received: int = 0
    begun: int = 0  # requests: one that is begun a second time counts once
    ended: int = 0
    phase: str = ""
    phase_at_s: dict[str, float] = field(default_factory=dict)
    open: dict[tuple[str, int, int], OpenStage] = field(default_factory=dict)
    slowest_s: float = 0.0  # of the requests that ended
    place_of: Callable[[int], int] = lambda number: 0  # which task of a mix a request is of, by its number
    slowest_of: dict[int, float] = field(default_factory=dict)  # by task
    #: of the last requests that were not the first of their task in a process, by task
    durations_s: dict[int, deque[float]] = field(default_factory=dict)
    warm: set[tuple[int, int]] = field(default_factory=set)  # (process, task) of the requests that have ended
    load_seconds: dict[int, float] = field(default_factory=dict)
    child_pids: set[int] = field(default_factory=set)  # that began to serve, or that the kernel shows; the worker's own too
    put_off: dict[int, int] = field(default_factory=dict)  # requests that will be begun again -> the kind of event that said so
    ignored: set[int] = field(default_factory=set)  # requests that are never answered, on purpose
    has_put_off: bool = False  # whether any request was ever put off
    #: how often each request was put off whose answer has not come, by its number and the kind of event that said so
    again: Counter[tuple[int, int]] = field(default_factory=Counter)
    unsupported: str | None = None
    _begun: bytearray = field(default_factory=bytearray)  # by number: 1 for a request that was begun
    _received: bytearray = field(default_factory=bytearray)  # likewise, whose answer has come
    _tail: Tail = field(init=False)

    def __post_init__(self) -> None:
        self._tail = Tail(self.directory)

    @property
    def waiting(self) -> int:
        """Requests that were published and that no worker has begun."""
        return max(0, self.published - self.begun)

    @property
    def usual_s(self) -> float | None:
        """Median duration of the last requests in a worker, without the first of each process; None while none has ended. In a
        mix, that of the task whose requests take longest."""
        return max((usual_s for task in self.durations_s if (usual_s := self.usual_of(task)) is not None), default=None)

    def usual_of(self, task: int) -> float | None:
        """Likewise, of one task."""
        return statistics.median(known) if (known := self.durations_s.get(task)) else None

    @property
    def starting(self) -> bool:
        """Whether a process is at what it does only once: it starts, loads, or runs its first request."""
        return any(stage.kind not in TASKS or (stage.kind == "request" and stage.cold) for stage in self.open.values())

    @property
    def longest_silence_s(self) -> float:
        """The longest silence since READY that ended with progress: of any, while a process is `starting`; else of those in
        which none was, for a first load that took a minute says nothing of the requests after it."""
        return max(self.silences_s.values()) if self.starting else self.silences_s[False]

    @property
    def busy(self) -> Counter[tuple[int, int]]:
        """How many tasks each executor, (pid, tid), has begun and not ended: our requests and any other. All greenlets of a
        process are one thread."""
        return Counter((stage.pid, stage.tid) for stage in self.open.values() if stage.kind in TASKS)

    def begun_again(self) -> dict[str, tuple[int, ...]]:
        """How often each request was put off whose answer has not come, the fewest first, by what its task did, in words."""
        found: dict[str, list[int]] = {}
        for (_, kind), count in self.again.items():
            found.setdefault(PUT_OFF[kind], []).append(count)
        return {said: tuple(sorted(counts)) for said, counts in found.items()}

    @property
    def unanswered(self) -> int:
        """Requests that no worker holds, has put off or has yet to begin, and whose answer has not come."""
        held = sum(kind == "request" for kind, _, _ in self.open) + len(self.put_off)
        return max(0, self.published - self.received - self.waiting - held - len(self.ignored))

    def read(self) -> bool:
        """Take in what was appended since the last call; whether there was anything."""
        events = self.new_events()
        for event in sorted(events, key=lambda event: event.at_ns):
            self._take(event)
        return bool(events)

    def new_events(self) -> list[contract.Event]:
        """What was appended since the last call, in no order."""
        return self._tail.new()

    def _take(self, event: contract.Event) -> None:
        at_s = event.at_ns * NS
        idle = self.published <= self.received
        if event.kind == contract.PUBLISHED and idle:  # until now there was nothing to make progress with
            self.last_event_s = max(at_s, self.last_event_s or at_s)
        if event.kind not in (contract.PUBLISHED, contract.WITHDRAWN):  # sending is not progress
            before_s = self.last_event_s or at_s
            if self.ready_at_s is not None:
                self.silences_s[self.starting] = max(self.silences_s[self.starting], at_s - before_s)
            self.last_event_s = max(at_s, before_s)
        if event.kind == contract.PUBLISHED:
            self.published += 1
        elif event.kind == contract.RECEIVED:
            self.received += 1
            self.put_off.pop(event.number, None)
            for kind in PUT_OFF:
                self.again.pop((event.number, kind), None)
            self.ignored.discard(event.number)
            self._is_new(self._received, event.number)
        elif event.kind == contract.WITHDRAWN:
            self.published -= 1
        elif event.kind == contract.PHASE:
            self.phase = contract.PHASES[event.number]
            self.phase_at_s[self.phase] = at_s
        elif event.kind == contract.READY:
            self.ready_at_s, self.ready_pid = at_s, event.pid
        elif event.kind == contract.IMPORT_BEGIN:
            self.child_pids.add(event.pid)
        elif event.kind in PUT_OFF:
            self.put_off[event.number] = event.kind
            self.again[event.number, event.kind] += 1
            self.has_put_off = True
        elif event.kind == contract.IGNORED:
            self._ignore(event.number)
        elif event.kind == contract.UNSUPPORTED:
            self.unsupported = (self.directory / "unsupported.txt").read_text().strip()
        else:
            self._stage(event, at_s)

    def _stage(self, event: contract.Event, at_s: float) -> None:
        if event.kind in (contract.TASK_BEGIN, contract.TASK_END):
            self.ran_in.add(event.pid)
        if event.kind in (contract.START_BEGIN, contract.CHILD_INIT):
            self.child_pids.add(event.pid)
        if event.kind in BEGINS:
            kind = BEGINS[event.kind]
            self.begun += kind == "request" and self._is_new(self._begun, event.number)
            if kind == "request":
                self.put_off.pop(event.number, None)
            task = self.place_of(event.number) if kind == "request" else 0
            self.open[kind, event.pid, event.number] = OpenStage(
                kind=kind, pid=event.pid, tid=event.tid, number=event.number, since_s=at_s, task=task,
                cold=(event.pid, task) not in self.warm,
            )  # fmt: skip
        elif event.kind in ENDS:
            kind = ENDS[event.kind]
            stage = self.open.pop((kind, event.pid, event.number), None)
            self.ended += kind == "request"
            if kind == "request" and stage is not None:
                self._took(stage, at_s - stage.since_s)
            if kind == "load" and stage is not None:
                self.load_seconds[event.pid] = at_s - stage.since_s

    def _took(self, stage: OpenStage, seconds: float) -> None:
        """A request has ended."""
        self.warm.add((stage.pid, stage.task))
        if not stage.cold:
            self.durations_s.setdefault(stage.task, deque(maxlen=KEPT_DURATIONS)).append(seconds)
        self.slowest_s = max(self.slowest_s, seconds)
        self.slowest_of[stage.task] = max(self.slowest_of.get(stage.task, 0.0), seconds)

    def _ignore(self, number: int) -> None:
        """A request that is never answered: one that was revoked is never begun either, and no longer waits."""
        self.begun += self._is_new(self._begun, number)
        self.put_off.pop(number, None)
        if number >= len(self._received) or not self._received[number]:
            self.ignored.add(number)

    @staticmethod
    def _is_new(seen: bytearray, number: int) -> bool:
        """Whether a request's number is met for the first time; noted."""
        if number >= len(seen):
            seen.extend(bytes(number + 1024 - len(seen)))
        first, seen[number] = not seen[number], 1
        return first

    def task_of(self, stage: OpenStage) -> str:
        """The name of a task that is none of our requests; '' where it is not known."""
        path = self.directory / contract.OTHERS_FILE_NAME.format(pid=stage.pid)
        lines = path.read_text().splitlines() if stage.kind == "other" and path.exists() else []
        return next((name for number, _, name in (line.partition(" ") for line in lines) if number == str(stage.number)), "")

    def forget(self, pids: set[int]) -> list[OpenStage]:
        """Close the stages of processes that are dead; the stages that were lost so."""
        lost = [stage for stage in self.open.values() if stage.pid in pids]
        self.open = {key: stage for key, stage in self.open.items() if stage.pid not in pids}
        return lost

    def quiet_s(self, now_s: float | None = None) -> float:
        """Seconds since the last sign of progress."""
        now_s = time.monotonic() if now_s is None else now_s
        return now_s - self.last_event_s if self.last_event_s is not None else 0.0
