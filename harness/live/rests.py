"""Of what sleeps or stands still without being blocked: whether it goes on by itself, or polls for something, or waits.

A sleep that is shorter than its task's age is one of several: the task looks for something in between, as far as anybody can
tell. One that is longer has lasted from the begin, and ends.
"""

from __future__ import annotations

import struct

from harness.live.executor import State
from harness.live.green_stacks import FOR_OTHERS
from harness.live.tasks import Task
from harness.live.wording import GREENLETS_WAIT, SLEEPS
from harness.machine import procfs, python_memory
from harness.machine.since import last_ran_s

LONG_S = 5.0  # a greenlet of no known age that asks for a shorter sleep may wait for something
MONOTONIC, ABSOLUTE, MOST_CLOCKS = 1, 1, 16  # CLOCK_MONOTONIC and TIMER_ABSTIME of clock_nanosleep(2), and how many clocks
TIME = struct.Struct("<qq")  # struct timespec
POLLS = "{}{:.3g} s at a time, and what it then looks for cannot be read"


def is_one_of_several(sleep_s: float, age_s: float | None) -> bool:
    """Whether a sleep of this length is not the only one of a task of this age.

    >>> is_one_of_several(2.0, 48.0), is_one_of_several(60.0, 48.0), is_one_of_several(2.0, None)
    (True, False, True)
    """
    return sleep_s < (LONG_S if age_s is None else age_s)


def polls(sleep_s: float) -> str:
    """In words, as a doubt."""
    return POLLS.format(SLEEPS, sleep_s)


def greenlet(task: Task, age_s: float | None, *, rests: bool, stood: bool) -> tuple[State, str]:
    """Of one greenlet. `rests`: its loop stands still; `stood`: it stood at the same place at two looks. Beside others that go
    on, one that waits for anybody else waits, and one that reads from a socket or sleeps may go on, too."""
    if not rests and not (stood and task.stand and task.stand.what.startswith(FOR_OTHERS)):
        return State.WORKS, ""
    if task.stand is None:
        return State.UNKNOWN, GREENLETS_WAIT
    if task.stand.sleep_s is None:
        return State.WAITING, "what would end the wait of a greenlet cannot be read from outside"
    if is_one_of_several(task.stand.sleep_s, age_s):
        return State.WAITING, polls(task.stand.sleep_s)
    return State.WORKS, f"{SLEEPS}{task.stand.sleep_s:g} s"


def sleep_s(pid: int, tid: int) -> float | None:
    """How long the sleep is in which a thread stands, in seconds; None if it is in none, or if that cannot be read."""
    call = procfs.call(pid, tid)
    if call is None:
        return None
    place, absolute = 0, False
    if call.kind == "sleep" and call.arguments[0] < MOST_CLOCKS:
        place, absolute = call.arguments[2], bool(call.arguments[1] & ABSOLUTE)
        if absolute and call.arguments[0] != MONOTONIC:
            return None
    elif call.kind == "sleep":
        place = call.arguments[0]
    elif call.kind == "select" and not any(call.arguments[:4]):  # as Python slept before 3.11
        place = call.arguments[4]
    told = _seconds(pid, place) if place else None
    begin_s = last_ran_s(pid, tid) if absolute else 0.0
    return None if told is None or begin_s is None else max(0.0, told - begin_s)


def _seconds(pid: int, place: int) -> float | None:
    try:
        with python_memory.Memory(pid) as memory:
            whole, rest = TIME.unpack(memory.read(place, TIME.size))
    except python_memory.Unreadable:
        return None
    return whole + rest / 1e9 if 0 <= rest < 1_000_000_000 and whole >= 0 else None
