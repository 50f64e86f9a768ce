"""Since when a thread has not run, and a process has been there: on the clock of everything else, CLOCK_MONOTONIC."""

from __future__ import annotations

import time

from harness.machine import procfs


def last_ran_s(pid: int, tid: int) -> float | None:
    """The CLOCK_MONOTONIC second at which a thread was on a CPU last; None where the kernel does not tell.

    `se.exec_start` is in ms of the scheduler's clock, which leaves out the time that a hypervisor stole: our own thread, which
    runs now, tells by how much the two differ.
    """
    theirs, ours = (_exec_start_s(f"/proc/{path}/sched") for path in (f"{pid}/task/{tid}", "thread-self"))
    return None if theirs is None or ours is None else time.monotonic() - max(0.0, ours - theirs)


def _exec_start_s(path: str) -> float | None:
    for line in (procfs.read(path) or "").splitlines():
        if line.startswith("se.exec_start"):
            return float(line.rpartition(":")[2]) / 1e3
    return None


def started_s(pid: int) -> float | None:
    """The CLOCK_MONOTONIC second at which a process was started; None once it has gone."""
    stat = procfs.process(pid)
    if stat is None:
        return None
    return stat.started_ticks * procfs.TICK_S - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()
