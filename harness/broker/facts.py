"""What a broker is to the rest of the harness, and what it is asked, whatever its kind."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from harness.machine.processes import OwnedProcess

OUR_NAME = "harness"  # of our own connections, so that the worker's can be told


class Broker(Protocol):
    """Where messages go through. `process` is None for a broker that is not ours to watch."""

    url: str
    process: OwnedProcess | None


class Server:
    """One of which nothing else has to be known."""

    def __init__(self, url: str, process: OwnedProcess | None = None) -> None:
        self.url = url
        self.process = process


@dataclass(frozen=True, kw_only=True)
class Census:
    """What the broker itself says: whether it answers, the messages of a queue that wait in it or are delivered and not
    acknowledged, and the connections, other than ours, on which it heard something lately; None if it does not tell."""

    answers: bool
    messages: int | None = None
    connections: int | None = None


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """Messages of one task in one queue: those that wait in the broker, and those that a worker has reserved."""

    queue: str
    task: str
    waiting: int = 0
    reserved: int = 0


class View(Protocol):
    """What a trial asks of its broker. None of it but `taken` raises if the broker is lost: that has its own verdict. `spread`:
    its work is spread over threads, so that no single core bounds it."""

    spread: bool

    def depth(self, queue: str) -> tuple[int, int] | None:
        """(messages that wait in the queue, messages that a worker has been given and not yet acknowledged); None while the
        broker does not answer."""

    def census(self, queue: str) -> Census: ...
    def backlog(self, ours: str) -> tuple[Backlog, ...]:
        """What waits in any queue of a private broker besides our own requests, whose ids begin with `ours`."""

    def forget(self, *queues: str) -> None:
        """Take queues of ours out of the broker."""

    def taken(self) -> dict[str, list[bytes]]:
        """All messages of a private broker, oldest first, by their queue, or the key of their list; they are then gone. Raises
        what its client does."""

    def empty(self) -> None:
        """Take everything out of a private broker."""

    def close(self) -> None: ...


def shown(url: str) -> str:
    """The URL without its password; of several with ';' between them, as Celery takes them, each.

    >>> shown("redis://:secret@a:1/0;redis://:secret@b:2/0")
    'redis://a:1/0;redis://b:2/0'
    """
    parts = [urlsplit(one) for one in url.split(";")]
    return ";".join(f"{one.scheme}://{one.netloc.rpartition('@')[2]}{one.path}" for one in parts)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
