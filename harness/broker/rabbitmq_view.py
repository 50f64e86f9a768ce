"""What is asked of a RabbitMQ: what waits in its queues, what is handed out and not acknowledged, whose it is.

Numbers come from its management API, without its collector of statistics: a queue tells how many messages it has handed out
every `STATS_EVERY_S`. Messages themselves are read over AMQP, in the form in which kombu keeps them in Redis, so that whoever
reads them need not know where they came from. A server of the user's own may have no such API: then only whether it answers is
known, and nothing is said of its messages.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import quote

import amqp

from harness.broker.facts import OUR_NAME, Backlog, Census
from harness.broker.rabbitmq import CONNECT_LIMIT_S, RabbitMQ
from harness.broker.valkey import tasks

LOST = (OSError, amqp.AMQPError, HTTPException, ValueError, TypeError, KeyError)  # an error is an object, no list of queues
TOTALS = "/api/queues/{}?disable_stats=true&enable_queue_totals=true"
#: beginnings of names of queues that hold no tasks: of remote control, of events, and of answers to our own client
NO_TASKS = ("celeryev.", "harness-replies-")
PIDBOX = (".celery.pidbox", ".reply.celery.pidbox")
MOST = 10_000  # messages that are looked at in a queue


class View:
    """See `facts.View`. Nothing of what a worker has been given can be read, so a backlog has only what waits."""

    spread = True

    def __init__(self, server: RabbitMQ) -> None:
        self.server = server

    def depth(self, queue: str) -> tuple[int, int] | None:
        try:
            one = _totals(self.server).get(queue, {})
        except LOST:
            return None
        return int(one.get("messages_ready", 0)), int(one.get("messages_unacknowledged", 0))

    def census(self, queue: str) -> Census:
        """Of its connections it tells nothing: a worker may be silent for half a heartbeat, a minute by default."""
        depth = self.depth(queue)
        return Census(answers=reached(self.server)) if depth is None else Census(answers=True, messages=sum(depth))

    def backlog(self, ours: str) -> tuple[Backlog, ...]:
        found: Counter[tuple[str, str]] = Counter()
        with contextlib.suppress(*LOST), contextlib.closing(self.server.connect()) as connection:
            for queue in _with_tasks(self.server):
                channel = connection.channel()  # what is not acknowledged goes back as the channel closes
                waiting = [json.loads(one) for one in _messages(channel, queue, keep=True)]
                found.update((queue, task) for task in tasks(waiting, ours))
                channel.close()
        return tuple(Backlog(queue=queue, task=task, waiting=count) for (queue, task), count in found.items())

    def forget(self, *queues: str) -> None:
        self._delete(*queues)

    def taken(self) -> dict[str, list[bytes]]:
        with contextlib.closing(self.server.connect()) as connection:
            channel = connection.channel()
            found = {queue: list(_messages(channel, queue, keep=False)) for queue in _with_tasks(self.server)}
        return {queue: messages for queue, messages in found.items() if messages}

    def empty(self) -> None:
        with contextlib.suppress(*LOST):
            self._delete(*_totals(self.server))

    def close(self) -> None:
        """Every connection is closed as its answer is there."""

    def _delete(self, *queues: str) -> None:
        with contextlib.suppress(*LOST), contextlib.closing(self.server.connect()) as connection:
            channel = connection.channel()
            for queue in queues:
                channel.queue_delete(queue)
                if queue.startswith(OUR_NAME):  # Celery declares an exchange of the same name, which outlives the queue
                    channel.exchange_delete(queue)


def reached(server: RabbitMQ) -> bool:
    """Whether it takes connections."""
    try:
        server.connect().close()
    except LOST:
        return False
    return True


def answers(server: RabbitMQ) -> bool:
    """Whether its management API does."""
    try:
        _totals(server)
    except LOST:
        return False
    return True


def queues(server: RabbitMQ) -> list[str]:
    """The names of all. Raises what its API does."""
    return list(_totals(server))


def _with_tasks(server: RabbitMQ) -> list[str]:
    return [name for name in _totals(server) if not name.startswith(NO_TASKS) and not name.endswith(PIDBOX)]


def _messages(channel: amqp.Channel, queue: str, *, keep: bool) -> Iterator[bytes]:
    for _ in range(MOST):
        message = channel.basic_get(queue, no_ack=not keep)
        if message is None:
            return
        yield enveloped(message)


def enveloped(message: amqp.Message) -> bytes:
    """The message as kombu writes one into Redis (`Channel._put`, kombu/transport/redis.py): JSON, its body in base64."""
    body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
    properties = {name: value for name, value in message.properties.items() if name != "application_headers"}
    where = {name: message.delivery_info.get(name, "") for name in ("exchange", "routing_key")}
    return json.dumps({
        "body": base64.b64encode(body).decode(), "content-type": properties.pop("content_type", None),
        "content-encoding": properties.pop("content_encoding", None),
        "headers": message.properties.get("application_headers", {}),
        "properties": {**properties, "body_encoding": "base64", "delivery_info": where},
    }, default=str).encode()  # fmt: skip


def waiting(server: RabbitMQ, queue: str) -> list[str]:
    """Ids of the tasks whose messages wait in a queue; they are taken for a moment, and put back. Raises LOST's."""
    with contextlib.closing(server.connect()) as connection:
        channel = connection.channel()
        found = [str(json.loads(one)["headers"].get("id")) for one in _messages(channel, queue, keep=True)]
        channel.close()
    return found


def disconnected(server: RabbitMQ) -> int:
    """Have the server close every connection, as an operator does; how many there were. Raises LOST's."""
    names = [str(one["name"]) for one in json.loads(_said(server, "GET", "/api/connections"))]
    for name in names:
        _said(server, "DELETE", f"/api/connections/{quote(name, safe='')}")
    return len(names)


def _totals(server: RabbitMQ) -> dict[str, dict[str, Any]]:
    """{queue: what its management API says of it}. Raises OSError or ValueError."""
    found: list[dict[str, Any]] = json.loads(_said(server, "GET", TOTALS.format(quote(server.at.vhost, safe=""))))
    return {str(one["name"]): one for one in found}


def _said(server: RabbitMQ, method: str, path: str) -> bytes:
    """What its management API answers."""
    at = server.at
    given = base64.b64encode(f"{at.user}:{at.password}".encode()).decode()
    with contextlib.closing(HTTPConnection(at.host, server.http_port, timeout=CONNECT_LIMIT_S)) as connection:
        connection.request(method, path, headers={"Authorization": f"Basic {given}"})
        return connection.getresponse().read()
