"""What the kernel says of a process and its threads, read from /proc. Linux only; reading is all it does.

psutil has no wait channels, system calls or run-queue times, and reads more than a sampler can afford; those few
files are read here and nowhere else. Field numbers are those of proc(5).
"""

from __future__ import annotations

import os
import platform
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
READ_BYTES = 1 << 16
FUTEX_PRIVATE = 128
CPUCLOCK_SCHED = 2
FORKED = 0x40
MUTEX = struct.Struct("=IIIII")  # the first words of a pthread_mutex_t on 64 bits: lock, count, owner, users, kind
MOST_USERS, MOST_KIND = 100_000, 0x3FF  # of a mutex; other memory has other words there
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
class ProcessStat:
    """CPU seconds of one process, of its waited-for descendants, and who its parent is. `forked`: it was forked, and runs no
    program of its own (PF_FORKNOEXEC of linux/sched.h), so that it has its parent's memory."""

    pid: int
    parent: int
    state: str
    own_cpu_s: float
    reaped_cpu_s: float
    threads: int
    started_ticks: int
    forked: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """The system call that a thread is in: its kind, as in `Thread.waits_in`, and its six arguments."""

    kind: str
    timed: bool
    private: bool
    arguments: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Thread:
    """One thread at one moment. `waits_in` is a system call's kind ('futex', 'sleep', 'epoll' …), 'running', or
    'unknown' where it may not be read; `timed` says that the wait ends by itself; `private` that only this process
    can end it."""

    tid: int
    name: str
    state: str
    cpu_s: float
    switches: int
    waits_in: str
    timed: bool
    private: bool
    wait_channel: str
    wakers: frozenset[int] = frozenset()  # the only processes that could end this wait; none: unknown, see `observe.wakers`
    owner: int = 0  # the thread that holds the C mutex that this one waits for, as the mutex itself says; 0 if unknown


def read(path: str) -> str | None:
    """The file's text, or None where the process has gone or we may not look."""
    try:
        descriptor = os.open(path, os.O_RDONLY)  # a third cheaper than a file object, and a sampler reads hundreds a second
    except OSError:
        return None
    try:
        parts = []
        while part := os.read(descriptor, READ_BYTES):
            parts.append(part)
    except OSError:  # it ended between the two calls
        return None
    finally:
        os.close(descriptor)
    return b"".join(parts).decode("utf-8", "replace")


def caught_signals(pid: int) -> frozenset[int]:
    """The signals for which a process has handlers (SigCgt of proc(5)); none where it may not be read."""
    lines = (read(f"/proc/{pid}/status") or "").splitlines()
    mask = next((int(line.split()[1], 16) for line in lines if line.startswith("SigCgt")), 0)
    return frozenset(number for number in range(1, 65) if mask >> (number - 1) & 1)


def process(pid: int) -> ProcessStat | None:
    text = read(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text.rpartition(")")[2].split()
    return ProcessStat(
        pid=pid,
        parent=int(fields[1]),
        state=fields[0],
        own_cpu_s=_clock_s(pid) or (int(fields[11]) + int(fields[12])) * TICK_S,
        reaped_cpu_s=(int(fields[13]) + int(fields[14])) * TICK_S,
        threads=int(fields[17]),
        started_ticks=int(fields[19]),
        forked=bool(int(fields[6]) & FORKED),
    )


def _clock_s(pid: int) -> float | None:
    """CPU seconds of all threads of a process, dead ones too, to the nanosecond; None where the clock cannot be read.

    The clock's number is made of the pid as the kernel does it (MAKE_PROCESS_CPUCLOCK, clock_getcpuclockid(3)).
    """
    try:
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    except OSError:
        return None


def children(pid: int, *, every_thread: bool = True) -> list[int]:
    """Direct children: those that any thread of `pid` started, or its main thread only, which is one file to read."""
    tids = numbers(f"/proc/{pid}/task") if every_thread else [pid]
    return [int(child) for tid in tids for child in (read(f"/proc/{pid}/task/{tid}/children") or "").split()]


def tree(root: int) -> list[ProcessStat]:
    """Every process below `root` (without it), parents before children. For repeated reading see `process_tree`."""
    found = []
    level = children(root)
    while level:
        stats = [stat for pid in level if (stat := process(pid))]
        found += stats
        level = [child for stat in stats for child in children(stat.pid)]
    return found


def threads(pid: int) -> list[Thread]:
    """All threads of a process that can be read."""
    return [thread for tid in numbers(f"/proc/{pid}/task") if (thread := _thread(pid, tid))]


def call(pid: int, tid: int) -> Call | None:
    """The system call that a thread is in now; None while it runs, and if it may not be read."""
    found = _call(f"/proc/{pid}/task/{tid}")
    return found if found.arguments else None


def link(path: str) -> str:
    """Where a link leads; '' if the process has gone or we may not look."""
    try:
        return os.readlink(path)
    except OSError:
        return ""


def variables(pid: int) -> dict[str, str]:
    """The environment that a process began with; {} if it may not be read."""
    return dict(part.partition("=")[::2] for part in (read(f"/proc/{pid}/environ") or "").split("\0"))


def numbers(folder: str) -> list[int]:
    try:
        return [int(name) for name in os.listdir(folder) if name.isdigit()]
    except OSError:
        return []


def _thread(pid: int, tid: int) -> Thread | None:
    base = f"/proc/{pid}/task/{tid}"
    text = read(f"{base}/stat")
    if not text:
        return None
    fields = text.rpartition(")")[2].split()
    call = _call(base)
    return Thread(
        tid=tid,
        name=text[text.index("(") + 1 : text.rindex(")")],
        state=fields[0],
        cpu_s=_scheduled_s(base) or (int(fields[11]) + int(fields[12])) * TICK_S,
        switches=_switches(base),
        waits_in=call.kind,
        timed=call.timed,
        private=call.private,
        wait_channel=read(f"{base}/wchan") or "",
        owner=_mutex_owner(pid, call) if call.kind == "futex" and call.private and not call.timed else 0,
    )


def _call(base: str) -> Call:
    """The call of a thread, by its folder in /proc; without arguments while it is in none that can be read."""
    text = read(f"{base}/syscall")
    kind, timed, private = parse_syscall(text)
    named = text is not None and kind not in ("running", "unknown", "blocked")
    return Call(kind=kind, timed=timed, private=private, arguments=_arguments(text or "") if named else ())


def _mutex_owner(pid: int, call: Call) -> int:
    """Who holds the mutex of glibc's at which this call waits; 0 if it is none, or cannot be read.

    Only a mutex waits with FUTEX_WAIT for the value 2 (nptl/lowlevellock.c); then the words of struct pthread_mutex_t are
    lock, count, owner (a thread's id), users, kind (sysdeps/nptl/bits/struct_mutex.h). In a forked child the owner may be a
    thread of its parent. A lock of Python's is a semaphore, and has no owner.
    """
    place, operation, value = call.arguments[:3]
    if operation != FUTEX_PRIVATE or value != 2:
        return 0
    words = memory(pid, place, MUTEX.size)
    if not words:
        return 0
    lock, _, owner, users, kind = MUTEX.unpack(words)
    plausible = lock == 2 and 0 < users <= MOST_USERS and kind <= MOST_KIND and owner > 1
    return int(owner) if plausible else 0


def memory(pid: int, place: int, size: int) -> bytes:
    """So many bytes of a process's memory; b'' if they may not be read."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(place)
            found = file.read(size)
    except (OSError, ValueError, OverflowError):
        return b""
    return found if len(found) == size else b""


def _scheduled_s(base: str) -> float:
    """Seconds on a CPU, to the nanosecond; 0 where the kernel does not count them."""
    text = read(f"{base}/schedstat")
    return int(text.split()[0]) / 1e9 if text else 0.0


def _switches(base: str) -> int:
    for line in (read(f"{base}/status") or "").splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0


def parse_syscall(text: str | None) -> tuple[str, bool, bool]:
    """(kind, timed, private) of a /proc/PID/task/TID/syscall line, see proc(5) and futex(2).

    >>> parse_syscall("202 0x7f00 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7f01")
    ('futex', False, True)
    >>> parse_syscall("running")
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
    arguments = _arguments(text)
    if kind == "futex":
        return kind, arguments[3] != 0, bool(arguments[1] & FUTEX_PRIVATE)
    return kind, _ends_by_itself(kind, number, arguments), False


def _arguments(text: str) -> tuple[int, ...]:
    """The six of such a line."""
    return tuple(int(part, 16) for part in text.split()[1:7])


def _ends_by_itself(kind: str, number: int, arguments: Sequence[int]) -> bool:
    if kind in ("sleep", "restart"):  # restart_syscall(2) goes on with a wait that has a time limit, after a stop
        return True
    if kind == "epoll":
        return _signed(arguments[3]) >= 0
    if kind == "poll":
        return _signed(arguments[2]) >= 0 if number == 7 else arguments[2] != 0
    if kind == "select":
        return arguments[4] != 0
    return False


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value
