"""Traffic: when requests are sent. One kind a form of name; `harness.client` carries it out.

`closed-N` keeps N requests in flight, `single` is `closed-1` (the next when the last is done), `drain` publishes all
requests at once and lets the worker empty the queue.

`poisson-R` and `constant-R` are *open*: R requests a second on average, whatever has been answered, with exponentially
distributed or equal gaps. Their latency counts from the moment that a request was meant to be sent. `peak-100ms` looks for
the highest Poisson rate at which p99 of the latency stays within 100 ms (`peak-p95-100ms`: p95), and measures that one:
MLPerf LoadGen's Server scenario.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.errors import BadInput

DRAIN_REQUESTS = 400  # a backlog where the experiment names no number of requests
KINDS = "single, drain, closed-4, poisson-50, constant-50, peak-100ms or peak-p95-100ms"
MOST_PER_S = 100_000.0
PERCENTILES = {"p90": 0.90, "p95": 0.95, "p99": 0.99}
_CLOSED = re.compile(r"closed-([1-9]\d{0,3})")
_OPEN = re.compile(r"(poisson|constant)-(\d{1,6}(?:\.\d{1,6})?)")
_PEAK = re.compile(r"peak-(?:(p90|p95|p99)-)?(\d{1,6}(?:\.\d{1,3})?)ms")


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """`in_flight`: requests at most at one time, 0 where that is not what limits. `backlog`: all are published at once.

    `rate_per_s`: of open traffic; 0 elsewhere. `bound_s` and `fraction`: the latency that this share of the requests has to
    keep, where the highest rate that keeps it is looked for; `bound_s` is 0 elsewhere.
    """

    name: str
    in_flight: int = 0
    backlog: bool = False
    rate_per_s: float = 0.0
    poisson: bool = False
    bound_s: float = 0.0
    fraction: float = 0.99

    @property
    def is_open(self) -> bool:
        """Whether requests are sent by the clock, not by what has been answered."""
        return self.rate_per_s > 0 or self.is_peak

    @property
    def is_peak(self) -> bool:
        return self.bound_s > 0

    @property
    def bound(self) -> str:
        """What a search for the peak looks for: 'p99 within 100 ms'."""
        return f"p{self.fraction * 100:g} within {self.bound_s * 1e3:g} ms"

    @property
    def chance(self) -> bool:
        """Whether the number of requests differs by chance from one span of time to the next."""
        return self.poisson or self.is_peak


def parse(name: str) -> Traffic:
    """'closed-4' -> Traffic, under the name that the same traffic always has. Raises BadInput.

    >>> parse("poisson-50.0").name, parse("peak-p99-100ms").name
    ('poisson-50', 'peak-100ms')
    """
    if name == "single":
        return Traffic(name=name, in_flight=1)
    if name == "drain":
        return Traffic(name=name, backlog=True)
    if match := _CLOSED.fullmatch(name):
        return Traffic(name=name, in_flight=int(match[1]))
    if (match := _OPEN.fullmatch(name)) and 0 < float(match[2]) <= MOST_PER_S:
        rate = float(match[2])
        return Traffic(name=f"{match[1]}-{_plain(rate)}", rate_per_s=rate, poisson=match[1] == "poisson")
    if (match := _PEAK.fullmatch(name)) and float(match[2]) > 0:
        percentile, bound_ms = match[1] or "p99", float(match[2])
        shown = "peak" if percentile == "p99" else f"peak-{percentile}"
        return Traffic(name=f"{shown}-{_plain(bound_ms)}ms", bound_s=bound_ms / 1e3, fraction=PERCENTILES[percentile])
    raise BadInput(f"unknown traffic {name!r}", remedy=f"use {KINDS}")


def _plain(value: float) -> str:
    """Without an exponent, and without zeros that say nothing."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
