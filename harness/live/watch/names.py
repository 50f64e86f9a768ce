"""Which worker is which, over restarts: by its node name, and the application if both are known."""

from __future__ import annotations

import re

from harness.live.find import Worker

DEFAULT = "celery@%h"  # of a worker that was given no name (celery/bin/worker.py)
PARTS = re.compile(r"%[hndiIp]")  # that Celery fills in (celery.utils.nodenames)


def name_of(worker: Worker) -> str:
    """For a reader: 'shop, web@host'."""
    return ", ".join(part for part in (worker.app, worker.hostname) if part)


def same(one: Worker, other: Worker) -> bool:
    """Whether two processes are one worker, before and after a restart. Until a worker has filled its name in, its command line
    shows it with '%h': that fits any host.

    >>> web = Worker(main=7, hostname="web@host", app="shop")
    >>> same(web, Worker(main=9, hostname="web@%h", app="shop")), same(web, Worker(main=9, hostname="mail@host", app="shop"))
    (True, False)
    """
    if one.app and other.app and one.app != other.app:
        return False
    first, second = one.hostname or DEFAULT, other.hostname or DEFAULT
    return bool(first == second or _pattern(first).fullmatch(second) or _pattern(second).fullmatch(first))


def _pattern(name: str) -> re.Pattern[str]:
    return re.compile("[^@]*".join(re.escape(part) for part in PARTS.split(name)))
