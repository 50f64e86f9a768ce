"""Who should read a pipe that a process writes to, and whether anybody does: from /proc alone.

How much a pipe holds is for its owners to ask (fcntl(2), F_GETPIPE_SZ); it is 65,536 bytes if nobody has set it (pipe(7)).
That a write to it waits says that it is full. Opening it from outside would make a reader of us.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.machine import procfs
from harness.machine.descriptors import WRITES, link_of, waited_at

MODE = 3  # the bits of a descriptor's flags that tell whether it reads or writes


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A process that has the reading end of a pipe. `waits`: one of its threads waits for what comes out of it."""

    pid: int
    waits: bool


def is_output(pid: int, descriptor: int) -> str:
    """'standard output', 'standard error', if it leads where that of the process does; '' otherwise."""
    target = link_of(pid, descriptor)
    names = {2: "standard error", 1: "standard output"}
    return next((name for number, name in names.items() if target and link_of(pid, number) == target), "")


def readers(pid: int, descriptor: int) -> tuple[Reader, ...]:
    """Of the pipe that a process writes to, as far as others may be looked at."""
    target = link_of(pid, descriptor)
    if not target.startswith("pipe:["):
        return ()
    found = []
    for other in procfs.numbers("/proc"):
        ends = [one for one in procfs.numbers(f"/proc/{other}/fd") if link_of(other, one) == target and not _writes(other, one)]
        if ends:
            found.append(Reader(pid=other, waits=_waits(other, frozenset(ends))))
    return tuple(found)


def _waits(pid: int, ends: frozenset[int]) -> bool:
    calls = [call for tid in procfs.numbers(f"/proc/{pid}/task") if (call := procfs.call(pid, tid))]
    return any(ends & set(waited_at(pid, call)) for call in calls)


def _writes(pid: int, descriptor: int) -> bool:
    found = re.search(r"^flags:\s*([0-7]+)", procfs.read(f"/proc/{pid}/fdinfo/{descriptor}") or "", re.MULTILINE)
    return bool(found) and int(found[1], 8) & MODE == WRITES if found else False
