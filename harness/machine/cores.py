"""The cores that this run may use, and how long each of them was busy with whatever program.

Two things bound what may be used: the affinity (which cores), and the CPU quota of the control groups (how much of the time,
see `cpu_quota`). With a quota of 1.5, two cores are 1.5 usable cores.

The kernel's own figures, from /proc/stat, in clock ticks (10 ms). How exact they are is the kernel's choice: with tick based
accounting, a program that always sleeps when the tick strikes is not seen at all. What our own programs used is read
from their clocks instead (`monitor`), to the nanosecond.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from harness.machine import cpu_quota, procfs

#: every core, on a system that knows no affinity: runs are refused there by name, and what only reads works
AVAILABLE = tuple(sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))


@dataclass(frozen=True, kw_only=True)
class CoreTimes:
    """Seconds since boot: how long each core of AVAILABLE was busy, in that order, and of it stolen by the hypervisor."""

    busy_s: tuple[float, ...]
    steal_s: tuple[float, ...]


def quota() -> float | None:
    """Cores that the control groups allow; None without a quota."""
    return cpu_quota.smallest(cpu_quota.here())


def usable(count: int, quota: float | None) -> float:
    """Of so many cores, with this quota; whole numbers as such.

    >>> usable(2, None), usable(4, 2.0), usable(2, 1.5)
    (2, 2, 1.5)
    """
    if quota is None or quota >= count:
        return count
    return int(quota) if quota == int(quota) else quota


def fill(usable: float) -> int:
    """So many single threads are needed to use them all; at least 1.

    Rounded up: with fewer, a part of the quota could not be used. One thread too many only shares what there is.

    >>> fill(2), fill(1.5), fill(0.5)
    (2, 2, 1)
    """
    return max(1, math.ceil(usable - 1e-9))


def to_fill() -> int:
    """So many single threads use all that this process, and so all that it starts, may use."""
    return fill(usable(len(AVAILABLE), quota()))


def read() -> CoreTimes:
    """Look once. Fields as in proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user."""
    rows = [line.split() for line in (procfs.read("/proc/stat") or "").splitlines() if line.startswith("cpu")]
    times = {row[0]: [int(field) * procfs.TICK_S for field in row[1:9]] for row in rows}
    mine = [times.get(f"cpu{core}", [0.0] * 8) for core in AVAILABLE]
    return CoreTimes(
        busy_s=tuple(sum(row) - row[3] - row[4] for row in mine),
        steal_s=tuple(row[7] for row in mine),
    )
