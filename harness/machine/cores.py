"""The cores that this run may use, and how long each of them was busy with whatever program.

The kernel's own figures, from /proc/stat, in clock ticks (10 ms). How exact they are is the kernel's choice: with tick based
accounting, a program that always sleeps when the tick strikes is not seen at all. What our own programs used is read
from their clocks instead (`monitor`), to the nanosecond.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from harness.machine import procfs

AVAILABLE = tuple(sorted(os.sched_getaffinity(0)))


@dataclass(frozen=True, kw_only=True)
class CoreTimes:
    """Seconds since boot: how long each core of AVAILABLE was busy, in that order, and of it stolen by the hypervisor."""

    busy_s: tuple[float, ...]
    steal_s: tuple[float, ...]


def read() -> CoreTimes:
    """Look once. Fields as in proc(5): user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user."""
    rows = [line.split() for line in (procfs.read("/proc/stat") or "").splitlines() if line.startswith("cpu")]
    times = {row[0]: [int(field) * procfs.TICK_S for field in row[1:9]] for row in rows}
    mine = [times.get(f"cpu{core}", [0.0] * 8) for core in AVAILABLE]
    return CoreTimes(
        busy_s=tuple(sum(row) - row[3] - row[4] for row in mine),
        steal_s=tuple(row[7] for row in mine),
    )
