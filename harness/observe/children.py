"""The children of a pool, as the kernel tells: one that dies in its import never says that it was there."""

from __future__ import annotations

from collections.abc import Collection

from harness.machine import procfs

SPAWNED = "billiard.spawn"  # in the command line of a spawned child (billiard/spawn.py, get_command_line)


def of_pool(main: int, known: Collection[int] = ()) -> frozenset[int]:
    """The living children of a worker's main process that it forked, or that billiard spawned; no program that it started.
    Those that are `known` to be some are not looked at again: a watcher asks ten times a second.
    """
    return frozenset(pid for pid in procfs.children(main) if pid in known or is_of_pool(pid))


def is_of_pool(pid: int) -> bool:
    """Whether a process was forked, or spawned by billiard, as an embedded beat is, too: the kernel tells no more."""
    stat = procfs.process(pid)
    return stat is not None and (stat.forked or SPAWNED in (procfs.read(f"/proc/{pid}/cmdline") or ""))
