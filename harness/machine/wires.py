"""The TCP connections of one process, each with what stands unread and unsent in it, and whether an epoll set watches it.

Sources: the kernel's Documentation/networking/proc_net_tcp.rst (queues, timers) and Documentation/filesystems/proc.rst (fdinfo
of an epoll set). Nothing is asked of the process, and no socket is touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.machine import descriptors, procfs, sockets

TARGET = re.compile(r"^tfd:\s*(\d+).*?\bino:([0-9a-f]+)", re.MULTILINE)
TIMERS = {"00": "", "01": "retransmit", "02": "keepalive", "03": "closing", "04": "probe"}
EPOLL = "anon_inode:[eventpoll]"


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A connection of a process, at one moment. Its ends are (host, port)."""

    descriptor: int
    local: tuple[str, int]
    remote: tuple[str, int]
    state: str  # as `sockets.STATES` names it
    unread: int = 0  # bytes in the kernel's queue
    unsent: int = 0  # bytes that the other side has not acknowledged
    timer: str = ""  # the kernel's; '' if none runs
    watched: bool = False  # it stands in an epoll set of the process


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What a line of /proc/net/tcp says of a connection's queues."""

    unread: int
    unsent: int
    timer: str


def of(pid: int) -> tuple[Wire, ...]:
    """The connections that this process has open; () if that may not be read."""
    at = {descriptor: descriptors.link_of(pid, descriptor) for descriptor in procfs.numbers(f"/proc/{pid}/fd")}
    places = {int(target[8:-1]): descriptor for descriptor, target in at.items() if target.startswith("socket:[")}
    if not places:
        return ()
    watched = {inode for descriptor, target in at.items() if target == EPOLL for inode in _watched(pid, descriptor)}
    found = []
    for name in ("tcp", "tcp6"):
        text = procfs.read(f"/proc/{pid}/net/{name}") or ""
        queues = parse_queues(text)
        for one in sockets.parse(text):
            if one.inode in places and one.state != "listening":
                queue = queues[one.inode]
                found.append(
                    Wire(
                        descriptor=places[one.inode], local=one.local, remote=one.remote, state=one.state,
                        unread=queue.unread, unsent=queue.unsent, timer=queue.timer, watched=one.inode in watched,
                    )
                )  # fmt: skip
    return tuple(sorted(found, key=lambda wire: wire.descriptor))


def parse_queues(text: str) -> dict[int, Queue]:
    """By inode, from the lines of /proc/net/tcp or tcp6.

    >>> line = " 0: 0100007F:A1B2 0100007F:18EB 01 00000000:0000001E 02:0000710C 00000000 0 0 77 1 0 20 4 0 10 -1"
    >>> parse_queues("title\\n" + line)
    {77: Queue(unread=30, unsent=0, timer='keepalive')}
    """
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            unsent, _, unread = fields[4].partition(":")
            timer = TIMERS.get(fields[5][:2], "")
            found[int(fields[9])] = Queue(unread=int(unread, 16), unsent=int(unsent, 16), timer=timer)
    return found


def _watched(pid: int, descriptor: int) -> list[int]:
    """The inodes in an epoll set."""
    told = procfs.read(f"/proc/{pid}/fdinfo/{descriptor}") or ""
    return [int(inode, 16) for _, inode in TARGET.findall(told)]
