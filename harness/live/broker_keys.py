"""Under which keys of a Redis or Valkey a worker's queues lie: found by the keys themselves, with commands that only read.

kombu keeps a set of queues for each exchange, `_kombu.binding.EXCHANGE`, whose members are routing key, pattern and queue with
a separator between them; a queue is a list of its name, and one more for each priority, behind the same separator
(kombu/transport/redis.py). `broker_transport_options` may put a prefix before all of these (`global_keyprefix`), and choose the
separator (`sep`) and the priorities (`priority_steps`). So the prefix stands before a set's name, and the separator in its
members. Whose a prefix is, if there are several: a worker's remote control has a queue of its node's name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import cast

import redis

from harness import broker

BINDINGS = "_kombu.binding."
MARK = broker.PRIORITY_MARK  # the separator, if none is chosen
PRIORITIES = range(1, 10)  # 0 has the queue's own name
CONTROL = "celery.pidbox"
NOT_WORK = ("celeryev", CONTROL, f"reply.{CONTROL}", "pidbox")
SCAN_KEYS, MOST_SCANS = 1000, 100  # so many keys of a large database are gone through
LONGEST_MARK = 4  # characters


@dataclass(frozen=True, kw_only=True)
class Space:
    """The keys under one prefix. `queues`: their names without it; `mark`: the separator, '' if it cannot be told."""

    prefix: str = ""
    queues: frozenset[str] = frozenset()
    mark: str = MARK

    def key(self, name: str) -> str:
        return f"{self.prefix}{name}"

    def lists(self, queue: str) -> list[str]:
        """The keys of a queue's messages, the first ones first."""
        return [self.key(queue), *(self.key(f"{queue}{self.mark}{priority}") for priority in PRIORITIES if self.mark)]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """`own`: the worker's; None if nobody can tell which of `spaces` that is. `whole`: nothing was left out."""

    spaces: tuple[Space, ...]
    own: Space | None
    whole: bool


def found(client: redis.Redis, names: Collection[str], nodes: Iterable[str]) -> Keys:
    """The keys of this database. `names`: queues that may have no binding yet; `nodes`: the worker's, 'celery@host'. Raises
    redis.RedisError."""
    bound, whole = _bound(client, names)
    spaces = [_space(client, prefix, exchanges) for prefix, exchanges in sorted(bound.items())]
    whole = whole and all(one.mark for one in spaces)
    if not spaces:
        first = Space(queues=frozenset(names))
        return Keys(spaces=(first,), own=first if whole else None, whole=whole)
    own = spaces[0] if len(spaces) == 1 and whole else _of_node(client, spaces, tuple(nodes))
    if own is not None:
        own = replace(own, queues=own.queues | set(names))
    return Keys(spaces=tuple(spaces), own=own, whole=whole)


def _bound(client: redis.Redis, names: Collection[str]) -> tuple[dict[str, set[str]], bool]:
    """(the exchanges under each prefix, whether all keys were gone through)."""
    cursor, found = 0, dict[str, set[str]]()
    for _ in range(MOST_SCANS):
        cursor, keys = cast("tuple[int, list[bytes]]", client.scan(cursor, match=f"*{BINDINGS}*", count=SCAN_KEYS))
        for key in keys:
            prefix, _, exchange = key.decode("utf-8", "surrogateescape").partition(BINDINGS)
            found.setdefault(prefix, set()).add(exchange)
        if cursor == 0:
            break
    for name in names if cursor else ():  # an exchange has its queue's name, if nobody has chosen another one
        if client.exists(f"{BINDINGS}{name}"):
            found.setdefault("", set()).add(name)
    return found, cursor == 0


def _space(client: redis.Redis, prefix: str, exchanges: Iterable[str]) -> Space:
    members = list[str]()
    for exchange in sorted(exchanges):
        key = f"{prefix}{BINDINGS}{exchange}".encode("utf-8", "surrogateescape")
        if not exchange.startswith(NOT_WORK) and client.type(key) == b"set":
            told = cast("set[bytes]", client.smembers(key))
            members += (one.decode("utf-8", "surrogateescape") for one in told)
    mark = mark_of(members)
    return Space(prefix=prefix, mark=mark, queues=frozenset(one.split(mark)[-1] for one in members if mark))


def mark_of(members: Collection[str]) -> str:
    """The separator in the members of bindings: that of kombu, or what stands twice between two times the same name; '' if
    there is none.

    >>> mark_of(["mail\\x06\\x16\\x06\\x16mail"]) == MARK, mark_of(["mail::mail", "a::bulk"]), mark_of(["mail"])
    (True, ':', '')
    """
    if not members or all(one.count(MARK) >= 2 for one in members):
        return MARK
    marks = (found for one in members for size in range(1, LONGEST_MARK + 1) if (found := _between(one, size)))
    return next((mark for mark in marks if all(one.count(mark) >= 2 for one in members)), "")


def _between(member: str, size: int) -> str:
    """The separator of so many characters, if routing key and queue are one name, and there is no pattern."""
    name = member[: (len(member) - 2 * size) // 2] if len(member) > 2 * size else ""
    mark = member[len(name) : len(name) + size]
    return mark if name and member == f"{name}{mark}{mark}{name}" else ""


def _of_node(client: redis.Redis, spaces: Iterable[Space], nodes: Collection[str]) -> Space | None:
    """The one under which the control queue of such a node is bound; None if it is none, or more than one."""
    named = [one for one in spaces if any(_has_node(client, one, node) for node in nodes)]
    return named[0] if len(named) == 1 else None


def _has_node(client: redis.Redis, space: Space, node: str) -> bool:
    mark = space.mark or MARK
    return bool(client.sismember(space.key(f"{BINDINGS}{CONTROL}"), f"{mark}{mark}{node}.{CONTROL}"))
