"""The wire to a RabbitMQ: messages as Celery writes them, answered over RPC or through a Valkey.

They are somebody's own, published as they were found, or those of our own task. py-amqp, which Celery itself speaks through,
connects, declares and writes a message's frames; `amqp_frames` reads most of those that come. A row's frames are written once:
what differs by request is its id, and in our own messages its number, which take as many bytes as what stands for them there.
Publishing and reading have a connection each; what is asked now and then has another, since it waits for its answer.
"""

from __future__ import annotations

import base64
import json
import select
import socket
import time
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any

import amqp
import redis
from amqp import spec
from amqp.method_framing import frame_writer
from amqp.serialization import dumps

from harness.broker.rabbitmq import connected
from harness.broker.rabbitmq_view import enveloped
from harness.client import opaque, own_message, rebase
from harness.client.amqp_frames import Heard
from harness.client.plan import request_id
from harness.client.wire import FORGET_AFTER, READ_BYTES, Stored, Taken
from harness.worker import contract

STAND_IN = request_id("f" * 24, 0xFFFFFFFF)  # the id in a row's frames: none of ours, and as long
ANY_NUMBER = 0xFFFFFFFF  # likewise of our own task's argument; spaces fill up a shorter one
CHANNEL = 1
NO_BACKEND = "disabled://"  # of the Celery that writes the pattern of our own messages: it waits for no answer
REPLIES = "harness-replies-{prefix}"
PROPERTIES = ("priority", "delivery_mode", "correlation_id", "expiration", "message_id", "timestamp", "type", "app_id")


class Line:
    """One connection with one channel: bytes out, whole frames in. `acked` and `delivered`: see `amqp_frames.Heard`."""

    def __init__(
        self,
        url: str,
        acked: Callable[[int, bool], None] = lambda tag, multiple: None,
        delivered: Callable[[bytes, bytes], None] = lambda number, body: None,
    ) -> None:
        self.connection = connected(url)
        self.channel = self.connection.channel(CHANNEL)
        self.socket: socket.socket = self.connection.sock
        self._heard = Heard(self.connection.on_inbound_frame, acked, delivered)

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise amqp.RecoverableConnectionError(f"sending failed: {error}") from error

    def read(self) -> None:
        """Take the whole frames that are there, and call what they call; to be called if there is something."""
        try:
            data = self.socket.recv(READ_BYTES)
        except OSError as error:
            raise amqp.RecoverableConnectionError(f"reading failed: {error}") from error
        if not data:
            raise amqp.RecoverableConnectionError("the broker closed the connection")
        self._heard.take(data)

    def close(self) -> None:
        self.connection.collect()  # at once: frames that wait would be taken for the answer to a polite end


class Replies:
    """Answers that come as messages (`rpc://`), to a queue of ours; nothing of them is stored. `opaque`: news are left out, see
    `opaque.is_news`."""

    def __init__(self, url: str, prefix: str, *, opaque: bool = True) -> None:
        self.done: tuple[()] = ()
        self._opaque = opaque
        self._line, self._came = Line(url, delivered=self._take), list[tuple[int, bytes]]()
        self._ours, self.name = request_id(prefix, 0)[:-8].encode(), REPLIES.format(prefix=prefix)
        self._line.channel.queue_declare(self.name, exclusive=True, auto_delete=True)
        self._line.channel.basic_consume(self.name, no_ack=True)
        self.socket = self._line.socket

    def _take(self, number: bytes, raw: bytes) -> None:
        if number.startswith(self._ours) and not (self._opaque and opaque.is_news(raw)):
            self._came.append((int(number[-8:], 16), raw))

    def read(self) -> list[tuple[int, bytes]]:
        self._line.read()
        came, self._came = self._came, []
        return came

    def forget(self) -> None:
        """There is nothing to drop."""

    def close(self) -> None:
        self._line.close()


class AmqpWire:
    """As `wire.Wire`; `results`: where answers are stored, '' if they come as messages. Each message has its route in it."""

    lost: tuple[type[Exception], ...] = (amqp.AMQPError, redis.RedisError)

    def __init__(
        self, url: str, queue: str, prefix: str, messages: Sequence[str] = (), results: str = "", results_prefix: str = "",
        queues: Sequence[str] = (), kept: str = "",
    ) -> None:  # fmt: skip
        self.prefix, self.queue, self._url, self._messages = prefix, queue, url, messages
        self._every = list(dict.fromkeys(queues or [queue]))
        self._answers: Stored | Replies
        theirs = bool(messages)
        self._reply_to = ""
        if results:
            self._answers = Stored(results, prefix, results_prefix, opaque=theirs)
        else:
            self._answers = replies = Replies(url, prefix, opaque=theirs)
            self._reply_to = replies.name
        self._out = Line(url, acked=self._has)
        self._out.channel.confirm_select()
        self._out.channel.events["basic_nack"].add(_refused)
        self._tag, self._sent, self._confirmed = 0, dict[int, int](), list[int]()
        self._frames: dict[int, bytes] = {}
        make = partial(own_message.template, url, NO_BACKEND, queue, self._taken)
        self._message = "" if messages else own_message.kept(kept, queue, make)

    def frames(self, row: int) -> bytes:
        """What one request of this row is on the wire, but for its id (and number)."""
        if row not in self._frames or (self._messages and contract.REBASE in self._messages[row]):
            self._frames[row] = framed(self._out.connection, self._text(row), self._reply_to)
        return self._frames[row]

    def _text(self, row: int) -> str:
        if not self._messages:
            return own_message.filled(self._message, STAND_IN, ANY_NUMBER, row)
        return rebase.fill(self._messages[row].replace(contract.PLACEHOLDER, STAND_IN), time.time())

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        """Send requests, (number, row) each, in one go."""
        mark, place, data = STAND_IN.encode(), b"%d" % ANY_NUMBER, list[bytes]()
        for number, row in requests:
            self._tag += 1
            self._sent[self._tag] = number
            one = self.frames(row).replace(mark, request_id(self.prefix, number).encode())
            data.append(one if self._messages else one.replace(place, b"%*d" % (len(place), number)))
        self._out.send(b"".join(data))

    def _taken(self, queue: str) -> bytes | None:
        message = self._asked.basic_get(queue, no_ack=True)
        return enveloped(message) if message is not None else None

    def _has(self, tag: int, multiple: bool) -> None:
        """The broker has this message; all up to it, if `multiple`."""
        tags = [one for one in self._sent if one <= tag] if multiple else [tag]
        self._confirmed += [self._sent.pop(one) for one in tags if one in self._sent]

    def take(self, limit_s: float) -> Taken:
        """Whatever answers and confirmations are there, after waiting up to `limit_s` for the first of them."""
        ready, _, _ = select.select([self._answers.socket, self._out.socket], [], [], max(0.0, limit_s))
        answers = self._answers.read() if self._answers.socket in ready else []
        if self._out.socket in ready:
            self._out.read()
        confirmed, self._confirmed = self._confirmed, []
        taken = Taken(at_ns=time.monotonic_ns(), answers=answers, confirmed=confirmed)
        if len(self._answers.done) >= FORGET_AFTER:
            self._answers.forget()
        return taken

    @property
    def unconfirmed(self) -> bool:
        return bool(self._sent)

    @cached_property
    def _asked(self) -> amqp.Channel:
        return connected(self._url).channel()

    def queued(self) -> int:
        """How many messages wait in the broker."""
        return sum(int(self._asked.queue_declare(queue, passive=True).message_count) for queue in self._every)

    def withdraw(self) -> list[int]:
        """Take back what no worker has been given yet; the numbers of these requests."""
        numbers = []
        for queue in self._every:
            while (message := self._asked.basic_get(queue, no_ack=True)) is not None:
                numbers.append(int(str(message.headers["id"])[-8:], 16))
        return numbers

    def close(self) -> None:
        self._answers.forget()
        self._answers.close()
        self._out.close()
        if "_asked" in vars(self):
            self._asked.connection.collect()


def _refused(tag: int, multiple: bool) -> None:
    raise amqp.InternalError("the broker did not take a message")


class _Written:
    """Takes what py-amqp would send."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: Any) -> None:
        self.parts.append(bytes(data))


def framed(connection: Any, text: str, reply_to: str) -> bytes:
    """A message (JSON, see `rabbitmq_view.enveloped`) as the frames of a basic.publish to where it was found."""
    found = json.loads(text)
    properties, where = found["properties"], found["properties"]["delivery_info"]
    given = {name: properties[name] for name in PROPERTIES if properties.get(name) is not None}
    answered = reply_to or properties.get("reply_to")
    message = amqp.Message(
        base64.b64decode(found["body"]), content_type=found["content-type"], content_encoding=found["content-encoding"],
        application_headers=found["headers"], **given, **({"reply_to": answered} if answered else {}),
    )  # fmt: skip
    out = _Written()
    write: Callable[..., None] = frame_writer(connection, out)
    write(1, CHANNEL, spec.Basic.Publish, dumps("Bssbb", (0, where["exchange"], where["routing_key"], False, False)), message)
    return b"".join(out.parts)
