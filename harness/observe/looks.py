"""What the watchdog sees: the worker's processes, their threads and greenlets, and the open requests, at moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.machine.procfs import Thread
from harness.observe.progress import OpenStage, TaskPace
from harness.observe.roles import Role

FAST_PATIENCE_S = 1.5  # for requests that take up to half a second
UNKNOWN_PATIENCE_S = 4.0  # where no duration is known yet
PACE_FACTOR = 3.0  # a slower request is overdue after so many of its usual durations;
LONG_FACTOR, LONG_MORE_S = 1.5, 30.0  # one of more than 20 s after so many and so many seconds: it is not three times as late
WINDOW_S = 1.0  # every look over this long must agree
MIN_LOOKS = 4
IDLE_CPU = 0.03  # cores; a hung TensorFlow child with its periodic sleeper was seen at 0.00
READY_SHARE = 0.9  # of the looks
GIL_WAKES = 20.0  # per second: CPython asks for the GIL 200 times, but a busy machine wakes it later


@dataclass(frozen=True, kw_only=True)
class Greenlet:
    """A suspended greenlet: the request it runs, and whether it waits for a lock without a time limit; `foreign` if
    it runs other code than Celery's own and the green library's."""

    request: int | None
    on_lock: bool
    foreign: bool


@dataclass(frozen=True, kw_only=True)
class ProcessLook:
    """One process of the worker's tree at one moment. `cpu_s` includes the children it has waited for.

    From glances into its Python stacks, None while nobody has looked: `python_tids`, its threads that run other code
    than Celery's own; `own_tids`, those that are Celery's own; `gil_owner`; `python_data`, if there is one, from where to where
    the interpreter's own data lie, the GIL among them; `functions`, the innermost Python frame of each thread, with how many
    glances in a row have shown it; `lost_native`, whether some of the threads that it lost ran no
    Python. `lost_threads`: it was forked, and lacks threads that its parent has. `caught`: the signals that it has handlers
    for, `new_signals`: those that it has had only since the worker was ready, and those whose handlers are the application's;
    `untold_signals`: those of which nobody can say whose their handlers are; `timer_signals`: those that its timers send.
    `hooks`: what of the application's the worker's own loop calls, in words. `role`: what it does, if a glance showed it;
    `tracing`: the threads in which Celery's tracer runs. `frozen`: the file that thaws it, if its control group is frozen; ''
    if it is not, or if nobody looked.
    """

    pid: int
    cpu_s: float
    children: tuple[int, ...]
    threads: tuple[Thread, ...]
    python_tids: frozenset[int] | None = None
    own_tids: frozenset[int] = frozenset()
    gil_owner: int | None = None
    python_data: tuple[tuple[int, int], ...] = ()
    functions: Mapping[int, tuple[str, int]] = field(default_factory=dict)
    lost_threads: bool = False
    lost_native: bool | None = None
    caught: frozenset[int] = frozenset()
    new_signals: frozenset[int] = frozenset()
    untold_signals: frozenset[int] = frozenset()
    timer_signals: frozenset[int] = frozenset()
    hooks: tuple[str, ...] = ()
    role: Role = Role.UNKNOWN
    tracing: frozenset[int] = frozenset()
    greenlets: tuple[Greenlet, ...] | None = None
    frozen: str = ""


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything the judge sees at one moment; times are CLOCK_MONOTONIC seconds.

    `pace_s`: what a request usually takes, in a mix one of the longest task (`pace_of` knows each); `cold_s`: what the first
    one of a process took in the baseline; `slowest_s`: the slowest right answer of any row, there or here; None while unknown.
    `limit_s`: the application's own time limit, which cuts a request off; 0 if it has none. `rate_limited`: its task waits on
    purpose; `put_off_s`: so long after its sending a message does. `furniture` maps a thread to what it waited in when the
    worker was ready and idle. `waiting`: published, not begun; `unanswered`: ended by a worker, answer not received.
    """

    at_s: float
    ready: bool
    last_progress_s: float
    waiting: int
    ended: int
    stages: tuple[OpenStage, ...]
    processes: tuple[ProcessLook, ...]
    pace_s: float | None = None
    cold_s: float | None = None
    slowest_s: float | None = None
    limit_s: float = 0.0
    rate_limited: bool = False
    put_off_s: float = 0.0
    unanswered: int = 0
    furniture: Mapping[int, str] = field(default_factory=dict)
    dead_children: int = 0  # since the last answer
    executors: int = 1
    executor_kind: str = "processes"

    @property
    def patience_s(self) -> float:
        return patience_s(self.pace_s)

    def pace_of(self, stage: OpenStage) -> TaskPace:
        """What is known of requests like this one: of its own task's, in a mix."""
        return stage.pace or TaskPace(usual_s=self.pace_s, first_s=self.cold_s, slowest_s=self.slowest_s)

    def overdue(self, stage: OpenStage) -> bool:
        return self.at_s - stage.since_s >= patience_s(self.pace_of(stage).usual_s)


def patience_s(pace_s: float | None) -> float:
    """Seconds after which an open request is overdue.

    >>> patience_s(0.001), patience_s(2.0), patience_s(300.0), patience_s(None)
    (1.5, 6.0, 480.0, 4.0)
    """
    if pace_s is None:
        return UNKNOWN_PATIENCE_S
    return max(FAST_PATIENCE_S, min(PACE_FACTOR * pace_s, LONG_FACTOR * pace_s + LONG_MORE_S))


def window(looks: Sequence[Look]) -> list[Look]:
    """The last looks, reaching back just over WINDOW_S."""
    end = looks[-1].at_s
    inside = [look for look in looks if look.at_s >= end - WINDOW_S]
    older = looks[: len(looks) - len(inside)]
    return [*older[-1:], *inside]


def agree_long_enough(looks: Sequence[Look], now_s: float) -> bool:
    return len(looks) >= MIN_LOOKS and now_s - looks[0].at_s >= WINDOW_S


def any_runs(processes: Sequence[ProcessLook]) -> bool:
    """Whether a thread of these is on a core, or would be."""
    return any(thread.waits_in == "running" for process in processes for thread in process.threads)


def computes(history: Sequence[Thread], seconds: float, cores: float) -> bool:
    """Whether a thread used so many cores over these looks, or would have, but lacked a core or the GIL at nearly every one.

    What polls with a time limit looks as if it lacked the GIL, but uses next to nothing.
    """
    used_s = history[-1].cpu_s - history[0].cpu_s
    gil = history[-1].switches - history[0].switches >= GIL_WAKES * seconds and used_s >= IDLE_CPU * seconds
    ready = sum(one.waits_in == "running" or (gil and one.waits_in == "futex" and one.timed) for one in history)
    return used_s >= cores * seconds or ready >= READY_SHARE * len(history)
