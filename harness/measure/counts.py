"""Doubts about how many requests the figures rest on. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from harness.certainty import few, intervals, stability
from harness.measure import figures
from harness.measure.doubt import Doubt
from harness.records.sections import Figures
from harness.records.sending import Sending

IDLE_SHARE = 0.1
WIDE = 1.5  # half an interval of one trial, as a factor


def of(known: Figures, sending: Sending | None, idle: float | None = None) -> Iterator[Doubt]:
    """Too few for a percentile, or for windows; sent in part only; or the first of their executors, all of them.

    `idle`: share of the time in which requests waited beside a free executor.
    """
    if sending is None or not sending.few:
        yield from _missing(known)
        return
    lacking = [name for name in figures.PERCENTILES if name not in known.latency_s]
    if lacking:
        yield Doubt(
            name="few requests",
            what=f"{known.requests} that take long tell a throughput and no {' and no '.join(lacking)}",
            next_step="read the throughput with its interval, or raise --requests",
        )
    if sending.unsent:
        yield Doubt(
            name="cut short",
            what=f"for {sending.unsent} of the requests there was no time",
            next_step="raise --budget or --limit-s",
        )
    if idle is not None and idle >= IDLE_SHARE:
        yield Doubt(
            name="not full",
            what=f"for {idle:.0%} of the time requests waited while an executor was free",
            next_step="lower worker_prefetch_multiplier, for one child may hold what another could run",
        )
    if sending.cold and not known.cold and known.requests <= few.MOST:
        yield Doubt(
            name="cold",
            what="each request was the first one of its executor and first ones take longer",
            next_step="raise --requests",
        )


def width(known: Figures) -> Doubt | None:
    """Of a single trial: its own requests differ so much that they hardly know its throughput."""
    low, high = known.throughput_span_per_s
    if low is None or (high is not None and math.sqrt(high / low) <= WIDE):
        return None
    factor = "any factor" if high is None else f"a factor {math.sqrt(high / low):.2g}"
    return Doubt(
        name="wide", what=f"its own requests know the throughput within {factor} only", next_step="measure more of them"
    )


def _missing(known: Figures) -> Iterator[Doubt]:
    needs = {name: intervals.needed_requests(fraction) for name, fraction in figures.PERCENTILES.items()}
    needs["stability"] = stability.WINDOWS * stability.LEAST_REQUESTS
    missing = {name: need for name, need in needs.items() if need > known.requests}
    if missing:
        each = " and ".join(f"{need} for {name}" for name, need in sorted(missing.items(), key=lambda item: item[1]))
        yield Doubt(
            name="few requests",
            what=f"{known.requests} a trial, {each} are needed",
            next_step=f"--requests {max(missing.values())}",
        )
