"""Whether a process is halted: stopped by a signal, or frozen with its control group. Pure functions over looks at it.

One moment does not tell: what is stopped and continued in turns (cpulimit does that) is met stopped at look after look, and
goes on all the same. The kernel counts each stop as a switch, so that a thread which was continued in between shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum

from harness.machine.procfs import Thread
from harness.observe.looks import ProcessLook

STOPPED = "T"  # the state of a thread that a signal has stopped, see proc(5)


class Halt(Enum):
    """What a row of looks at one process shows."""

    NONE = "it was never halted"
    STOPPED = "a signal had stopped it at the first look, and it has not moved since"
    FROZEN = "its control group was frozen at the first look, and it has not moved since"
    NEW = "it ran at the first look, was halted then, and has not moved since"
    TURNS = "it was halted, and went on"


def halt(seen: Sequence[ProcessLook]) -> Halt:
    """What these looks at one process show, in the order of time."""
    held = [_is_held(one) for one in seen]
    if not any(held):
        return Halt.NONE
    begin = held.index(True)
    if not all(held[begin:]) or not _unmoved(seen[begin:]):
        return Halt.TURNS
    if begin:
        return Halt.NEW
    return Halt.FROZEN if all(one.frozen for one in seen) else Halt.STOPPED


def halt_of(pid: int, looks: Iterable[Iterable[ProcessLook]]) -> Halt:
    """The same of one process among others; each look at all of them, in the order of time."""
    return halt([one for processes in looks for one in processes if one.pid == pid])


def is_stopped(history: Sequence[Thread]) -> bool:
    """Whether a signal had stopped a thread at the first look, and it has not moved since."""
    return all(one.state == STOPPED for one in history) and stays(history)


def stays(history: Sequence[Thread]) -> bool:
    """Whether a thread neither ran nor was switched to, from the first look to the last."""
    return len({(one.switches, one.cpu_s) for one in history}) == 1


def _is_held(look: ProcessLook) -> bool:
    return bool(look.frozen) or (bool(look.threads) and all(one.state == STOPPED for one in look.threads))


def _unmoved(seen: Sequence[ProcessLook]) -> bool:
    """Whether it has the same threads all the while, and each of them stays."""
    return len({frozenset((one.tid, one.switches, one.cpu_s) for one in look.threads) for look in seen}) == 1
