"""Looks at a Redis or Valkey: what waits, what is handed out, who is connected. Commands that only read, and none that goes
through all keys at once. The keys are kombu's (kombu/transport/redis.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from harness import broker
from harness.live import message
from harness.live.facts import BrokerLook, Connection, Message
from harness.texts import visible

BINDINGS = "_kombu.binding."  # kombu's sets of queues by exchange
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # what it appends to a queue's name
MARK = b"\x06\x16"
NOT_WORK = ("celeryev", "celery.pidbox", "reply.celery.pidbox", "pidbox")
LIMIT_S = 3.0  # for each answer
SCAN_KEYS, MOST_SCANS = 1000, 100  # so many keys of a large database are gone through
MOST_HANDED = 50
DEFAULT_PORT = 6379


class Broker:
    """`names`: queues that may have no binding yet. Raises nothing: what goes wrong stands in the look."""

    def __init__(self, url: str, names: Iterable[str] = ()) -> None:
        self.url, self._names, self._bound, self._whole = url, tuple(names), set[str](), True
        self._prefixed = False
        self._client: redis.Redis | None = None

    def look(self) -> BrokerLook:
        if urlsplit(self.url).scheme not in broker.SCHEMES:
            return BrokerLook(answers=None, why="it is neither Redis nor Valkey: no other can be asked so far")
        try:
            return self._look(*self.opened())
        except (redis.AuthenticationError, redis.ResponseError, redis.BusyLoadingError) as error:
            return BrokerLook(answers=False, refused=True, why=visible(str(error)))
        except (redis.RedisError, OSError, ValueError) as error:
            refused = "max number of clients" in str(error)
            return BrokerLook(answers=False, refused=refused, why=visible(str(error)))

    def opened(self) -> tuple[redis.Redis, list[str]]:
        """A client, and the queues that are known. Raises redis.RedisError."""
        if self._client is None:
            client = _client(self.url)
            self._bind(client)
            self._client = client
        return self._client, sorted(self._bound)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _bind(self, client: redis.Redis) -> None:
        """Find the queues that have been declared."""
        cursor, bound = 0, list[bytes]()
        for _ in range(MOST_SCANS):
            cursor, keys = cast("tuple[int, list[bytes]]", client.scan(cursor, match=f"*{BINDINGS}*", count=SCAN_KEYS))
            bound += keys
            if cursor == 0:
                break
        self._whole, self._bound = cursor == 0, set(self._names)
        self._prefixed = any(not key.startswith(BINDINGS.encode()) for key in bound)
        for key in bound:
            exchange = key.decode("utf-8", "replace").removeprefix(BINDINGS)
            if BINDINGS not in exchange and not exchange.startswith(NOT_WORK) and client.type(key) == b"set":
                members = cast("set[bytes]", client.smembers(key))
                self._bound |= {member.split(MARK)[-1].decode("utf-8", "replace") for member in members}

    def _look(self, client: redis.Redis, names: list[str]) -> BrokerLook:
        """All of one moment: in a transaction, so that nobody gets a message in between."""
        pipe = client.pipeline(transaction=True)
        pipe.client_list()
        pipe.zrange("unacked_index", 0, MOST_HANDED - 1, withscores=True)
        pipe.zcard("unacked_index")
        for name in names:
            for priority in PRIORITIES:
                pipe.llen(f"{name}{priority}")
        clients, oldest, unacked, *lengths = pipe.execute(raise_on_error=False)
        for one in (oldest, unacked, *lengths):
            if isinstance(one, Exception):
                raise one
        many = len(PRIORITIES)
        waiting = {visible(name): sum(lengths[place * many : place * many + many]) for place, name in enumerate(names)}
        return BrokerLook(
            answers=True,
            queues={name: count for name, count in waiting.items() if count},
            unacked=unacked,
            handed=tuple(_handed(client, oldest)),
            connections=tuple(_connections(clients, client)) if isinstance(clients, list) else (),
            whole=self._whole,
            prefixed=self._prefixed,
        )


def port(url: str) -> int:
    """That a URL leads to; 0 of a Unix socket, and of what is no URL."""
    try:
        parts = urlsplit(url)
        return (parts.port or DEFAULT_PORT) if parts.scheme in ("redis", "rediss") else 0
    except ValueError:
        return 0


def _client(url: str) -> redis.Redis:
    """It gives up at once: a broker that does not answer is an answer."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=LIMIT_S, socket_timeout=LIMIT_S, client_name=broker.OUR_NAME, retry=Retry(NoBackoff(), 0)
    )


def _connections(clients: Sequence[dict[str, Any]], client: redis.Redis) -> Iterable[Connection]:
    """All but ours."""
    database = str(client.connection_pool.connection_kwargs.get("db") or 0)
    for one in clients:
        if one.get("name") != broker.OUR_NAME:
            yield Connection(
                address=str(one.get("addr", "")), command=str(one.get("cmd", "")).lower(), idle_s=float(one.get("idle") or 0),
                blocked="b" in str(one.get("flags", "")), subscribed=int(one.get("sub") or 0) + int(one.get("psub") or 0),
                patterns=int(one.get("psub") or 0), near=str(one.get("db", database)) == database,
            )  # fmt: skip


def _handed(client: redis.Redis, oldest: Sequence[tuple[bytes, float]]) -> Iterable[Message]:
    """The messages of these tags; those that were acknowledged meanwhile are left out."""
    raw = cast("list[bytes | None]", client.hmget("unacked", [tag for tag, _ in oldest])) if oldest else []
    now = time.time()
    for text, (_, since) in zip(raw, oldest, strict=True):
        found = message.handed(text, max(0.0, now - since)) if text else None
        if found is not None:
            yield found
