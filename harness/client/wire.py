"""Celery's wire, spoken directly: what a worker gets is what Celery's own client sends, at a small part of its cost.

A message of Celery's own is the template of all others (`own_message`). Answers come over one pattern subscription on the
result channels, to which a worker publishes every result anyway. Two sockets, because a subscribed connection may send no
other commands; replies are parsed by hiredis. Whatever is due goes out as one command, nobody waits for its confirmation, and
whatever has come is read at once: a request costs a few system calls at the most.
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import hiredis
import redis

from harness.broker import OUR_NAME
from harness.client import opaque, own_message, rebase
from harness.client.plan import new_prefix, request_id
from harness.worker import contract

FORGET_AFTER = 256  # answers that were taken; their stored results are then dropped together
READ_BYTES = 1 << 16  # a hundred answers or so: reading them must not make a send late


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What one wait brought. `at_ns`: when it had been read; `answers`: (number, raw result); `confirmed`: numbers of requests
    that the broker says it has."""

    at_ns: int
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    confirmed: list[int] = field(default_factory=list)


class AnyWire(Protocol):
    """What sends and takes for the load generator, whatever the kind of the broker. `lost`: what it raises if the broker is."""

    prefix: str
    lost: tuple[type[Exception], ...]

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        """Send requests, (number, row) each, in one go."""

    def take(self, limit_s: float) -> Taken:
        """Whatever answers and confirmations are there, after waiting up to `limit_s` for the first of them."""

    @property
    def unconfirmed(self) -> bool: ...
    def queued(self) -> int:
        """How many messages wait in the broker."""

    def withdraw(self) -> list[int]:
        """Take back what no worker has been given yet; the numbers of these requests."""

    def close(self) -> None: ...


class Channel:
    """One connection to the broker: commands out, parsed replies in."""

    def __init__(self, url: str) -> None:
        # redis-py knows how to connect (TLS, user, password, database); from then on its socket is ours
        self._connection = redis.Redis.from_url(url, client_name=OUR_NAME).connection_pool.get_connection()
        self.socket: socket.socket = cast(Any, self._connection)._sock
        self.socket.settimeout(None)
        self._reader = hiredis.Reader()
        self._hidden = getattr(self.socket, "pending", lambda: 0)  # bytes that TLS has decrypted and select does not see

    def send(self, command: bytes) -> None:
        try:
            self.socket.sendall(command)
        except OSError as error:
            raise redis.ConnectionError(f"sending failed: {error}") from error

    def read(self) -> list[object]:
        """The whole replies that are there; call it when there is something to read."""
        found: list[object] = []
        while True:
            try:
                data = self.socket.recv(READ_BYTES)
            except OSError as error:
                raise redis.ConnectionError(f"reading failed: {error}") from error
            if not data:
                raise redis.ConnectionError("the broker closed the connection")
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                if isinstance(reply, hiredis.ReplyError):
                    raise redis.ResponseError(str(reply))
                found.append(reply)
            if not self._hidden():
                return found

    def close(self) -> None:
        self._connection.disconnect()


class Stored:
    """Answers that are stored in a Valkey, and published there as well; `key_prefix`: of the result back end's own keys;
    `opaque`: news are left out, see `opaque.is_news`. `done`: keys of those that were taken, for somebody to drop."""

    def __init__(self, url: str, prefix: str, key_prefix: str = "", *, opaque: bool = True) -> None:
        self._url, self._opaque = url, opaque
        self._channel = Channel(url)
        self.socket, self.done = self._channel.socket, list[bytes]()
        pattern = f"{key_prefix}celery-task-meta-{request_id(prefix, 0)[:-8]}*"
        self._channel.send(command(b"PSUBSCRIBE", pattern.encode()))
        while not self._channel.read():
            pass

    def read(self) -> list[tuple[int, bytes]]:
        """(number, raw result) of each that is there; to be called if there is something."""
        replies = cast("list[tuple[bytes, bytes, bytes, bytes]]", self._channel.read())
        kept = [reply for reply in replies if not (self._opaque and opaque.is_news(reply[3]))]
        self.done += [reply[2] for reply in kept]
        return [(int(reply[2][-8:], 16), reply[3]) for reply in kept]

    def forget(self) -> None:
        """Drop the results of those that were taken."""
        if self.done:
            with redis.Redis.from_url(self._url, client_name=OUR_NAME) as connection:
                connection.unlink(*self.done)
            self.done.clear()

    def close(self) -> None:
        self._channel.close()


class Wire:
    """Publishing and receiving on one broker. Request n's id is a fixed prefix and n, so ids need no table."""

    lost: tuple[type[Exception], ...] = (redis.RedisError,)

    def __init__(
        self, url: str, queue: str, prefix: str = "", messages: Sequence[str] = (), results_prefix: str = "",
        queues: Sequence[str] = (), kept: str = "",
    ) -> None:  # fmt: skip
        """`messages`: those of somebody's own application, one a row, see `harness.worker.app_facts`; `results_prefix`: of its
        result back end's keys; `queues`: of each row, if not all go to `queue`; `kept`: where `own_message` stands."""
        self.prefix, self.queue, self._queues = prefix or new_prefix(), queue, queues
        self.redis = redis.Redis.from_url(url, client_name=OUR_NAME)  # for what is asked now and then
        self._messages = messages
        make = partial(own_message.template, url, url, queue, self._taken)
        self._message = "" if messages else own_message.kept(kept, queue, make)
        self._out = Channel(url)
        self._confirmations: deque[Sequence[int]] = deque()  # of commands that are on their way, in order
        self._answers = Stored(url, self.prefix, results_prefix, opaque=bool(messages))

    def message(self, number: int, row: int) -> bytes:
        """The broker message of one request, as kombu writes it."""
        if self._messages:
            text = self._messages[row].replace(contract.PLACEHOLDER, request_id(self.prefix, number))
            return rebase.fill(text, time.time()).encode()
        return own_message.filled(self._message, request_id(self.prefix, number), number, row).encode()

    def _taken(self, queue: str) -> bytes | None:
        return cast("bytes | None", self.redis.rpop(queue))

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        """Send requests, (number, row) each, as one command per queue; a worker sees either none of a burst or all of it."""
        by_queue: dict[str, list[tuple[int, int]]] = {}
        for number, row in requests:
            by_queue.setdefault(self._queues[row] if self._queues else self.queue, []).append((number, row))
        for queue, those in by_queue.items():
            self._out.send(command(b"LPUSH", queue.encode(), *(self.message(number, row) for number, row in those)))
            self._confirmations.append([number for number, _ in those])

    def take(self, limit_s: float) -> Taken:
        """Whatever answers and confirmations are there, after waiting up to `limit_s` for the first of them."""
        ready, _, _ = select.select([self._answers.socket, self._out.socket], [], [], max(0.0, limit_s))
        answers = self._answers.read() if self._answers.socket in ready else []
        replies = self._out.read() if self._out.socket in ready else []
        taken = Taken(at_ns=time.monotonic_ns(), answers=answers)
        for _ in replies:
            taken.confirmed.extend(self._confirmations.popleft())
        if len(self._answers.done) >= FORGET_AFTER:
            self._out.send(command(b"UNLINK", *self._answers.done))
            self._confirmations.append(())
            self._answers.done.clear()
        return taken

    @property
    def unconfirmed(self) -> bool:
        return bool(self._confirmations)

    def queued(self) -> int:
        """How many messages wait in the broker."""
        return sum(self.redis.llen(queue) for queue in self._every)

    @property
    def _every(self) -> list[str]:
        return list(dict.fromkeys(self._queues or [self.queue]))

    def withdraw(self) -> list[int]:
        """Take back what no worker has been given yet; the numbers of these requests."""
        with self.redis.pipeline(transaction=True) as pipe:
            for queue in self._every:
                pipe.lrange(queue, 0, -1)
                pipe.delete(queue)
            messages: list[bytes] = [message for taken in pipe.execute()[::2] for message in taken]
        return [int(json.loads(message)["headers"]["id"][-8:], 16) for message in messages]

    def close(self) -> None:
        """Drop the stored results that are left, and disconnect."""
        self._answers.forget()
        self._answers.close()
        self._out.close()
        self.redis.close()


def command(*parts: bytes) -> bytes:
    """A command as Redis reads it.

    >>> command(b"PING")
    b'*1\\r\\n$4\\r\\nPING\\r\\n'
    """
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
