"""Of what Celery takes for a broker's URL, the one that leads to a worker's broker now.

Celery takes several with ';' between them, and goes on to the next one if a broker fails (kombu/connection.py). Which of
them it is connected to, its own connections tell. A Unix socket is `redis+socket://PATH?virtual_host=DATABASE` there, and
`unix://PATH?db=DATABASE` for a client of Redis.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, urlsplit

from harness.machine import wires

SOCKET, DEFAULT_PORT = "redis+socket", 6379


def of(told: str, main: int) -> str:
    """The URL of the broker to which the process `main` is connected; '' of none. `told`: as its command line has it."""
    urls = [translated(one) for one in told.split(";") if one]
    if len(urls) < 2:
        return "".join(urls)
    return connected(urls, {one.remote[1] for one in wires.of(main) if one.state == "established"})


def connected(urls: Iterable[str], ports: Iterable[int]) -> str:
    """The first one whose port is among these; the first one of all, if none is.

    >>> [connected(["redis://a:1/0", "redis://b:2/0"], ports) for ports in ([2, 7], [7])]
    ['redis://b:2/0', 'redis://a:1/0']
    """
    known, given = frozenset(ports), list(urls)
    return next((one for one in given if port(one) in known), given[0])


def translated(url: str) -> str:
    """As a client of Redis takes it.

    >>> translated("redis+socket:///run/r.sock?virtual_host=3"), translated("redis://:x@box/1")
    ('unix:///run/r.sock?db=3', 'redis://:x@box/1')
    """
    if not url.startswith(f"{SOCKET}://"):
        return url
    parts = urlsplit(url)
    database = parse_qs(parts.query).get("virtual_host", ["0"])[0].strip("/")
    return f"unix://{parts.netloc}{parts.path}?db={database or 0}"


def port(url: str) -> int:
    """That a URL leads to; 0 of a Unix socket, and of what is no URL."""
    try:
        parts = urlsplit(url)
        return (parts.port or DEFAULT_PORT) if parts.scheme in ("redis", "rediss") else 0
    except ValueError:
        return 0
