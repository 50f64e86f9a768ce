"""Whose a process is, and in which container: read from /proc/PID/status, which everybody may read."""

from __future__ import annotations

import os
from collections.abc import Iterable

from harness.machine import procfs


def owner(pid: int) -> int | None:
    """The effective user id of a process; None once it has gone, and where `hidepid` hides it."""
    for line in (procfs.read(f"/proc/{pid}/status") or "").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return None


def is_here(pid: int) -> bool:
    """Whether a process is in our own PID namespace, and not in a container inside it; yes, where the kernel does not tell."""
    return not procfs.is_inside(pid)


def inside(pid: int) -> int:
    """The number that a process has in its own container; 0 if it is in none that is seen from here."""
    return procfs.own_numbers(pid)[-1] if procfs.is_inside(pid) else 0


def named_inside(number: int, pids: Iterable[int]) -> list[int]:
    """Those of these processes that have this number in a container of theirs."""
    return [pid for pid in pids if inside(pid) == number]


def is_first(pid: int) -> bool:
    """Whether a process is the first one of its PID namespace, as the program of a container is: with it, all others in there
    end, and no signal from there ends it (pid_namespaces(7))."""
    return procfs.own_numbers(pid)[-1:] == (1,)


def is_apart(pid: int) -> bool:
    """Whether a process is known to be in another network namespace than we: its 127.0.0.1 is another one than ours."""
    theirs = procfs.link(f"/proc/{pid}/ns/net")
    return bool(theirs) and theirs != procfs.link("/proc/self/ns/net")


def is_ours(own: tuple[int, ...], number: int, link: str) -> bool:
    """Whether /proc shows the processes by the numbers of our own PID namespace, so that they may be handed to the kernel.

    Not so where /proc is the host's and we are in a container. `own`: NSpid of /proc/self; `number`: what getpid(2) says;
    `link`: where /proc/self leads, '' for nowhere.

    >>> is_ours((7,), 7, "7"), is_ours((), 7, "7"), is_ours((812, 7), 7, "812"), is_ours((), 7, "812"), is_ours((), 7, "")
    (True, True, False, False, False)
    """
    return link == str(number) and (not own or own[0] == number)


def proc_is_ours() -> bool:
    """The same of this process."""
    return is_ours(procfs.own_numbers("self"), os.getpid(), procfs.link("/proc/self"))
