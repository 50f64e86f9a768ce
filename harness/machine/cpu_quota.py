"""The CPU quota of our control groups, and the time for which it held their threads back.

A group with a quota may use so much core time in each period (100 ms if nobody says otherwise); once it is used up, none of its
threads runs until the next period. The quota of every group on the path to the root holds, so that the smallest counts.

    version 1   cpu.cfs_quota_us (-1: none) over cpu.cfs_period_us; cpu.stat has throttled_time in nanoseconds, and
                cpuacct.usage what the group used, if that controller is mounted at the same place (it usually is)
    version 2   cpu.max: 'QUOTA PERIOD' in microseconds, or 'max PERIOD'; cpu.stat has throttled_usec and usage_usec

Throttled time is counted core by core: two cores that are both held back for a second are two seconds. Sources: the kernel's
Documentation/scheduler/sched-bwc.rst and Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.machine import cgroups, procfs
from harness.machine.cgroups import Standing


@dataclass(frozen=True, kw_only=True)
class Throttle:
    """What one group's quota has done since the group was made. `level`: 0 is our own group, 1 its parent, and so on. A group
    that counts no `periods` at all does not count: we run in it."""

    level: int
    quota: float | None  # cores
    periods: int
    throttled_periods: int
    throttled_s: float
    used_s: float | None = None  # core-seconds of all that ever ran in the group; None if it does not show them


def smallest(standing: Standing | None) -> float | None:
    """Cores that the groups of this standing allow, such as 1.5; None if none of them has a quota."""
    quotas = [_quota(group, standing.version) for group in standing.groups] if standing else []
    return min((one for one in quotas if one is not None), default=None)


def here() -> Standing | None:
    """Where this process stands with its CPU time."""
    return cgroups.standing("cpu")


def throttles(standing: Standing | None) -> tuple[Throttle, ...]:
    """Of every group on the path that has a quota, or had one; our own first."""
    found = [_throttle(level, group, standing.version) for level, group in enumerate(standing.groups)] if standing else []
    return tuple(one for one in found if one.quota is not None or one.throttled_periods)


def _quota(group: Path, version: int) -> float | None:
    if version == 2:
        words = (procfs.read(str(group / "cpu.max")) or "").split()
    else:
        words = [(procfs.read(str(group / f"cpu.cfs_{name}_us")) or "").strip() for name in ("quota", "period")]
    try:
        quota, period = map(int, words)
    except ValueError:  # 'max', or there are no such files, as in the root of version 2
        return None
    return quota / period if quota > 0 and period > 0 else None


def _throttle(level: int, group: Path, version: int) -> Throttle:
    name, unit_s = ("throttled_usec", 1e-6) if version == 2 else ("throttled_time", 1e-9)
    stat = group / "cpu.stat"
    periods, throttled, time = (cgroups.number(stat, word) or 0 for word in ("nr_periods", "nr_throttled", name))
    used = cgroups.number(stat, "usage_usec") if version == 2 else _whole(group / "cpuacct.usage")
    return Throttle(
        level=level, quota=_quota(group, version), periods=periods, throttled_periods=throttled, throttled_s=time * unit_s,
        used_s=used * unit_s if used is not None else None,
    )  # fmt: skip


def _whole(path: Path) -> int | None:
    text = (procfs.read(str(path)) or "").strip()
    return int(text) if text.isdigit() else None
