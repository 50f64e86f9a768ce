"""What a trial leaves: plain, frozen values. Nobody who has them sees a live process, and a stored trial leaves the same.

The requests themselves are in two places of the trial's scratch folder (`result`, `events`), for whoever checks them.
Times are CLOCK_MONOTONIC seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.broker import Backlog, Census
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.judge.watchdog import Verdict
from harness.measure import noise
from harness.measure.monitor import Sample, Watched
from harness.observe.diagnosis import Evidence

#: by the user, or since a proof did not stand beside another trial (`standing`): no record is made of it
INTERRUPTED = ("interrupted", "withdrawn")


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How the trial ended. `by`: see `judge.outcome.Observations`; those of INTERRUPTED besides."""

    by: str
    verdict: Verdict | None = None
    partial: Verdict | None = None  # some executors hang while others go on
    judged_s: float | None = None  # when the verdict, or the partial one, was first reached
    withdrawn: tuple[str, ...] = ()  # proofs of a hang that did not stand
    worker_exit: str = ""
    client_exit: str = ""
    no_consumer: str = ""  # why nobody would take the requests of somebody's own application
    unsupported: str = ""  # the layer that the backend cannot build
    never_struck: bool = False  # a fault was to be done from outside, and was not
    log_line: str = ""  # the last of the worker's log that says something
    log_error: str = ""  # the last exception in it
    log_words: str = ""  # its last lines
    log_unread: str = ""  # the exception for which it gave up, if it unpickled what a child had sent
    log_asked: str = ""  # by whom it was asked to shut down, in words
    log_paused: str = ""  # the queue that the worker consumed no longer, for a while at least
    log_serial: str = ""  # what a library says in it of going on with one job
    end: str = ""  # the signal of a crash by which the worker ended once all was answered; '' if it ended well, or was killed
    left_behind: tuple[str, ...] = ()  # native threads of the main process that no child had when the worker was ready
    census: Census | None = None  # what the broker said when the trial stood still
    shared: tuple[str, ...] = ()  # connections that the first children inherited, see `machine.descriptors.inherited`
    oom_kills: int = 0  # during the trial
    oom_counted: str = ""  # where these were counted, see `machine.oom_kills`; '' if that is not known
    evidence: Evidence | None = None
    backlog: tuple[Backlog, ...] = ()  # what other tasks than ours wait in the private broker of somebody's own application
    consumed: tuple[str, ...] | None = None  # the queues that its worker consumes; None if that is not known


@dataclass(frozen=True, kw_only=True)
class Signs:
    """What the events of the trial's processes add up to, see `observe.progress`."""

    started_s: float
    ready_at_s: float | None = None
    last_event_s: float | None = None
    phase: str = ""
    phase_at_s: Mapping[str, float] = field(default_factory=dict)
    published: int = 0
    waiting: int = 0
    has_put_off: bool = False
    #: requests that are to be begun again, and were not when the trial ended, by what their task has done, in words
    put_off: Mapping[str, int] = field(default_factory=dict)
    #: how often each request was put off that was never answered, the fewest first, likewise
    again: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    #: of a pool that has its executors in one process: others in which requests began or ended, forks that went on as workers
    copies: tuple[int, ...] = ()
    quiet_s: float = 0.0
    longest_silence_s: float = 0.0
    load_seconds: Mapping[int, float] = field(default_factory=dict)
    dead: frozenset[int] = frozenset()  # children
    lost: frozenset[int] = frozenset()  # requests that dead processes held


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the monitor read. `before`, `after`: as the measured phase began, and as it ended; `last`: of all."""

    watched: Watched
    before: Sample | None = None
    after: Sample | None = None
    last: Sample | None = None
    kernel_cpu_s: float | None = None
    noise: tuple[noise.Reading, ...] = ()
    depths: tuple[tuple[int, int], ...] = ()  # see broker.depth, sampled in the measured phase


@dataclass(frozen=True, kw_only=True)
class Left:
    """All of it."""

    cell: Cell
    trial: int
    settings: Settings
    ended: Ending
    signs: Signs
    machine: Machine
    result: Path
    events: Path
    baseline_waits: bool = False  # the serial calls of the same cell waited as well
    alone_share: float | None = None  # of the baseline's CPU time that threads of the engine used; None if it told nothing
    usual_s: float | None = None  # of a request, as the calls of its baseline told before; None where they told nothing
    rate_interval_s: float = 0.0  # between two requests, by the task's own rate limit; 0 if it has none

    @property
    def names_moments(self) -> bool:
        """Whether requests may wait for a moment that their own task named, and not for an executor: no stamp tells which."""
        return self.signs.has_put_off or bool(self.rate_interval_s)

    @property
    def interrupted(self) -> bool:
        return self.ended.by in INTERRUPTED

    @property
    def measured_from_s(self) -> float | None:
        return self.signs.phase_at_s.get("measure")

    @property
    def measured_to_s(self) -> float | None:
        """The end of the measured phase; the last event's moment if the trial ended in it."""
        begin_s = self.measured_from_s
        return self.signs.phase_at_s.get("drain") or self.signs.last_event_s or begin_s
