"""What a socket of a process is, and to whom it leads: by /proc/PID/net, which is that of the process's own network.

Sources: proc(5); the kernel's Documentation/networking/proc_net_tcp.rst, whose form UDP, UDP-Lite, raw and ping sockets share;
netlink(7), packet(7), unix(7). The kernel names the kind of any socket in an attribute of its descriptor (net/socket.c,
`system.sockprotoname`), which may be read by whoever may follow that.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.machine import procfs, unix_pairs

STATES = {
    "01": "established", "02": "connecting", "04": "closing", "05": "closing", "06": "closed", "07": "closed",
    "08": "closed by the other side", "09": "closing", "0A": "listening", "0B": "closing",
}  # fmt: skip
CONNECTED = "established"  # also of what has no connection, but one peer
DATAGRAMS = {"udp": "UDP", "udp6": "UDP", "udplite": "UDP-Lite", "udplite6": "UDP-Lite", "icmp": "ping", "icmp6": "ping"}
RAW = ("raw", "raw6")
#: linux/netlink.h
NETLINKS = {0: "route", 4: "sock_diag", 6: "xfrm", 9: "audit", 11: "connector", 12: "netfilter", 15: "uevent", 16: "generic"}
NETLINK_INODE, PACKET_INODE, UNIX_INODE, UNIX_PATH = 9, 8, 6, 7  # places in a line
ATTRIBUTE = "system.sockprotoname"
KINDS = {"UNIX": "Unix", "NETLINK": "netlink", "PACKET": "packet", "RAW": "raw", "RAWv6": "raw"}  # others have these names
ANYBODY = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Socket:
    """A line of /proc/net/tcp, or of another file of its form: addresses are (host, port)."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: int


def tcp(pid: int) -> list[Socket]:
    """The TCP sockets of the network namespace that a process is in, but for those that neither listen nor connect."""
    return [one for name in ("tcp", "tcp6") for one in parse(_table(pid, name))]


def parse(text: str) -> list[Socket]:
    """Lines of /proc/net/tcp or of a file of its form, the title left out.

    >>> line = " 0: 0100007F:A1B2 0100007F:18EB 01 00000000:00000000 00:00000000 00000000 0 0 77 1 0 20 4 0 10 -1"
    >>> parse("title\\n" + line)[0]
    Socket(local=('127.0.0.1', 41394), remote=('127.0.0.1', 6379), state='established', inode=77)
    """
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9:
            state = STATES.get(fields[3], fields[3])
            found.append(Socket(local=_address(fields[1]), remote=_address(fields[2]), state=state, inode=int(fields[9])))
    return found


def shown(address: tuple[str, int]) -> str:
    """
    >>> shown(("::1", 80)), shown(("10.0.0.5", 80))
    ('[::1]:80', '10.0.0.5:80')
    """
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def other_in_words(pid: int, descriptor: int, inode: int) -> str:
    """What a socket is that is none of `tcp`: 'UDP 10.0.0.5:53', 'a netlink socket (route)', 'the Unix socket /run/x';
    'a socket' if nobody can tell."""
    told = next(_told(pid, inode), "")
    kind = kind_of(pid, descriptor)
    return told or (f"a {kind} socket" + (" that is not connected" if kind == "TCP" else "") if kind else "a socket")


def kind_of(pid: int, descriptor: int) -> str:
    """'TCP', 'UDP', 'netlink', 'Unix' …; '' if it may not be read, or the kernel is too old (before 3.7)."""
    try:
        name = os.getxattr(f"/proc/{pid}/fd/{descriptor}", ATTRIBUTE).rstrip(b"\0").decode("ascii", "replace")
    except OSError:
        return ""
    return KINDS.get(name.partition("-")[0], name.removesuffix("v6").removeprefix("AF_"))


def _told(pid: int, inode: int) -> Iterator[str]:
    """By the tables of its network, those first that are asked for most."""
    yield from (_unix(pid, fields) for fields in _lines(pid, "unix", UNIX_INODE, inode))
    for name, kind in DATAGRAMS.items():
        yield from (_datagrams(kind, one) for one in parse(_table(pid, name)) if one.inode == inode)
    for fields in _lines(pid, "netlink", NETLINK_INODE, inode):
        yield f"a netlink socket ({NETLINKS.get(int(fields[1]), f'protocol {fields[1]}')})"
    for name in RAW:  # a protocol stands in the place of its port
        yield from (f"a raw socket (protocol {one.local[1]})" for one in parse(_table(pid, name)) if one.inode == inode)
    yield from ("a packet socket, which hears the network" for _ in _lines(pid, "packet", PACKET_INODE, inode))


def _datagrams(kind: str, one: Socket) -> str:
    """Where they come from: of one that is connected, from its peer alone."""
    if one.remote[0] not in ANYBODY or one.state == CONNECTED:
        return f"{kind} {shown(one.remote)}"
    return f"{kind} from anybody, at {shown(one.local)}"


def _unix(pid: int, fields: list[str]) -> str:
    """By its path, or by that of its other end."""
    path = _path(fields)
    if not path and (peer := unix_pairs.peers().get(int(fields[UNIX_INODE]))):
        path = next(map(_path, _lines(pid, "unix", UNIX_INODE, peer)), "")
    return f"the Unix socket {path}" if path else "a Unix socket"


def _path(fields: list[str]) -> str:
    return " ".join(fields[UNIX_PATH:])


def _lines(pid: int, name: str, place: int, inode: int) -> Iterator[list[str]]:
    """The fields of those lines of a table that are this socket's."""
    lines = (line.split() for line in _table(pid, name).splitlines()[1:])
    return (fields for fields in lines if len(fields) > place and fields[place] == str(inode))


def _table(pid: int, name: str) -> str:
    return procfs.read(f"/proc/{pid}/net/{name}") or ""


def _address(text: str) -> tuple[str, int]:
    """Each 32-bit word of an address is written in the machine's own byte order."""
    host, _, port = text.partition(":")
    words = [struct.pack("=I", int(host[place : place + 8], 16)) for place in range(0, len(host), 8)]
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(words)).removeprefix("::ffff:"), int(port, 16)
