"""Whose a process is, and in which container: read from /proc/PID/status, which everybody may read."""

from __future__ import annotations

import os

from harness.machine import procfs


def numbers_of(pid: int) -> tuple[int, ...]:
    """The process's numbers in all PID namespaces that it is seen from, the outermost first (NSpid of proc(5), Linux 4.1);
    () once it has gone."""
    return _field(pid, "NSpid:")


def owner(pid: int) -> int | None:
    """The effective user id of a process; None once it has gone, and where `hidepid` hides it."""
    ids = _field(pid, "Uid:")
    return ids[1] if len(ids) > 1 else None


def is_here(pid: int) -> bool:
    """Whether a process is in our own PID namespace, and not in a container inside it; yes, where the kernel does not tell."""
    return len(numbers_of(pid)) <= max(1, len(numbers_of(os.getpid())))


def inside(pid: int) -> int:
    """The number that a process has in its own container; 0 if it is in none that is seen from here."""
    found = numbers_of(pid)
    return found[-1] if len(found) > max(1, len(numbers_of(os.getpid()))) else 0


def _field(pid: int, name: str) -> tuple[int, ...]:
    for line in (procfs.read(f"/proc/{pid}/status") or "").splitlines():
        if line.startswith(name):
            return tuple(map(int, line.split()[1:]))
    return ()
