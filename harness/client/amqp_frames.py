"""The frames of AMQP 0-9-1 that come with every request, read directly: confirmations and deliveries (sections 2.3.5, 4.2).

py-amqp reads all others. These two are most of what a client of ours hears, and reading them through objects would cost as much
as all the rest of a request.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

HEADER = struct.Struct(">BHI")  # of a frame: type, channel, size
METHOD, CONTENT, BODY = 1, 2, 3
ACK, DELIVER = struct.pack(">HH", 60, 80), struct.pack(">HH", 60, 60)  # class basic
_ACKED = struct.Struct(">QB")  # tag, and whether it is of all up to it
_CONTENT = struct.Struct(">QH")  # size of the body, and which properties follow; behind class and weight
_SIZE = struct.Struct(">I")
TABLE = 1 << 13  # headers: a long string; the two before it are short ones, the two behind it octets
SHORT, OCTETS, CORRELATION = (1 << 15, 1 << 14), (1 << 12, 1 << 11), 1 << 10


def correlation_of(payload: bytes) -> tuple[int, bytes]:
    """(size of the body, correlation id or b'') of a content header's payload."""
    size, flags = _CONTENT.unpack_from(payload, 4)
    if not flags & CORRELATION:
        return size, b""
    at = 4 + _CONTENT.size
    for flag in SHORT:
        at += 1 + payload[at] if flags & flag else 0
    if flags & TABLE:
        at += 4 + int(_SIZE.unpack_from(payload, at)[0])
    at += sum(bool(flags & flag) for flag in OCTETS)
    return size, payload[at + 1 : at + 1 + payload[at]]


class Heard:
    """Tells of each confirmation and each delivery that came whole; all other frames go to `rest`, as py-amqp takes them."""

    def __init__(
        self,
        rest: Callable[[tuple[int, int, bytes]], object],
        acked: Callable[[int, bool], None],
        delivered: Callable[[bytes, bytes], None],
    ) -> None:
        """`acked`: (tag, multiple); `delivered`: (correlation id, body)."""
        self._rest, self._acked, self._delivered = rest, acked, delivered
        self._held = b""
        self._comes, self._left, self._id, self._parts = False, -1, b"", list[bytes]()

    def take(self, data: bytes) -> None:
        """Bytes as they are read; what is no whole frame yet is kept."""
        held, at = self._held + data, 0
        while len(held) - at >= HEADER.size:
            kind, channel, size = HEADER.unpack_from(held, at)
            end = at + HEADER.size + size + 1
            if len(held) < end:
                break
            self._frame(kind, channel, held[at + HEADER.size : end - 1])
            at = end
        self._held = held[at:]

    def _frame(self, kind: int, channel: int, payload: bytes) -> None:
        if kind == METHOD and payload.startswith(ACK):
            tag, multiple = _ACKED.unpack_from(payload, 4)
            self._acked(tag, bool(multiple & 1))
        elif kind == METHOD and payload.startswith(DELIVER):
            self._comes = True
        elif self._comes and kind in (CONTENT, BODY):
            self._content(kind, payload)
        else:
            self._rest((kind, channel, payload))

    def _content(self, kind: int, payload: bytes) -> None:
        if kind == CONTENT:
            self._left, self._id = correlation_of(payload)
        else:
            self._parts.append(payload)
            self._left -= len(payload)
        if self._left == 0:
            body, self._parts, self._comes = b"".join(self._parts), [], False
            self._delivered(self._id, body)
