"""Processes that the kernel has killed for their memory: those of our own control group, so that a neighbour's do not count.

    version 2   `oom_kill` in memory.events, which counts the groups below, too
    version 1   `oom_kill` in memory.oom_control (Linux 4.13 and later), of the group alone: those below are added
    none        /proc/vmstat, which counts the whole machine; this is also all there is in the root group of version 2

In both versions the kernel counts a kill for the group of the process that was killed, whoever's limit was reached
(memcg_memory_event_mm in mm/oom_kill.c). In the root group of version 1 only that group's own kills count: everybody's groups
stand below it. If our own group does not count, and one above it does, that one is asked: its memory is shared. `where` says
which it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.machine import cgroups
from harness.machine.cgroups import Standing

FILES = {1: "memory.oom_control", 2: "memory.events"}
WORD = "oom_kill"
OWN, ABOVE, ROOT, HOST = (
    "in its control group",
    "in the control group above it, which others may share",
    "in the root control group",
    "on the whole machine",
)


@dataclass(frozen=True, kw_only=True)
class Kills:
    """Counted so far, by group; `where` the counting is done, in words."""

    where: str
    counts: Mapping[Path, int]

    def since(self, earlier: Kills) -> int:
        """How many were killed since an earlier count. A group that is new counts from nothing; one that has gone, no more."""
        return sum(max(0, count - earlier.counts.get(group, 0)) for group, count in self.counts.items())


def read(proc: Path = cgroups.SELF, vmstat: Path = Path("/proc/vmstat")) -> Kills:
    """Count once."""
    standing = cgroups.standing("memory", proc)
    found = _of_groups(standing) if standing is not None else None
    return found or Kills(where=HOST, counts={vmstat: cgroups.number(vmstat, WORD) or 0})


def _of_groups(standing: Standing) -> Kills | None:
    name = FILES[standing.version]
    if standing.is_root:  # of version 2, it has no such file
        own = cgroups.number(standing.own / name, WORD)
        return Kills(where=ROOT, counts={standing.own: own}) if own is not None else None
    for level, group in enumerate(standing.groups):
        if cgroups.number(group / name, WORD) is not None:
            alone = standing.version == 2 and not standing.local_events
            return Kills(where=ABOVE if level else OWN, counts=_below(group, name, alone=alone))
    return None


def _below(group: Path, name: str, *, alone: bool) -> dict[Path, int]:
    """The counts of a group and of all below it; of the group `alone`, if that holds the others."""
    folders = [str(group)] if alone else [folder for folder, _, _ in os.walk(group)]
    counts = {Path(folder): cgroups.number(Path(folder) / name, WORD) for folder in folders}
    return {folder: count for folder, count in counts.items() if count is not None}
