"""Whether the processes of a worker have run since the last round: one counter each, a few microseconds.

A thread that has not run is where it was, and does what it did; what was found of it holds on.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.machine import procfs

NS = 10**9
DEAD = "ZX"  # it has ended, and nobody has waited for it yet
Counters = Mapping[int, int]  # process -> nanoseconds on a CPU


def counters(main: int) -> Counters:
    """Of the main process and its children; of these the main thread alone counts, which runs the tasks: a library's own
    threads may move while it stands still. {} once the worker has ended."""
    whole, stat = _process_ns(main), procfs.process(main)
    if whole is None or stat is None or stat.state in DEAD:
        return {}
    return {main: whole, **{pid: _main_thread_ns(pid) for pid in procfs.children(main)}}


def _process_ns(pid: int) -> int | None:
    """Of all its threads (clock_getcpuclockid(3), as in `procfs`); None once it has gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | procfs.CPUCLOCK_SCHED)
    except OSError:
        return None


def _main_thread_ns(pid: int) -> int:
    """By /proc/PID/schedstat, which is its main thread's; by the ticks of its stat where the kernel has no such file."""
    if text := procfs.read(f"/proc/{pid}/schedstat"):
        return int(text.split()[0])
    stat = procfs.process(pid)
    return round(stat.own_cpu_s * NS) if stat else 0


@dataclass
class Pulse:
    """By process: its counter, and since when (seconds of the caller's clock) that has not changed."""

    known: dict[int, tuple[int, float]] = field(default_factory=dict)

    def beat(self, found: Counters, now_s: float) -> frozenset[int]:
        """Take the counters of a round; the processes that have run, or are new."""
        moved = frozenset(pid for pid, count in found.items() if self.known.get(pid, (-1, 0.0))[0] != count)
        self.known = {pid: (count, now_s if pid in moved else self.known[pid][1]) for pid, count in found.items()}
        return moved

    def still(self, now_s: float, least_s: float) -> frozenset[int]:
        """The processes that have stood still for so long."""
        return frozenset(pid for pid, (_, since_s) in self.known.items() if now_s - since_s >= least_s)

    def since_s(self, pid: int) -> float | None:
        """Since when a process has stood still, as far as the rounds tell: it ran at most one round earlier."""
        return self.known[pid][1] if pid in self.known else None
