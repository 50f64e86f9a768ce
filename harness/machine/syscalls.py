"""The system call that a thread is in, as a line of /proc/PID/task/TID/syscall tells it, see proc(5): its kind, whether the
wait ends by itself, and its arguments. Pure: what is read is for `procfs`.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass

FUTEX_PRIVATE = 128
FILE_LOCKS = ("flock", "fcntl")  # kinds of calls that wait for a lock on a file
# System calls in which a thread may wait, x86-64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h).
_X86 = {
    0: "read", 1: "write", 7: "poll", 23: "select", 34: "pause", 35: "sleep", 42: "connect", 43: "accept", 44: "send",
    45: "recv", 46: "send", 47: "recv", 61: "wait-child", 65: "semop", 72: "fcntl", 73: "flock", 128: "sigwait",
    130: "sigwait", 202: "futex", 219: "restart", 220: "semop", 230: "sleep", 232: "epoll", 247: "wait-child", 257: "open",
    270: "select", 271: "poll", 281: "epoll", 288: "accept", 449: "futex",
}  # fmt: skip
_ARM = {
    22: "epoll", 25: "fcntl", 32: "flock", 56: "open", 63: "read", 64: "write", 72: "select", 73: "poll", 95: "wait-child",
    98: "futex", 101: "sleep", 115: "sleep", 128: "restart", 133: "sigwait", 137: "sigwait", 192: "semop", 193: "semop",
    202: "accept", 203: "connect", 206: "send", 207: "recv", 211: "send", 212: "recv", 260: "wait-child",
}  # fmt: skip
_CALLS = _X86 if platform.machine() == "x86_64" else _ARM


@dataclass(frozen=True, kw_only=True)
class Call:
    """The system call that a thread is in: its kind, as in `Thread.waits_in`, and its six arguments."""

    kind: str
    timed: bool
    private: bool
    arguments: tuple[int, ...]


def parse(text: str | None) -> tuple[str, bool, bool]:
    """(kind, timed, private) of a /proc/PID/task/TID/syscall line, see proc(5) and futex(2).

    >>> parse("202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7f01")
    ('futex', False, True)
    >>> parse("running")
    ('running', False, False)
    """
    if not text:
        return "unknown", False, False
    parts = text.split()
    if parts[0] == "running":
        return "running", False, False
    number = int(parts[0])
    if number < 0:
        return "blocked", False, False  # stopped, or in a page fault: no call to name
    kind = _CALLS.get(number, f"call {number}")
    given = arguments(text)
    if kind == "futex":
        return kind, given[3] != 0, bool(given[1] & FUTEX_PRIVATE)
    return kind, _ends_by_itself(kind, number, given), False


def arguments(text: str) -> tuple[int, ...]:
    """The six arguments of such a line."""
    return tuple(int(part, 16) for part in text.split()[1:7])


def _ends_by_itself(kind: str, number: int, given: Sequence[int]) -> bool:
    if kind in ("sleep", "restart"):  # restart_syscall(2) goes on with a wait that has a time limit, after a stop
        return True
    if kind == "epoll":
        return _signed(given[3]) >= 0
    if kind == "poll":
        return _signed(given[2]) >= 0 if number == 7 else given[2] != 0
    if kind == "select":
        return given[4] != 0
    return False


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
