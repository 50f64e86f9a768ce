"""Of a greenlet that sleeps or stands still without being blocked: whether it goes on by itself, or polls, or waits.

A long sleep ends by itself. Short ones in a row poll for something.
"""

from __future__ import annotations

from harness.live.executor import State
from harness.live.green_stacks import FOR_OTHERS
from harness.live.tasks import Task
from harness.live.wording import APART_WAITS, GREENLETS_WAIT, SLEEPS

LONG_S = 5.0  # a greenlet that asks for a shorter sleep again and again may wait for something


def greenlet(task: Task, *, rests: bool, stood: bool) -> tuple[State, str]:
    """Of one greenlet. `rests`: its loop stands still; `stood`: it stood at the same place at two looks. Beside others that go
    on, one that waits for anybody else waits, and one that reads from a socket or sleeps may go on, too."""
    if not rests and not (stood and task.stand and task.stand.what.startswith(FOR_OTHERS)):
        return State.WORKS, ""
    if task.stand is None:
        return State.UNKNOWN, GREENLETS_WAIT
    if task.stand.sleep_s is None:
        return State.WAITING, "what would end the wait of a greenlet cannot be read from outside"
    if task.stand.sleep_s < LONG_S:
        return State.WAITING, f"{SLEEPS}{task.stand.sleep_s:.3g} s at a time, and what it then looks for cannot be read"
    return State.WORKS, f"{SLEEPS}{task.stand.sleep_s:g} s"


def apart(stands: bool) -> tuple[State, str]:
    """Of a task in a pool of threads that uses greenlets of its own. `stands`: its process uses next to no CPU."""
    return (State.UNKNOWN, APART_WAITS) if stands else (State.WORKS, "")
