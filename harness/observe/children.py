"""The children of a pool, as the kernel tells: one that dies in its import never says that it was there."""

from __future__ import annotations

from harness.machine import procfs

SPAWNED = "billiard.spawn"  # in the command line of a spawned child (billiard/spawn.py, get_command_line)


def of_pool(main: int) -> frozenset[int]:
    """The living children of a worker's main process that it forked, or that billiard spawned; no program that it started."""
    return frozenset(pid for pid in procfs.children(main) if _is_of_pool(pid))


def _is_of_pool(pid: int) -> bool:
    stat = procfs.process(pid)
    return stat is not None and (stat.forked or SPAWNED in (procfs.read(f"/proc/{pid}/cmdline") or ""))
