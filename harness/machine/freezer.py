"""Whether a process is frozen with its control group, as `docker pause` does it, and by which file it is thawed.

Version 1 says it in `freezer.state` (FROZEN, also of a group whose parent was frozen; cgroup-v1/freezer-subsystem.rst),
version 2 in the line `frozen 1` of `cgroup.events` (cgroup-v2.rst). Side by side, both count. The state of a frozen thread in
/proc is that of any wait: D or S. Reading is all that is done here.
"""

from __future__ import annotations

from pathlib import Path

from harness.machine import cgroups, procfs
from harness.machine.cgroups import SELF

STATE, FROZEN, SELF_FROZEN = "freezer.state", "FROZEN", "freezer.self_freezing"  # of version 1
EVENTS, FREEZE = "cgroup.events", "cgroup.freeze"  # of version 2


class Freezer:
    """`seen_from`: whose mounts show the groups; `proc`: where the processes are."""

    def __init__(self, seen_from: Path = SELF, proc: Path = SELF.parent) -> None:
        self._mounts, self._proc = tuple(cgroups.mounts(seen_from)), proc

    def thaws(self, pid: int) -> str:
        """The file that thaws this process: of the topmost group that was frozen itself; '' if it is not frozen, and if its
        groups cannot be seen from here."""
        for version, groups in cgroups.groups_of(self._proc / str(pid), "freezer", self._mounts):
            if groups and (_is_frozen_1(groups[0]) if version == 1 else _is_frozen_2(groups[0])):
                own, file = (SELF_FROZEN, STATE) if version == 1 else (FREEZE, FREEZE)
                frozen = [group for group in groups if _text(group / own) == "1"]
                return str((frozen or groups[:1])[-1] / file)
        return ""


def _is_frozen_1(group: Path) -> bool:
    return _text(group / STATE) == FROZEN


def _is_frozen_2(group: Path) -> bool:
    return cgroups.number(group / EVENTS, "frozen") == 1


def _text(path: Path) -> str:
    return (procfs.read(str(path)) or "").strip()
