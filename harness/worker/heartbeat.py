"""Signs of life: every process appends small binary events to a file of its own, about 2 microseconds each.

A thread of our own that beats would prove only that this thread is alive. These events are left by the work itself:
a request began, a request ended, a load began. Who reads them (`harness.observe.progress`, outside) decides what they mean.
Stamps have the same form and cost, and a file of their own: they tell afterwards where a request's time went
(`harness.measure.waterfall`), and nobody judges by them or reads them during the trial.
Writes are single `os.write` calls on O_APPEND files: no lock that a fork could copy in a locked state, no buffer. Whoever
closes all descriptors that are open may get our number for a file of its own: we write to none that is not ours.
"""

import ctypes
import os
import platform
import threading
import time

from harness.worker import contract

_GETTID = {"x86_64": 186, "aarch64": 178}.get(platform.machine())
_libc = ctypes.CDLL(None, use_errno=True)
_state = {"directory": None, "pid": None}
_files = {}  # name pattern -> (descriptor, inode and device of what it led to), of this process


def native_id():
    """The kernel's id of this thread (0 where it cannot be had); the same for all greenlets of a thread."""
    if hasattr(threading, "get_native_id") and not _is_patched():
        return threading.get_native_id()
    return _libc.syscall(_GETTID) if _GETTID else 0


def _is_patched():
    # A green library may answer with a greenlet's id; the kernel's answer is the one the driver can look up.
    return getattr(threading.get_native_id, "__module__", "") not in ("_thread", "threading")


def open_in(directory):
    """Say where events go. Each process opens its own file there at its first event, also after a fork."""
    _state["directory"] = directory
    _files.clear()


def emit(kind, number=-1):
    """Append one event of this process, stamped with CLOCK_MONOTONIC."""
    _append(contract.FILE_NAME, kind, (number,))


def emit_all(kind, numbers):
    """Append one event for each number, all of one moment."""
    if numbers:
        _append(contract.FILE_NAME, kind, numbers)


def stamp(kind, number):
    """Append one stamp of this process. Stamps are read once the trial is over: they are no sign of life."""
    _append(contract.STAMPS_FILE_NAME, kind, (number,))


def _append(pattern, kind, numbers):
    at_ns = time.monotonic_ns()
    if _state["directory"] is None:
        return
    pid = os.getpid()
    if _state["pid"] != pid:  # the descriptors of a fork are its parent's
        _files.clear()
        _state["pid"] = pid
    fd, place = _files.get(pattern) or (None, None)
    if fd is None or _place(fd) != place:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        fd = os.open(os.path.join(_state["directory"], pattern.format(pid=pid)), flags, 0o600)
        _files[pattern] = fd, _place(fd)
    tid = native_id()
    os.write(fd, b"".join([contract.pack(kind, tid, number, at_ns) for number in numbers]))


def _place(fd):
    """(inode, device) of what a descriptor leads to; None if it is closed."""
    try:
        return os.fstat(fd)[1:3]
    except OSError:
        return None
