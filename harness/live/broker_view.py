"""What the broker holds, and whether the worker asks it for work: read with a client of our own; nothing is changed in it."""

from __future__ import annotations

from typing import Any, cast

import redis

from harness import broker
from harness.errors import BadInput, BrokerUnreachable
from harness.live.find import Worker
from harness.machine import descriptors
from harness.texts import visible

BINDINGS = "_kombu.binding."  # kombu's sets of queues by exchange (kombu/transport/redis.py)
PRIORITIES = ("", "\x06\x163", "\x06\x166", "\x06\x169")  # what it appends to a queue's name
NOT_WORK = ("celeryev", "celery.pidbox", "reply.celery.pidbox", "pidbox")
ASKS = ("brpop", "bzmpop", "blpop")


def view(worker: Worker, url: str, told: bool) -> dict[str, Any]:
    """`url`, whether it `answers`, messages by queue, how many are handed out and not acknowledged (`unacked`), and whether the
    worker `asks` for work (None if its connections cannot be told from others). {} without a URL. `told`: the user named it:
    then a broker that is none raises BadInput or BrokerUnreachable."""
    if not url:
        return {}
    try:
        broker.check(url)
        connection = broker.client(url)
        queues = _queues(connection)
        unacked, asks = connection.zcard("unacked_index"), _asks(worker, connection)
        found = {"url": broker.shown(url), "answers": True, "queues": queues, "unacked": unacked, "asks": asks}
        connection.close()
    except (BadInput, BrokerUnreachable) as error:
        if told and isinstance(error, BadInput):
            raise
        return {"url": broker.shown(url), "answers": False, "why": visible(error.message)}
    except redis.RedisError as error:
        return {"url": broker.shown(url), "answers": False, "why": visible(str(error))}
    return found


def _queues(connection: redis.Redis) -> dict[str, int]:
    """Messages that wait, by queue, empty ones left out."""
    names = set()
    for key in cast("list[bytes]", connection.keys(f"{BINDINGS}*")):
        if not any(key.decode("utf-8", "replace").removeprefix(BINDINGS).startswith(one) for one in NOT_WORK):
            members = cast("set[bytes]", connection.smembers(key))
            names |= {member.split(b"\x06\x16")[-1].decode("utf-8", "replace") for member in members}
    waiting = {name: sum(connection.llen(f"{name}{one}") for one in PRIORITIES) for name in names}
    return {visible(name): count for name, count in sorted(waiting.items()) if count}


def _asks(worker: Worker, connection: redis.Redis) -> bool | None:
    """Whether one of the worker's connections waits for a message; joined by the port at its own end."""
    ours = {inode for stat in worker.tree() for inode in descriptors.socket_inodes(stat.pid)}
    ends = {f"{one.local[0]}:{one.local[1]}" for one in descriptors.sockets(worker.main) if one.inode in ours}
    clients = [one for one in connection.client_list() if one.get("addr") in ends]
    return any(one.get("cmd", "").lower() in ASKS for one in clients) if clients else None
