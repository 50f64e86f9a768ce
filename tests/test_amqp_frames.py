"""Confirmations and deliveries are read out of the bytes of a connection, however these are cut; all else is py-amqp's."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps
from hypothesis import given
from hypothesis import strategies as st

from harness.client.amqp_frames import Heard

MORE: dict[str, Any] = {
    "content_type": "application/json", "content_encoding": "utf-8", "application_headers": {"a": 1, "b": [None, "x"]},
    "delivery_mode": 2, "priority": 0, "reply_to": "somewhere", "timestamp": 7, "app_id": "shop",
}  # fmt: skip


class Said:
    """What was told, in order."""

    def __init__(self) -> None:
        self.all: list[tuple[Any, ...]] = []
        self.heard = Heard(
            lambda frame: self.all.append(("rest", *frame)),
            lambda tag, multiple: self.all.append(("acked", tag, multiple)),
            lambda number, body: self.all.append(("delivered", number, body)),
        )


def frames(method: tuple[int, int], args: bytes, message: amqp.Message | None = None, *, most: int = 131_072) -> bytes:
    """As py-amqp writes them."""
    parts: list[bytes] = []
    transport = SimpleNamespace(write=lambda data: parts.append(bytes(data)))
    frame_writer(SimpleNamespace(frame_max=most, bytes_sent=0), transport)(1, 1, method, args, message)
    return b"".join(parts)


def delivered(number: str, body: bytes, most: int = 131_072, **properties: Any) -> bytes:
    given_id = {"correlation_id": number} if number else {}
    args = dumps("sLbss", ("tag", 1, False, "", "replies"))
    return frames(spec.Basic.Deliver, args, amqp.Message(body, **given_id, **properties), most=most)


def acked(tag: int, multiple: bool) -> bytes:
    return frames(spec.Basic.Ack, dumps("Lb", (tag, multiple)))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


@given(sizes=st.lists(st.integers(1, 40), max_size=60), names=st.sets(st.sampled_from(sorted(MORE))))
def test_each_is_told_once_and_in_order_however_the_bytes_are_cut(sizes: list[int], names: set[str]) -> None:
    more = {name: MORE[name] for name in names}
    said = Said()
    data = acked(3, False) + delivered("id-1", b"{}", **more) + acked(9, True) + delivered("", b"x", **more)
    for piece in cut(data, sizes):
        said.heard.take(piece)
    assert said.all == [
        ("acked", 3, False), ("delivered", b"id-1", b"{}"), ("acked", 9, True), ("delivered", b"", b"x"),
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"", b"short", b"long" * 5000], ids=["empty", "one frame", "many frames"])
def test_a_body_comes_whole_and_the_next_delivery_has_its_own(body: bytes) -> None:
    said = Said()
    said.heard.take(delivered("one", body, 4096, **MORE) + delivered("two", b"next", 4096))
    assert said.all == [("delivered", b"one", body), ("delivered", b"two", b"next")]


def test_whatever_else_comes_is_left_to_py_amqp_with_its_content() -> None:
    said = Said()
    beat = struct.pack(">BHIB", 8, 0, 0, 0xCE)
    said.heard.take(beat + frames(spec.Basic.Return, dumps("Bsss", (312, "NO_ROUTE", "", "q")), amqp.Message(b"back")))
    assert [kind for kind, *_ in said.all] == ["rest"] * 4
    assert [frame[1] for frame in said.all] == [8, 1, 2, 3]  # a heartbeat; method, header and body of what came back
