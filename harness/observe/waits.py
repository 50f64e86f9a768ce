"""What a thread waits for, and where in whose code, in words that a reader can act on.

'waits for TCP 10.0.0.5:5432 (established), with no time limit, in recv_into (ssl.py:1166), called from ask (tasks.py:14)'.
The kernel says the first part, see `machine.descriptors`; py-spy's frames the second.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.machine import file_locks, procfs, socket_limits
from harness.machine.descriptors import LIMITED, leads_to, named, waited_at, words
from harness.machine.syscalls import FILE_LOCKS, Call

PYTHON_FRAME = re.compile(r"^\S.* \([^()]*\.pyx?(:\d+)?\)$")
#: What calls a task, or a handler of worker_process_init: frames from there on are Celery's, or ours
CALLERS = re.compile(r"celery/app/trace\.py|celery/utils/dispatch/signal\.py|harness/worker/|harness/backends/")

#: what some calls wait for, of which no descriptor tells more
KINDS = {
    "sigwait": "a signal", "pause": "a signal", "semop": "a System V semaphore", "msg": "a System V message queue",
    "mq": "a POSIX message queue", "sync": "data to reach the disk", "io": "what it has asked the kernel for (io_uring, aio)",
    "ioctl": "a device's driver (ioctl)", "clone": "a program that it starts to be there (vfork waits for that)",
}  # fmt: skip


def waits_for(pid: int, tid: int) -> str:
    """What the thread waits for now; '' while it runs, and if nothing can be read."""
    call = procfs.call(pid, tid)
    return "" if call is None else f"{_object(pid, call)}{_limit(pid, call)}"


def _limit(pid: int, call: Call) -> str:
    """Whether a time limit ends this call: its own, or one that nobody gives with it, of its socket or of TCP."""
    if call.timed:
        return ""
    if call.kind == "connect" and leads_to(pid, call.arguments[0]).startswith("TCP"):
        return ", until TCP gives up by itself, which takes it some minutes"
    limit_s = socket_limits.of_call(pid, call.arguments[0], call.kind) if call.kind in LIMITED else 0.0
    return f", for {limit_s:g} s at most (a limit of the socket)" if limit_s else ", with no time limit"


def _object(pid: int, call: Call) -> str:
    if call.kind == "futex":
        return "a lock or condition inside its own process" if call.private else "a lock that it shares with other processes"
    if call.kind in FILE_LOCKS:
        path = leads_to(pid, call.arguments[0])
        owner = file_locks.holder(pid, call.arguments[0])
        return f"a lock on the file {path}{f', held by {named(owner)}' if owner else ''}"
    if call.kind == "wait-child":
        return f"its child processes: {words([named(child) for child in procfs.children(pid)]) or 'it has none'}"
    if call.kind in ("sleep", "restart"):
        return "a sleep to end"
    if call.kind in KINDS:
        return KINDS[call.kind]
    if call.kind == "open":
        return "a file to be opened (a FIFO whose other end nobody opens, or a file system that does not answer)"
    at = words([leads_to(pid, descriptor) for descriptor in waited_at(pid, call)])
    return at or f"the system call {call.kind}"


def place(frames: Sequence[str]) -> str:
    """Where in Python that is, from a thread's frames, innermost first, as py-spy writes them; '' if none is Python's.

    >>> place(["poll (libc.so.6)", "read (redis/connection.py:9)", "ask (tasks.py:14)", "trace_task (celery/app/trace.py:4)"])
    'in read (redis/connection.py:9), called from ask (tasks.py:14)'
    """
    python = [frame for frame in frames if PYTHON_FRAME.match(frame)]
    end = next((number for number, frame in enumerate(python) if CALLERS.search(frame)), len(python))
    theirs = python[:end]
    if not theirs:
        return ""
    return f"in {theirs[0]}" + (f", called from {theirs[-1]}" if len(theirs) > 1 else "")
