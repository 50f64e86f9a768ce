"""Looks at a Redis or Valkey: what waits, what is handed out, who is connected. Commands that only read, and none that goes
through all keys at once. Which keys these are `broker_keys` tells.
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
from harness.live import broker_keys, message
from harness.live.broker_keys import Keys, Space
from harness.live.facts import BrokerLook, Connection, Message
from harness.texts import visible

LIMIT_S = 3.0  # for each answer
MOST_HANDED = 50


class Broker:
    """`names`: queues that may have no binding yet; `nodes`: the worker's, as its remote control may name it. Raises nothing:
    what goes wrong stands in the look."""

    def __init__(self, url: str, names: Iterable[str] = (), nodes: Iterable[str] = ()) -> None:
        self.url, self._names, self._nodes = url, tuple(names), tuple(nodes)
        self._opened: tuple[redis.Redis, Keys] | None = None

    def look(self) -> BrokerLook:
        if urlsplit(self.url).scheme not in broker.SCHEMES:
            return BrokerLook(answers=None, why="it is neither Redis nor Valkey: no other can be asked so far")
        try:
            return _look(*self.opened())
        except (redis.AuthenticationError, redis.ResponseError, redis.BusyLoadingError) as error:
            return BrokerLook(answers=False, refused=True, why=visible(str(error)))
        except (redis.RedisError, OSError, ValueError) as error:
            refused = "max number of clients" in str(error)
            return BrokerLook(answers=False, refused=refused, why=visible(str(error)))

    def opened(self) -> tuple[redis.Redis, Keys]:
        """A client, and the keys that are known. Raises redis.RedisError."""
        if self._opened is None:
            client = _client(self.url)
            self._opened = client, broker_keys.found(client, self._names, self._nodes)
        return self._opened

    def close(self) -> None:
        if self._opened is not None:
            self._opened[0].close()


def _look(client: redis.Redis, keys: Keys) -> BrokerLook:
    """All of one moment: in a transaction, so that nobody gets a message in between."""
    own = keys.own or Space()
    lists = {name: own.lists(name) for name in sorted(own.queues)}
    pipe = client.pipeline(transaction=True)
    pipe.client_list()
    pipe.zrange(own.key("unacked_index"), 0, MOST_HANDED - 1, withscores=True)
    pipe.zcard(own.key("unacked_index"))
    for key in (key for each in lists.values() for key in each):
        pipe.llen(key)
    clients, oldest, unacked, *lengths = pipe.execute(raise_on_error=False)
    for one in (oldest, unacked, *lengths):
        if isinstance(one, Exception):
            raise one
    connections = tuple(_connections(clients, client)) if isinstance(clients, list) else ()
    prefixes = tuple(_shown(one.prefix) for one in keys.spaces)
    if keys.own is None:
        return BrokerLook(answers=True, connections=connections, whole=keys.whole, prefixed=True, prefixes=prefixes)
    left = iter(lengths)
    waiting = {_shown(name): sum(next(left) for _ in each) for name, each in lists.items()}
    return BrokerLook(
        answers=True, queues={name: count for name, count in waiting.items() if count}, unacked=unacked,
        handed=tuple(_handed(client, own, oldest)), connections=connections, whole=keys.whole,
    )  # fmt: skip


def _shown(name: str) -> str:
    """A name that may hold any bytes."""
    return visible(name.encode("utf-8", "replace").decode())


def _client(url: str) -> redis.Redis:
    """It gives up at once: a broker that does not answer is an answer."""
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=LIMIT_S,
        socket_timeout=LIMIT_S,
        client_name=broker.OUR_NAME,
        retry=Retry(NoBackoff(), 0),
        encoding_errors="surrogateescape",
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


def _handed(client: redis.Redis, space: Space, oldest: Sequence[tuple[bytes, float]]) -> Iterable[Message]:
    """The messages of these tags; those that were acknowledged meanwhile are left out."""
    raw = cast("list[bytes | None]", client.hmget(space.key("unacked"), [tag for tag, _ in oldest])) if oldest else []
    now = time.time()
    for text, (_, since) in zip(raw, oldest, strict=True):
        found = message.handed(text, max(0.0, now - since)) if text else None
        if found is not None:
            yield found
