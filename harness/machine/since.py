"""Since when a thread has not run, and a process has been there: on the clock of everything else, CLOCK_MONOTONIC."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from harness.machine import procfs

CPU_AT = 36  # of the fields behind a thread's name
TRIES = 3  # a thread that runs meanwhile may change its CPU


def last_ran_s(pid: int, tid: int) -> float | None:
    """The CLOCK_MONOTONIC second at which a thread was on a CPU last, or a little later; None where nobody can tell.

    `se.exec_start` is in ms of the scheduler's clock of the CPU on which it ran (kernel/sched/core.c, update_rq_clock_task).
    That leaves out what interrupts took there, and what a hypervisor stole: after a day, the clocks of two CPUs were seen to
    differ by half a second. So it is compared with our own thread's on the same CPU. What was stolen since then makes the
    thread seem to have run later than it has, and never earlier.
    """
    for _ in range(TRIES):
        cpu, theirs = _cpu(pid, tid), _exec_start_s(f"/proc/{pid}/task/{tid}/sched")
        if cpu is None or theirs is None:
            return None
        with _on(cpu) as there:
            ours, now_s = _exec_start_s("/proc/thread-self/sched") if there else None, time.monotonic()
        if _cpu(pid, tid) == cpu:
            return None if ours is None else now_s - max(0.0, ours - theirs)
    return None


@contextmanager
def _on(cpu: int) -> Iterator[bool]:
    """Run our own thread there for a moment; False if it may not."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def _cpu(pid: int, tid: int) -> int | None:
    """The CPU on which a thread ran last: field 39 of /proc/PID/task/TID/stat, see proc_pid_stat(5)."""
    fields = (procfs.read(f"/proc/{pid}/task/{tid}/stat") or "").rpartition(")")[2].split()
    return int(fields[CPU_AT]) if len(fields) > CPU_AT else None


def _exec_start_s(path: str) -> float | None:
    for line in (procfs.read(path) or "").splitlines():
        if line.startswith("se.exec_start"):
            return float(line.rpartition(":")[2]) / 1e3
    return None


def here_s(pid: int, at_s: float) -> float | None:
    """A CLOCK_MONOTONIC second of a process by our own clock; they differ if it is in another time namespace, as after a CRIU
    restore (time_namespaces(7), Linux 5.6). None if that cannot be told: the file tells of the namespace of its children."""
    spaces = [procfs.link(f"/proc/{one}/ns/time") for one in ("self", pid)]
    if spaces[0] == spaces[1]:
        return at_s
    if not spaces[1] or procfs.link(f"/proc/{pid}/ns/time_for_children") != spaces[1]:
        return None
    if spaces[0] != procfs.link("/proc/self/ns/time_for_children"):
        return None
    ours, theirs = _offset_s("self"), _offset_s(pid)
    return None if ours is None or theirs is None else at_s - theirs + ours


def _offset_s(pid: int | str) -> float | None:
    """By how much the clock of its time namespace is ahead of the first one's."""
    for line in (procfs.read(f"/proc/{pid}/timens_offsets") or "").splitlines():
        name, *numbers = line.split()
        if name == "monotonic" and len(numbers) == 2:
            return int(numbers[0]) + int(numbers[1]) / 1e9
    return None


def started_s(pid: int) -> float | None:
    """The CLOCK_MONOTONIC second at which a process was started; None once it has gone."""
    stat = procfs.process(pid)
    if stat is None:
        return None
    return stat.started_ticks * procfs.TICK_S - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()
