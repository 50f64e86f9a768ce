"""Which processes share a piece of memory: read from /proc/PID/maps, see proc(5). Nothing is asked of a process.

And what is left of the semaphores of processes that were killed: spawned children find multiprocessing's by name, so that these
outlive whoever made them, in /dev/shm, until the machine starts anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.machine import descriptors, procfs

#: range, permissions ('s' for shared), offset, device, inode, and what is mapped
MAPPING = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ...([sp]) \S+ (\S+) (\d+) *(.*)$", re.MULTILINE)
#: where glibc keeps semaphores, and the names that multiprocessing and billiard give them
SEMAPHORES = (Path("/dev/shm"), "sem.mp-*")  # noqa: S108
GONE = " (deleted)"  # it has no name any more, by which another process could still find it


def sharers(pid: int, place: int) -> frozenset[int]:
    """The processes that have mapped, or hold open, the shared memory at this address of a process; this one is among them.

    None if it is no shared memory, if it still has a name by which anybody could open it, and if it may not be read. A lock of
    multiprocessing is a POSIX semaphore, whose name is taken away at once if children are forked (sem_unlink(3)).
    """
    found = next((one for one in _mappings(pid) if int(one[1], 16) <= place < int(one[2], 16)), None)
    if found is None or found[3] != "s":
        return frozenset()
    device, inode, path = found[4], int(found[5]), found[6]
    if not path.endswith(GONE) or _is_named(pid, found, device, inode) or descriptors.in_flight():
        return frozenset()
    mapped = {other for other in procfs.numbers("/proc") if _maps(other, device, inode)}
    return frozenset(mapped | set(_opened(device, inode))) if pid in mapped else frozenset()


def _mappings(pid: int) -> Iterator[re.Match[str]]:
    return MAPPING.finditer(procfs.read(f"/proc/{pid}/maps") or "")


def _is_named(pid: int, mapping: re.Match[str], device: str, inode: int) -> bool:
    """Whether the file has another name by which somebody could open it: a semaphore's first name is never its last one, since
    glibc's sem_open(3) makes a file, and links it. Where we may not ask the file itself, only a semaphore's can be known: they
    lie in one folder.
    """
    try:
        return os.stat(f"/proc/{pid}/map_files/{mapping[1]}-{mapping[2]}").st_nlink > 0
    except OSError:
        pass
    folder = Path(mapping[6]).parent
    if folder != SEMAPHORES[0]:
        return True
    try:
        with os.scandir(folder) as names:
            return _is_on(folder.stat(), device) and any(one.inode() == inode for one in names)
    except OSError:
        return True


def _is_on(status: os.stat_result, device: str) -> bool:
    return _as_mapped(status) == device


def _as_mapped(status: os.stat_result) -> str:
    """The device of a file, as maps writes it."""
    return f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"


def _maps(pid: int, device: str, inode: int) -> bool:
    return f" {device} {inode} " in (procfs.read(f"/proc/{pid}/maps") or "")


def _opened(device: str, inode: int) -> Iterator[int]:
    """Who has the file open, and could map it."""
    for pid in procfs.numbers("/proc"):
        for descriptor in procfs.numbers(f"/proc/{pid}/fd"):
            try:
                status = os.stat(f"/proc/{pid}/fd/{descriptor}")
            except OSError:
                continue
            if status.st_ino == inode and _is_on(status, device):
                yield pid
                break


def semaphores(pids: Iterable[int]) -> frozenset[Path]:
    """The named semaphores of multiprocessing's that these processes have mapped: to `forget` once they have been killed."""
    folder, names = SEMAPHORES
    try:
        where = _as_mapped(folder.stat())
        files = {one.stat().st_ino: one for one in folder.glob(names)}
    except OSError:
        return frozenset()
    mapped = {int(one[5]) for pid in (pids if files else ()) for one in _mappings(pid) if one[4] == where}
    return frozenset(file for inode, file in files.items() if inode in mapped)


def forget(files: Iterable[Path]) -> None:
    """Remove those of these semaphores that nobody has mapped any more."""
    for file in files:
        try:
            status = file.stat()
        except OSError:  # whoever made it was faster
            continue
        if not any(_maps(pid, _as_mapped(status), status.st_ino) for pid in procfs.numbers("/proc")):
            file.unlink(missing_ok=True)
