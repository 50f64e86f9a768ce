"""Who holds the lock on a file that a process has open: by /proc/locks, see proc(5).

The file is reached through the descriptor, and not by its name, which in a container is that of another file. /proc/locks names
processes by their numbers in our own PID namespace, and none (0) that is not in it; an open file description's lock has no
process (-1). For `flock` it names who asked for it, which may have ended since: the lock lives on with a descriptor that others
have taken over.
"""

from __future__ import annotations

import os
import re

from harness.machine import procfs

#: file systems whose locks this kernel alone grants; a lock on another host's file may be held there, and is not seen here
LOCAL = frozenset({"btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "ramfs", "tmpfs", "xfs", "zfs"})
MOUNT = re.compile(r"^mnt_id:\s*(\d+)", re.MULTILINE)


def holder(pid: int, descriptor: int) -> int | None:
    """The living process that holds a lock on the file behind this descriptor of a process; None if nobody does, or it cannot
    be told."""
    try:
        file = os.stat(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return None
    found = parse(procfs.read("/proc/locks") or "", file.st_ino)
    device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
    return next((one for one, where in found if procfs.process(one) and (where == device or _has_open(one, file))), None)


def releasers(pid: int, descriptor: int) -> frozenset[int]:
    """The processes that alone could release the locks on the file behind this descriptor: those that have it open.

    None if nobody is seen to hold one, and if one may be held elsewhere: on another host, in a PID namespace that is not ours,
    by an open file description, whose process the kernel does not tell, or by a process that may not be looked at.
    """
    try:
        file = os.stat(f"/proc/{pid}/fd/{descriptor}")
    except OSError:
        return frozenset()
    text = procfs.read("/proc/locks") or ""
    holders = {one for one, _ in parse(text, file.st_ino)}
    if not holders or _hides_one(text, file.st_ino) or not _is_local(pid, descriptor):
        return frozenset()
    opened = frozenset(one for one in procfs.numbers("/proc") if _has_open(one, file))
    return opened if holders <= opened else frozenset()


def _hides_one(text: str, inode: int) -> bool:
    """Whether a lock on a file of this inode is held by a process whose number is not told."""
    lines = (line.split() for line in text.splitlines())
    return any(
        "->" not in fields and len(fields) >= 6 and fields[5].rpartition(":")[2] == str(inode) and int(fields[4]) <= 0
        for fields in lines
    )


def _is_local(pid: int, descriptor: int) -> bool:
    """Whether the file lies in one of the file systems above: by its mount, see proc_pid_mountinfo(5)."""
    mount = MOUNT.search(procfs.read(f"/proc/{pid}/fdinfo/{descriptor}") or "")
    for line in (procfs.read(f"/proc/{pid}/mountinfo") or "").splitlines():
        before, _, after = line.partition(" - ")
        if mount and before.split()[0] == mount[1]:
            return after.split()[0] in LOCAL
    return False


def parse(text: str, inode: int) -> list[tuple[int, str]]:
    """(process, device) of each lock on a file of this inode; those that wait for it, and those without a process, left out.

    >>> text = "1: FLOCK  ADVISORY  WRITE 12 00:1f:77 0 EOF\\n1: -> FLOCK  ADVISORY  WRITE 13 00:1f:77 0 EOF\\n"
    >>> parse(text + "2: OFDLCK ADVISORY  WRITE -1 00:1f:77 0 EOF\\n3: POSIX  ADVISORY  READ 0 00:1f:77 0 EOF\\n", 77)
    [(12, '00:1f')]
    """
    lines = (line.split() for line in text.splitlines())
    held = (fields for fields in lines if "->" not in fields and len(fields) >= 6)
    return [
        (int(fields[4]), fields[5].rpartition(":")[0])
        for fields in held
        if fields[5].rpartition(":")[2] == str(inode) and int(fields[4]) > 0
    ]


def _has_open(pid: int, file: os.stat_result) -> bool:
    """Whether a process has this very file open: some file systems name another device to stat(2) than to the kernel's list."""
    return any(_same(pid, number, file) for number in procfs.numbers(f"/proc/{pid}/fd"))


def _same(pid: int, descriptor: int, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(f"/proc/{pid}/fd/{descriptor}"), file)
    except OSError:
        return False
