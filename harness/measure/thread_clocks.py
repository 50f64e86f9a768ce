"""What each thread of a process tree used of the cores, waited for one, and was pushed off one, in a span of time.

Read from /proc/PID/task/TID/schedstat (nanoseconds on a core, nanoseconds runnable and waiting for a core) and status
(involuntary switches: the scheduler took the core away from a thread that could go on). Two files a thread, and ML
libraries keep dozens of threads a process: they are read as the measured phase begins and ends, and now and then between,
so that a thread that comes and goes meanwhile is not missed altogether.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from harness.machine import procfs


@dataclass(frozen=True, kw_only=True)
class ThreadUse:
    """One thread's seconds on a core, seconds of waiting for one, and involuntary switches. `name` is the kernel's, and so is
    `cpus`, the cores that it may use: '0-1', '3'; '' if that was not read."""

    pid: int
    tid: int
    name: str
    cpu_s: float
    wait_s: float
    involuntary: int
    cpus: str = ""


def read(pid: int) -> list[ThreadUse]:
    """All threads of a process, since each began; without those that just ended or that may not be read."""
    return [use for tid in procfs.numbers(f"/proc/{pid}/task") if (use := _thread(pid, tid))]


def _thread(pid: int, tid: int) -> ThreadUse | None:
    base = f"/proc/{pid}/task/{tid}"
    clocks, status = procfs.read(f"{base}/schedstat"), procfs.read(f"{base}/status")
    if not clocks or not status:
        return None
    cpu_ns, wait_ns, _ = clocks.split()
    return ThreadUse(
        pid=pid,
        tid=tid,
        name=status[len("Name:\t") : status.index("\n")],
        cpu_s=int(cpu_ns) / 1e9,
        wait_s=int(wait_ns) / 1e9,
        involuntary=int(status[status.rindex(":") + 1 :]),  # nonvoluntary_ctxt_switches is the last line
        cpus=status.partition("Cpus_allowed_list:\t")[2].partition("\n")[0],
    )


class ThreadLedger:
    """The threads of a tree from the first reading to the last one."""

    def __init__(self) -> None:
        self.readings = 0
        self.begin_s = self.end_s = 0.0
        self._before: dict[tuple[int, int], ThreadUse] = {}
        self._last: dict[tuple[int, int], ThreadUse] = {}

    def take(self, pids: Iterable[int], at_s: float) -> None:
        """Read them all. A thread that was not there at the first reading began at nothing."""
        found = {(use.pid, use.tid): use for pid in pids for use in read(pid)}
        if not self.readings:
            self._before, self.begin_s = found, at_s
        self._last |= found
        self.readings, self.end_s = self.readings + 1, at_s

    def spent(self) -> list[ThreadUse]:
        """What each thread used between the first reading and the last in which it was seen; [] before there are two."""
        if self.readings < 2:
            return []
        return [_since(self._before.get(key), use) for key, use in self._last.items()]


def _since(before: ThreadUse | None, now: ThreadUse) -> ThreadUse:
    """A thread whose clock went back is another one with the same number."""
    if before is None or before.cpu_s > now.cpu_s:
        return now
    return replace(
        now,
        cpu_s=now.cpu_s - before.cpu_s,
        wait_s=now.wait_s - before.wait_s,
        involuntary=now.involuntary - before.involuntary,
    )
