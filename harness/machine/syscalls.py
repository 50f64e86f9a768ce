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
    0: "read", 1: "write", 7: "poll", 16: "ioctl", 19: "read", 20: "write", 23: "select", 34: "pause", 35: "sleep",
    42: "connect", 43: "accept", 44: "send", 45: "recv", 46: "send", 47: "recv", 56: "clone", 57: "clone", 58: "clone",
    61: "wait-child", 65: "semop", 69: "msg", 70: "msg", 72: "fcntl", 73: "flock", 74: "sync", 75: "sync", 128: "sigwait",
    130: "sigwait", 202: "futex", 208: "io", 219: "restart", 220: "semop", 230: "sleep", 232: "epoll", 242: "mq", 243: "mq",
    247: "wait-child", 257: "open", 270: "select", 271: "poll", 281: "epoll", 288: "accept", 299: "recv", 307: "send",
    426: "io", 435: "clone", 441: "epoll", 449: "futex",
}  # fmt: skip
_ARM = {
    4: "io", 22: "epoll", 25: "fcntl", 29: "ioctl", 32: "flock", 56: "open", 63: "read", 64: "write", 65: "read", 66: "write",
    72: "select", 73: "poll", 82: "sync", 83: "sync", 95: "wait-child", 98: "futex", 101: "sleep", 115: "sleep",
    128: "restart", 133: "sigwait", 137: "sigwait", 182: "mq", 183: "mq", 188: "msg", 189: "msg", 192: "semop", 193: "semop",
    202: "accept", 203: "connect", 206: "send", 207: "recv", 211: "send", 212: "recv", 220: "clone", 242: "accept",
    243: "recv", 260: "wait-child", 269: "send", 426: "io", 435: "clone", 441: "epoll",
}  # fmt: skip
#: which argument leads to a time limit, and to none if it is 0: select, ppoll, rt_sigtimedwait, semtimedop, io_getevents,
#: mq_timedsend and mq_timedreceive, recvmmsg, epoll_pwait2
_X86_LIMITS = {23: 4, 270: 4, 271: 2, 128: 2, 220: 3, 208: 4, 242: 4, 243: 4, 299: 4, 441: 3}
_ARM_LIMITS = {72: 4, 73: 2, 137: 2, 192: 3, 4: 4, 182: 4, 183: 4, 243: 4, 441: 3}
_CALLS, _LIMITS = (_X86, _X86_LIMITS) if platform.machine() == "x86_64" else (_ARM, _ARM_LIMITS)


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
    if (kind == "select" and not given[0]) or (kind == "poll" and not given[1]):
        kind = "sleep" if _ends_by_itself(kind, number, given) else "pause"  # at no descriptor, as time.sleep up to Python 3.10
        return kind, kind == "sleep", False
    if kind == "futex":
        return kind, given[3] != 0, bool(given[1] & FUTEX_PRIVATE)
    return kind, _ends_by_itself(kind, number, given), False


def arguments(text: str) -> tuple[int, ...]:
    """The six arguments of such a line."""
    return tuple(int(part, 16) for part in text.split()[1:7])


def _ends_by_itself(kind: str, number: int, given: Sequence[int]) -> bool:
    if kind in ("sleep", "restart"):  # restart_syscall(2) goes on with a wait that has a time limit, after a stop
        return True
    if number in _LIMITS:
        return given[_LIMITS[number]] != 0
    if kind == "epoll":
        return _signed(given[3]) >= 0
    return kind == "poll" and _signed(given[2]) >= 0


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
