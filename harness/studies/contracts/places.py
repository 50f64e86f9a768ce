"""Where a broker has the messages of some requests: in the queue, with a worker that has not acknowledged them, or nowhere.

Valkey tells of each message. RabbitMQ tells how many it has handed out, and not which: while there are any, each that does not
wait counts as handed out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import broker
from harness.broker import rabbitmq_view
from harness.broker.rabbitmq import RabbitMQ

QUEUE, UNACKED, NOWHERE = "queue", "unacked", ""
TABLE = "unacked"  # kombu's hash of messages that a consumer has taken and not acknowledged


def in_valkey(connection: Any, queue: str, ids: Mapping[int, str], key_prefix: str = "") -> dict[int, str]:
    """Of each number its place, by its task's id: one look for all. `queue` has the prefix already."""
    waiting, taken = b"\n".join(connection.lrange(queue, 0, -1)), b"\n".join(connection.hvals(f"{key_prefix}{TABLE}"))
    held = [(QUEUE, waiting), (UNACKED, taken)]
    return {number: next((name for name, text in held if one.encode() in text), NOWHERE) for number, one in ids.items()}


def in_rabbitmq(server: RabbitMQ, queue: str, ids: Mapping[int, str]) -> dict[int, str] | None:
    """The same; None while it does not answer."""
    try:
        waiting = set(rabbitmq_view.waiting(server, queue))
    except rabbitmq_view.LOST:
        return None
    if (depth := rabbitmq_view.View(server).depth(queue)) is None:
        return None
    elsewhere = UNACKED if depth[1] else NOWHERE
    return {number: QUEUE if one in waiting else elsewhere for number, one in ids.items()}


def database(url: str, number: int) -> str:
    """The same server, another of its databases: queues, unacknowledged messages and control are kept apart."""
    return f"{url.rpartition('/')[0]}/{number}"


def emptied(url: str) -> None:
    """Throw away what an earlier measurement left in a database of ours."""
    broker.client(url).flushdb()
