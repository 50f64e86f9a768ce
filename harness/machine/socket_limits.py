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


def none(pid: int, descriptor: int) -> bool:
    """Whether it is known to have none; False also where we may not ask."""
    if platform.system() != "Linux" or not hasattr(os, "pidfd_open"):
        return False
    try:
        process = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        borrowed = _libc.syscall(_GETFD, process, descriptor, 0)
    finally:
        os.close(process)
    if borrowed < 0:
        return False
    try:
        with socket.socket(fileno=borrowed) as one:
            return all(LIMIT.unpack(one.getsockopt(socket.SOL_SOCKET, name, LIMIT.size)) == (0, 0) for name in NAMES)
    except OSError:
        return False
