"""Traffic: when requests are sent. One entry a kind; `loadgen` carries it out.

`closed-N` keeps N requests in flight, `single` is `closed-1` (the next when the last is done), `drain` publishes all
requests at once and lets the worker empty the queue.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import BadInput

DRAIN_REQUESTS = 400  # a backlog where the experiment names no number of requests


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """`in_flight` requests at most at one time; `backlog`: all are published before the clock starts."""

    name: str
    in_flight: int
    backlog: bool = False


def parse(name: str) -> Traffic:
    """'closed-4' -> Traffic. Raises BadInput."""
    if name == "single":
        return Traffic(name=name, in_flight=1)
    if name == "drain":
        return Traffic(name=name, in_flight=0, backlog=True)
    match = re.fullmatch(r"closed-([1-9]\d{0,3})", name)
    if match:
        return Traffic(name=name, in_flight=int(match[1]))
    raise BadInput(f"unknown traffic {name!r}", remedy="use single, drain or closed-N, such as closed-4")
