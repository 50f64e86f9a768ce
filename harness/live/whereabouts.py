"""Where one request is: at an executor, handed out, in a queue, done, or nowhere that can be seen. Nothing is unpickled, and no
more than some thousands of messages are read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import redis

from harness import broker
from harness.live import message
from harness.live.answer import Report
from harness.live.broker_keys import MOST_SCANS, SCAN_KEYS, Space
from harness.live.broker_look import Broker
from harness.live.executor import Executor, State
from harness.live.facts import Message
from harness.live.wording import duration
from harness.texts import visible

MOST_MESSAGES, AT_ONCE = 5000, 200  # of each queue, the next ones first; of the table of what is handed out
RESULT = "celery-task-meta-"  # before an id, in the store of results (celery/backends/base.py)
MOST_BYTES = 1 << 20  # of a result whose state is read
SEEN_POOLS = ("prefork", "threads", "solo", "gevent", "eventlet")
ENDED = ("SUCCESS", "FAILURE", "REVOKED", "IGNORED", "REJECTED")


@dataclass(frozen=True, kw_only=True)
class Place:
    """`where`: running, handed-out, queued, done or nowhere; `said`: one sentence; `unseen`: what was not looked at."""

    id: str
    where: str
    said: str
    state: State
    unseen: tuple[str, ...] = ()


def place(task_id: str, reports: Sequence[Report], url: str, results: Iterable[str] = ()) -> Place:
    """Where this request is. `url`: of the broker, '' if nobody knows it; `results`: of stores of results beside it."""
    for report in reports:
        for one in report.executors:
            if one.task_id == task_id:
                return Place(id=task_id, where="running", said=_running(report, one), state=one.state)
    green = [f"process {one.pid}" for one in reports if one.hides or one.pool not in SEEN_POOLS]
    unseen = [f"what runs in greenlets of {', '.join(green)}"] if green else []
    found = _asked(task_id, url, unseen) if url else None
    found = found or _done(task_id, [url, *results], unseen)
    if not url:
        unseen.append("the broker: --broker tells its URL")
    said = found or (
        "nowhere",
        "it is nowhere that can be seen: lost, never sent, ended without a result, or with a worker or a broker elsewhere",
        State.UNKNOWN,
    )
    return Place(id=task_id, where=said[0], said=said[1], state=said[2], unseen=tuple(unseen))


Said = tuple[str, str, State]


def _running(report: Report, one: Executor) -> str:
    thread = f", thread {one.tid}," if one.tid != one.pid else ""
    waits = f"; it waits for {one.waits_for}" if one.waits_for else ""
    return f"process {one.pid}{thread} of worker {report.pid} runs it ({one.task}) for {duration(one.since_s)}{waits}"


def _asked(task_id: str, url: str, unseen: list[str]) -> Said | None:
    """What the broker knows of it."""
    if urlsplit(url).scheme not in broker.SCHEMES:
        unseen.append("the broker, which is neither Redis nor Valkey")
        return None
    there = Broker(url, ("celery",))
    try:
        client, keys = there.opened()
        if not keys.whole:
            unseen.append("queues that are not among the first keys of a large database")
        each = (_handed(task_id, client, one, unseen) or _queued(task_id, client, one, unseen) for one in keys.spaces)
        return next((said for said in each if said), None)
    except (redis.RedisError, OSError, ValueError) as error:
        unseen.append(f"the broker at {broker.shown(url)}: {visible(str(error))}")
        return None
    finally:
        there.close()


def _handed(task_id: str, client: redis.Redis, space: Space, unseen: list[str]) -> Said | None:
    cursor, read = 0, 0
    while read < MOST_MESSAGES:
        cursor, table = cast("tuple[int, dict[bytes, bytes]]", client.hscan(space.key("unacked"), cursor, count=AT_ONCE))
        for tag, text in table.items():
            found = message.handed(text, None)
            if found is not None and found.id == task_id:
                return _told(found, client.zscore(space.key("unacked_index"), tag), client)
        read += len(table)
        if cursor == 0:
            return None
    unseen.append(f"more than {MOST_MESSAGES} messages that are handed out")
    return None


def _told(found: Message, since: float | None, client: redis.Redis) -> Said:
    seconds, _ = client.time()
    ago = f" {duration(max(0.0, seconds - since))} ago" if since is not None else ""
    why = "it was put off (an ETA, a countdown, a retry)" if found.put_off else "it waits there, or runs where nobody may look"
    again = "; it was handed out before, and came back" if found.redelivered else ""
    return "handed-out", f"a worker was given it ({found.task}){ago}, and has not acknowledged it: {why}{again}", State.WAITING


def _queued(task_id: str, client: redis.Redis, space: Space, unseen: list[str]) -> Said | None:
    """From the end that is taken from, so that the place is a place in the line."""
    for name in sorted(space.queues):
        before = 0
        for key in space.lists(name):
            length = client.llen(key)
            for start in range(0, min(length, MOST_MESSAGES), AT_ONCE):
                raw = cast("list[bytes]", client.lrange(key, -start - AT_ONCE, -start - 1))
                for number, text in enumerate(reversed(raw)):
                    found = message.parse(text, name)
                    if found is not None and found.id == task_id:
                        place = f"place {before + start + number + 1} of {_length(client, space, name)}"
                        return "queued", f"it waits in {visible(space.key(name))}, {place} ({found.task})", State.WAITING
            if length > MOST_MESSAGES:
                unseen.append(f"{length - MOST_MESSAGES} messages of {visible(name)}")
            before += length
    return None


def _length(client: redis.Redis, space: Space, name: str) -> int:
    return sum(client.llen(key) for key in space.lists(name))


def _done(task_id: str, urls: Iterable[str], unseen: list[str]) -> Said | None:
    """Whether a result is stored; of that the state alone is read."""
    for url in dict.fromkeys(one for one in urls if urlsplit(one).scheme in broker.SCHEMES):
        there = Broker(url)
        try:
            client, _ = there.opened()
            if key := _stored(client, f"{RESULT}{task_id}", unseen):
                status = _status(client, key)
                if status and status not in ENDED:
                    return "nowhere", f"its state is stored: {status}; no executor is seen at it", State.UNKNOWN
                return "done", f"its result is stored{f': {status}' if status else ''}", State.WORKS
        except (redis.RedisError, OSError, ValueError) as error:
            unseen.append(f"the results at {broker.shown(url)}: {visible(str(error))}")
        finally:
            there.close()
    return None


def _stored(client: redis.Redis, key: str, unseen: list[str]) -> str:
    """The key of a result, which may have a prefix (global_keyprefix in result_backend_transport_options); '' if there is
    none."""
    if client.exists(key):
        return key
    cursor, pattern = 0, "*" + re.sub(r"([\\*?\[\]^])", r"\\\1", key)
    for _ in range(MOST_SCANS):
        cursor, found = cast("tuple[int, list[bytes]]", client.scan(cursor, match=pattern, count=SCAN_KEYS))
        if found:
            return found[0].decode("utf-8", "surrogateescape")
        if cursor == 0:
            return ""
    unseen.append("results that are not among the first keys of a large database")
    return ""


def _status(client: redis.Redis, key: str) -> str:
    """'' if it is no JSON, or large."""
    if client.type(key) != b"string" or client.strlen(key) > MOST_BYTES:
        return ""
    try:
        found = json.loads(cast("bytes", client.get(key)) or b"")
    except ValueError:
        return ""
    status = found.get("status") if isinstance(found, dict) else None
    return visible(status) if isinstance(status, str) else ""
