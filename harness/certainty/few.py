"""What few, long requests of a closed loop tell: 2 to 63 of them, each of seconds or minutes. Pure.

A rate that is counted between two moments suffers from its ends: of eight requests in two executors, one that still runs as
the count ends is an eighth of the figure. So nothing is counted here. The *utilisation law* (Denning and Buzen, The Operational
Analysis of Queueing Network Models, 1978) gives the throughput as the executors that were busy over the mean time that a
request keeps one:

    rate = busy / mean(service)

That holds if executors are what the loop waits for. If they did nothing for most of the time (`BUSY`), or if the rate is far
above what Little's law makes of the latencies (`ABOVE`), the hand-over from one request to the next decides, and nothing is
told: of a task of 0.1 ms the utilisation law would promise ten times of what can be had.

`busy` is the mean number of requests that ran while the loop was full: since as many have begun as it can run at once (a child
may start later than another), until fewer are left. `service` is known in whole for each request, for all of them are awaited:
a fixed number of requests is sent, and which of them count does not depend on how long they took. Two requests that share a
thread take turns or slow each other down: then `busy` is smaller, or the services are longer.

Throughput's interval: Student's t on the services. Latency's median, if nobody queues (no more in flight than executors): the
sign test's interval, interpolated between order statistics (Hettmansperger and Sheather, Confidence intervals based on
interpolated order statistics, 1986), from 6 requests on; it asks nothing of the distribution. If requests queue, those that
follow each other wait for the same others, and are no independent ones: then Little's law gives the interval, requests in
flight over the interval of the throughput. It is one of the mean, near which the median of what passes a queue lies.

Coverage of the long run's value from eight requests, 1,000 closed loops each (`tests/test_few.py`): at least 92 % for lognormal
services (3 % and 20 %) and for two kinds of requests, half of them twice as long. If a rarer kind was not met, nobody can know
of it: with a kind of 30 % that takes three times as long, eight requests meet none in 6 % of trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from harness.certainty.intervals import CONFIDENCE, LEAST_REQUESTS, NOTHING, Floats, Span, t_quantile

MOST = LEAST_REQUESTS - 1  # from there on, batches of a trial tell (`intervals`)
LEAST_MEDIAN = 6  # values: of five, the least and the greatest hold the median in 94 % of cases
BUSY = 1 / 3  # of the time of those that could run; an uneven rest of five long requests in four executors leaves 5 / 8
ABOVE = 2.0  # times the requests in flight over their mean latency; four long ones in two executors come to 4 / 3
COLD = 2.5  # times the longest of the others
LEAST_QUEUED = 3  # latencies of requests that found the queue as it is in the long run


Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The requests of a closed loop that were answered rightly; seconds of one clock, (n,) each, in any order.

    `sent`, `received`: by the client; `begin`, `end`: in the executor. `first`: whether it was its executor's first one.
    """

    sent: Floats
    received: Floats
    begin: Floats
    end: Floats
    first: Flags

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def service(self) -> Floats:
        return self.end - self.begin

    def cold(self, known: bool) -> Flags:
        """The requests that are told apart as their executor's first: all of them if it is `known` that a first one takes
        longer; else those that took several times as long as each later one. None if there were no later ones.

        A finer rule than that would pick the figures by their size.
        """
        if self.first.all():
            return np.zeros_like(self.first)
        return self.first if known else self.first & (self.service > COLD * self.service[~self.first].max())


@dataclass(frozen=True, kw_only=True)
class Loop:
    """What a loop came to. `median_s`: of the latency, None if too few requests support it; `service_s`: median of the time in
    the executor."""

    requests: int  # that count: all but the cold ones
    cold: int
    rate_per_s: float
    rate_span: Span
    median_s: float | None
    median_span: Span
    service_s: float


def of(runs: Runs, *, in_flight: int, executors: int, cold: bool = False) -> Loop | None:
    """The figures of a loop that kept `in_flight` requests going; None if it has none. `cold`: see `Runs.cold`."""
    if not len(runs) or runs.service.min() <= 0 or used(runs, min(in_flight, executors)) < BUSY:
        return None
    left_out = runs.cold(cold)
    service = runs.service[~left_out]
    rate = busy(runs, min(in_flight, executors)) / float(service.mean())
    if rate > ABOVE * min(in_flight, len(runs)) / float((runs.received - runs.sent).mean()):
        return None
    span = around(rate, service)
    queues = in_flight > executors
    median, its_span = _queued(runs, ~left_out, in_flight, span) if queues else _unqueued(runs, ~left_out)
    return Loop(
        requests=len(service), cold=int(left_out.sum()), rate_per_s=rate, rate_span=span, median_s=median,
        median_span=its_span, service_s=float(np.median(service)),
    )  # fmt: skip


def busy(runs: Runs, at_once: int) -> float:
    """Mean number of requests that ran while the loop was full; `at_once`: as many as it could run."""
    full = min(at_once, len(runs))
    begin, end = float(np.sort(runs.begin)[full - 1]), float(np.sort(runs.end)[len(runs) - full])
    if end <= begin:  # too few to be full at any time
        begin, end = float(runs.begin.min()), float(runs.end.max())
    ran = np.clip(runs.end, begin, end) - np.clip(runs.begin, begin, end)
    return float(ran.sum()) / (end - begin)


def used(runs: Runs, at_once: int) -> float:
    """The share of their time, from the first begin to the last end, for which as many executors as could run were busy."""
    whole = float(runs.end.max() - runs.begin.min()) * min(at_once, len(runs))
    return float(runs.service.sum()) / whole if whole > 0 else 0.0


def around(rate: float, service: Floats) -> Span:
    """The throughput's interval, from the services of independent requests; nothing for a single one."""
    if len(service) < 2:
        return NOTHING
    error = float(np.std(service, ddof=1)) / math.sqrt(len(service)) / float(service.mean())
    share = t_quantile(len(service) - 1) * error
    return Span(rate / (1 + share), rate / (1 - share) if share < 1 else None)


def _unqueued(runs: Runs, counts: Flags) -> tuple[float | None, Span]:
    """(median of the latency, its interval)."""
    values = (runs.received - runs.sent)[counts]
    return (float(np.median(values)), median_span(values)) if len(values) >= LEAST_MEDIAN else (None, NOTHING)


def _queued(runs: Runs, counts: Flags, in_flight: int, rate: Span) -> tuple[float | None, Span]:
    """Likewise. Requests that were sent before the loop was full waited for fewer others, and are left out."""
    values = (runs.received - runs.sent)[counts & (runs.sent >= runs.received.min())]
    if len(values) < LEAST_QUEUED or rate.low is None:
        return None, NOTHING
    median = float(np.median(values))  # it holds what a hand-over takes, too, which no executor is busy with
    return median, Span(min(median, in_flight / rate.high) if rate.high else None, max(median, in_flight / rate.low))


def median_span(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Span:
    """The interval of the median of independent values; nothing for fewer than six.

    >>> median_span([1, 2, 3, 4, 5])
    Span(low=None, high=None)
    >>> low, high = median_span([1, 2, 3, 4, 5, 6, 7, 8])
    >>> round(low, 2), round(high, 2)  # the second and the seventh would hold it in 93 % of cases
    (1.94, 7.06)
    """
    ordered, n = np.sort(np.asarray(values, dtype=float)), len(values)
    depth = 0
    while depth + 1 <= n // 2 and _held(depth + 1, n) >= confidence:
        depth += 1
    if not depth:
        return NOTHING
    if depth == n // 2:
        return Span(float(ordered[depth - 1]), float(ordered[n - depth]))
    share = (_held(depth, n) - confidence) / (_held(depth, n) - _held(depth + 1, n))
    inner = (n - depth) * share / (depth + (n - 2 * depth) * share)
    low = (1 - inner) * ordered[depth - 1] + inner * ordered[depth]
    high = (1 - inner) * ordered[n - depth] + inner * ordered[n - depth - 1]
    return Span(float(low), float(high))


def _held(depth: int, n: int) -> float:
    """How often the median lies between the value of this rank from below and that of the same rank from above."""
    return 1.0 - 2.0 * float(special.bdtr(depth - 1, n, 0.5))
