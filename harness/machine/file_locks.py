"""Who holds the lock on a file that a process has open: by /proc/locks, see proc(5).

The file is reached through the descriptor, and not by its name, which in a container is that of another file. /proc/locks names
processes by their numbers in our own PID namespace, and none (0) that is not in it; an open file description's lock has no
process (-1). For `flock` it names who asked for it, which may have ended since: the lock lives on with a descriptor that others
have taken over.
"""

from __future__ import annotations

import os

from harness.machine import procfs


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
