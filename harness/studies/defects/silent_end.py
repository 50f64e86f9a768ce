"""Make a server forget one connection without telling the other end: what a firewall, a NAT or a lost power line does.

`forget`: whoever sends on it afterwards is told (a reset). `deafen`: nobody is told, ever; what is sent is taken, and not read.

The socket of the server's is copied out of it (pidfd_getfd(2)), put into repair mode (TCP_REPAIR, linux/tcp.h), and closed on
both sides: a socket that is closed in repair mode sends nothing (net/ipv4/tcp.c, tcp_close). Both calls need root:
CAP_SYS_PTRACE and CAP_NET_ADMIN. Only for servers that we have started.
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable

from harness.errors import NotPermitted
from harness.machine import sockets

PIDFD_GETFD = 438  # the same on all architectures (asm-generic/unistd.h)
TCP_REPAIR = 19


def forget(server: int, client_port: int, drop: Callable[[], object]) -> None:
    """Let the server `drop` its connection to that port, and the client hear nothing of it. Raises NotPermitted."""
    held = _copy(server, _descriptor(server, client_port))
    with held:
        try:
            held.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
        except OSError as error:
            raise _refused(error) from error
        drop()


def deafen(server: int, client_port: int, drop: Callable[[], object]) -> socket.socket:
    """Let the server `drop` its connection to that port, and keep its end of it open: nobody reads what the client sends, until
    the socket that is returned is closed. Raises NotPermitted."""
    held = _copy(server, _descriptor(server, client_port))
    drop()
    return held


def _descriptor(server: int, client_port: int) -> int:
    """The server's descriptor of its connection to that port."""
    inode = next(one.inode for one in sockets.tcp(server) if one.remote[1] == client_port and one.state == "established")
    folder = f"/proc/{server}/fd"
    return next(int(name) for name in os.listdir(folder) if os.readlink(f"{folder}/{name}") == f"socket:[{inode}]")


def _copy(server: int, descriptor: int) -> socket.socket:
    pidfd = os.pidfd_open(server)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        copied = libc.syscall(PIDFD_GETFD, pidfd, descriptor, 0)
        if copied < 0:
            raise _refused(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))
    finally:
        os.close(pidfd)
    return socket.socket(fileno=copied)


def _refused(error: OSError) -> NotPermitted:
    return NotPermitted(
        f"a connection of the broker's cannot be made to end silently: {error}",
        remedy="run it as root, or with CAP_SYS_PTRACE and CAP_NET_ADMIN",
    )
