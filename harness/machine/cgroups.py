"""The control groups in which this process stands: of version 1, of version 2, or of both side by side (hybrid).

Two files of the kernel say it: /proc/self/cgroup (the path in each hierarchy) and /proc/self/mountinfo (where a hierarchy is
mounted, and from which of its groups on). In a namespace of control groups both are told from the namespace's root, so that
one may stand outside of the other; then our group is the one whose list of processes has us. Sources: cgroups(7),
cgroup_namespaces(7), proc(5), and the kernel's Documentation/admin-guide/cgroup-v2.rst. Reading is all that is done here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from harness.machine import procfs

SELF = Path("/proc/self")
ESCAPED = re.compile(r"\\([0-7]{3})")  # a space in a path, and the like; see proc(5)
#: A file that says where a group stands: of version 1 the root's alone (CFTYPE_ONLY_ON_ROOT), of version 2 all but the root's.
ROOTS_OWN, NEVER_ROOTS = "release_agent", "cgroup.events"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The groups of one controller: `groups` are their folders, our own first, then each parent up to the topmost that can be
    seen from here. `local_events`: of version 2, `memory.events` leaves out what happened in groups below."""

    version: int
    groups: tuple[Path, ...]
    local_events: bool = False

    @property
    def own(self) -> Path:
        return self.groups[0]

    @property
    def is_root(self) -> bool:
        """Whether our own group is the root of the machine's hierarchy, in which every other group stands."""
        if self.version == 1:
            return (self.own / ROOTS_OWN).exists()
        return not (self.own / NEVER_ROOTS).exists()


@dataclass(frozen=True, kw_only=True)
class Mount:
    """Where a hierarchy, or a part of it, is mounted. `options`: of version 1, the controllers are among them."""

    root: str  # the group of the hierarchy that is seen at `point`
    point: Path
    version: int
    options: frozenset[str]


def standing(controller: str, proc: Path = SELF) -> Standing | None:
    """Where this process stands in the hierarchy of a controller ('cpu', 'memory'); None if that cannot be seen from here."""
    place = _place(controller, proc)
    if place is None:
        return None
    version, path = place
    candidates = [one for one in mounts(proc) if one.version == version and (version == 2 or controller in one.options)]
    known = [(mount, folder) for mount in candidates if (folder := _folder(mount, path)) is not None]
    found = known or [(mount, folder) for mount in candidates if (folder := _searched(mount, proc)) is not None]
    if not found:
        return None
    mount, own = max(found, key=lambda one: len(one[1].relative_to(one[0].point).parts))  # the one that shows most parents
    return Standing(version=version, groups=_upwards(mount, own), local_events="memory_localevents" in mount.options)


def groups_of(proc: Path, controller: str, mounted: Sequence[Mount]) -> Iterator[tuple[int, tuple[Path, ...]]]:
    """(version, groups) of any process, by the names of its groups: of version 1 if that has the controller, and of version 2.
    `proc`: its folder in /proc; `mounted`: what the reader has mounted. The groups are its own first, then each parent."""
    for line in (procfs.read(f"{proc}/cgroup") or "").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        version = 1 if controllers else 2
        for mount in mounted:
            known = mount.version == version and (version == 2 or controller in mount.options)
            if known and (own := _folder(mount, path)) is not None:
                yield version, _upwards(mount, own)


def _upwards(mount: Mount, own: Path) -> tuple[Path, ...]:
    """A group, then each parent up to the topmost that the mount shows."""
    parents = (own, *own.parents)
    return parents[: parents.index(mount.point) + 1]


def number(path: Path, word: str) -> int | None:
    """The number that stands behind a word in a file of lines such as `nr_throttled 7`; None if there is none."""
    for line in (procfs.read(str(path)) or "").splitlines():
        name, _, value = line.partition(" ")
        if name == word and value.strip().isdigit():
            return int(value)
    return None


def least(standing: Standing | None, files: dict[int, str]) -> int | None:
    """The smallest number in a file of that name (by version) of any group on the path; 'max' and the like are no limits."""
    texts = [procfs.read(str(group / files[standing.version])) for group in standing.groups] if standing else []
    return min((int(text) for text in texts if text and text.strip().isdigit()), default=None)


def _place(controller: str, proc: Path) -> tuple[int, str] | None:
    """(version, path) of our group. A controller is in one hierarchy only: if version 1 has it, version 2 has not."""
    unified = None
    for line in (procfs.read(f"{proc}/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return 1, path
        if not controllers:
            unified = 2, path
    return unified


def mounts(proc: Path) -> Iterator[Mount]:
    """Every hierarchy of control groups that a process has mounted."""
    for line in (procfs.read(f"{proc}/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = (ESCAPED.sub(lambda found: chr(int(found[1], 8)), field) for field in fields[3:5])
        version = 2 if kind[0] == "cgroup2" else 1
        yield Mount(root=root, point=Path(point), version=version, options=frozenset(kind[2].split(",")))


def _folder(mount: Mount, path: str) -> Path | None:
    """The folder of the group of this path; None if the mount does not show it, or if only its name would tell where it is."""
    try:
        below = PurePosixPath(path).relative_to(mount.root)
    except ValueError:
        return None
    folder = mount.point / below
    return folder if ".." not in below.parts and folder.is_dir() else None


def _searched(mount: Mount, proc: Path) -> Path | None:
    """The group whose list of processes has us."""
    pid = (procfs.read(f"{proc}/stat") or "").partition(" ")[0]
    for folder, _, _ in os.walk(mount.point):
        if pid and pid in (procfs.read(f"{folder}/cgroup.procs") or "").split():
            return Path(folder)
    return None
