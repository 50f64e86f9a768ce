"""Whether a socket of another process has a time limit of its own (SO_RCVTIMEO, SO_SNDTIMEO of socket(7)): no call shows it.

The socket is borrowed for the question (pidfd_getfd(2), Linux 5.6) and given back at once; nothing is read or written.
"""

from __future__ import annotations

import ctypes
import os
import platform
import socket
import struct

_GETFD = 438  # on every machine (include/uapi/asm-generic/unistd.h)
_libc = ctypes.CDLL(None, use_errno=True)
LIMIT = struct.Struct("@ll")  # struct timeval
NAMES = (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO)
SENDS = ("write", "send")


def none(pid: int, descriptor: int) -> bool:
    """Whether it is known to have none; False also where we may not ask."""
    return limits_s(pid, descriptor) == (0.0, 0.0)


def of_call(pid: int, descriptor: int, kind: str) -> float:
    """The seconds after which a call of this kind ends by it; 0 if by none, and where we may not ask."""
    receives_s, sends_s = limits_s(pid, descriptor) or (0.0, 0.0)
    return sends_s if kind in SENDS else receives_s


def limits_s(pid: int, descriptor: int) -> tuple[float, float] | None:
    """(seconds for what is received, for what is sent), 0 for no limit; None if it is no socket, and where we may not ask."""
    if platform.system() != "Linux" or not hasattr(os, "pidfd_open"):
        return None
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return None
    try:
        borrowed = _libc.syscall(_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if borrowed < 0:
        return None
    try:
        with socket.socket(fileno=borrowed) as one:
            told = [LIMIT.unpack(one.getsockopt(socket.SOL_SOCKET, name, LIMIT.size)) for name in NAMES]
    except OSError:
        return None
    receives_s, sends_s = (seconds + micros / 1e6 for seconds, micros in told)
    return receives_s, sends_s
