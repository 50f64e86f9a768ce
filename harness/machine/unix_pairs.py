"""Which Unix sockets are pairs: the kernel tells it by netlink alone (sock_diag(7), linux/unix_diag.h)."""

from __future__ import annotations

import socket
import struct

SOCK_DIAG, BY_FAMILY = 4, 20  # NETLINK_SOCK_DIAG; SOCK_DIAG_BY_FAMILY
REQUEST_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
SHOW_PEER, PEER = 4, 2  # UDIAG_SHOW_PEER; UNIX_DIAG_PEER
DONE, ERROR = 3, 2  # NLMSG_DONE, NLMSG_ERROR
HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
ASK = struct.Struct("=BBHIIIII")  # struct unix_diag_req: family, protocol, -, states, inode, show, cookie
TOLD = struct.Struct("=BBBBIII")  # struct unix_diag_msg: family, type, state, -, inode, cookie
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
LIMIT_S = 1.0


def peers() -> dict[int, int]:
    """The inode of each connected Unix socket of this network namespace -> that of its other end; {} if it is not told."""
    request = ASK.pack(socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, SHOW_PEER, 0xFFFFFFFF, 0xFFFFFFFF)
    found: dict[int, int] = {}
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, SOCK_DIAG) as asked:
            asked.settimeout(LIMIT_S)
            asked.send(HEADER.pack(HEADER.size + ASK.size, BY_FAMILY, REQUEST_DUMP, 1, 0) + request)
            while _take(asked.recv(1 << 16), found):
                pass
    except OSError:
        return {}
    return found


def _take(data: bytes, found: dict[int, int]) -> bool:
    """Read the messages of one answer; whether more will come."""
    place = 0
    while place + HEADER.size <= len(data):
        length, kind, *_ = HEADER.unpack_from(data, place)
        if kind in (DONE, ERROR) or length < HEADER.size:
            return False
        inode = TOLD.unpack_from(data, place + HEADER.size)[4]
        at, end = place + HEADER.size + TOLD.size, place + length
        while at + ATTRIBUTE.size <= end:
            size, what = ATTRIBUTE.unpack_from(data, at)
            if what == PEER:
                found[inode] = struct.unpack_from("=I", data, at + ATTRIBUTE.size)[0]
            at += max(ATTRIBUTE.size, size + 3 & ~3)
        place += length + 3 & ~3
    return True
