"""What the kernel says of a process and its threads, read from /proc. Linux only; reading is all it does.

psutil has no wait channels, system calls or run-queue times, and reads more than a sampler can afford; those few
files are read here and nowhere else. Field numbers are those of proc(5).
"""

from __future__ import annotations

import os
import time
from array import array
from dataclasses import dataclass
from mmap import PAGESIZE

from harness.machine import mutexes, syscalls
from harness.machine.syscalls import FUTEX_PRIVATE, Call

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
READ_BYTES = 1 << 16
CPUCLOCK_SCHED = 2
FORKED = 0x40
MOST_PID = 1 << 22  # on 64 bits, no thread has a higher number: PID_MAX_LIMIT of linux/threads.h


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
    #: the thread that holds the C mutex that this one waits for, as the mutex itself says, by its number here; 0 if unknown
    owner: int = 0
    started_ticks: int = 0  # since the machine began, in clock ticks; 0 if unknown
    place: int = 0  # the address of the futex that it waits in; 0 if it waits in none, or that is unknown


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


def tracer(pid: int) -> int:
    """The process that traces this one, a debugger (TracerPid of proc(5)); 0 if none does, and where it may not be read."""
    return int(_status(pid, "TracerPid") or "0")


def caught_signals(pid: int) -> frozenset[int]:
    """The signals for which a process has handlers (SigCgt of proc(5)); none where it may not be read."""
    mask = int(_status(pid, "SigCgt") or "0", 16)
    return frozenset(number for number in range(1, 65) if mask >> (number - 1) & 1)


def timer_signals(pid: int) -> frozenset[int]:
    """The signals that POSIX timers of a process send (timer_create(2); /proc/PID/timers of proc(5), if the kernel has it): set
    or not, that is not told."""
    lines = (read(f"/proc/{pid}/timers") or "").splitlines()
    sent = [line.split()[1] for line in lines if line.startswith(("signal:", "notify:"))]
    pairs = zip(sent[::2], sent[1::2], strict=False)
    return frozenset(int(number.partition("/")[0]) for number, how in pairs if not how.startswith("none"))


def _status(pid: int, name: str) -> str:
    """The first word of a line of /proc/PID/status; '' if it may not be read."""
    lines = (read(f"/proc/{pid}/status") or "").splitlines()
    return next((line.split()[1] for line in lines if line.startswith(f"{name}:")), "")


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
        started_ticks=int(fields[19]),
        place=call.arguments[0] if call.kind == "futex" else 0,
    )


def _call(base: str) -> Call:
    """The call of a thread, by its folder in /proc; without arguments while it is in none that can be read."""
    text = read(f"{base}/syscall")
    kind, timed, private = syscalls.parse(text)
    named = text is not None and kind not in ("running", "unknown", "blocked")
    return Call(kind=kind, timed=timed, private=private, arguments=syscalls.arguments(text or "") if named else ())


def _mutex_owner(pid: int, call: Call) -> int:
    """Who holds the mutex of glibc's at which this call waits; 0 if it is none, or cannot be read.

    A mutex waits with FUTEX_WAIT for the value 2 (nptl/lowlevellock.c); then the words of struct pthread_mutex_t are lock,
    count, owner (a thread's id), users, kind (sysdeps/nptl/bits/struct_mutex.h). So does the lock of a FILE, which has a count
    and a pointer behind it (sysdeps/nptl/stdio-lock.h), and what else is made so. In a forked child the owner may be a thread
    of its parent. A lock of Python's is a semaphore, and has no owner.
    """
    place, operation, value = call.arguments[:3]
    if operation != FUTEX_PRIVATE or value != 2:
        return 0
    words = memory(pid, place, mutexes.MUTEX.size)
    if not words:
        return 0
    owner = mutexes.owner(words, int(read("/proc/sys/kernel/pid_max") or MOST_PID))
    return _number_here(pid, owner) if owner else 0


def own_numbers(pid: int | str, tid: int = 0) -> tuple[int, ...]:
    """The numbers of a process, or of a thread of its, in all PID namespaces that it is seen from, the outermost first (NSpid
    of proc(5), Linux 4.1); () once it has gone, and where the kernel does not tell."""
    for line in (read(f"/proc/{pid}/task/{tid}/status" if tid else f"/proc/{pid}/status") or "").splitlines():
        if line.startswith("NSpid:"):
            return tuple(map(int, line.split()[1:]))
    return ()


def is_inside(pid: int) -> bool:
    """Whether a process is in a PID namespace inside our own, as one in a container is for its host: then what it keeps in its
    memory, and what it tells, has other numbers than we see."""
    return len(own_numbers(pid)) > max(1, len(own_numbers("self")))


def numbers_here(pid: int) -> dict[int, int]:
    """By the number that each thread of a process has in its own container, the number that it has here; {} if it is in none
    that is seen from here: then both are one."""
    if not is_inside(pid):
        return {}
    own = {tid: own_numbers(pid, tid) for tid in numbers(f"/proc/{pid}/task")}
    return {told[-1]: tid for tid, told in own.items() if told}


def _number_here(pid: int, owner: int) -> int:
    """The number here of a thread that a process knows by its own number: a thread of its, or of its parent's. Of any other
    one, which may have ended, its own number; 0 if another thread of the process has that number here.
    """
    here = numbers_here(pid)
    if not here or owner in here:
        return here.get(owner, owner)
    stat = process(pid)
    theirs = numbers_here(stat.parent).get(owner, 0) if stat is not None else 0
    return theirs or (owner if owner not in here.values() else 0)


def memory(pid: int, place: int, size: int) -> bytes:
    """So many bytes of a process's memory; b'' if they may not be read."""
    try:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            file.seek(place)
            found = file.read(size)
    except (OSError, ValueError, OverflowError):
        return b""
    return found if len(found) == size else b""


def pagemap(pid: int, begin: int, end: int) -> array[int]:
    """An entry for each page of these addresses (/proc/PID/pagemap); empty if they may not be read."""
    entries = array("Q")
    try:
        with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
            file.seek(begin // PAGESIZE * entries.itemsize)
            entries.frombytes(file.read((end - begin) // PAGESIZE * entries.itemsize))
    except (OSError, ValueError, OverflowError):
        pass
    return entries


def _scheduled_s(base: str) -> float:
    """Seconds on a CPU, to the nanosecond; 0 where the kernel does not count them."""
    text = read(f"{base}/schedstat")
    return int(text.split()[0]) / 1e9 if text else 0.0


def _switches(base: str) -> int:
    for line in (read(f"{base}/status") or "").splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    return 0
