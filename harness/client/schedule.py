"""When the requests of open traffic are to be sent, and which were sent late. Pure.

The schedule is made before the first request goes out, and nothing that the worker does changes it: a request that could
not be sent in time still counts from the moment it was meant to be sent (wrk2's and LoadGen's rule; otherwise a stall delays
the very requests that would have shown it, which is known as coordinated omission).

*Late* is a request whose publishing began more than 1 ms, or a tenth of the mean gap where that is longer, after its intended
moment. Such a delay is the client's, yet it counts as the worker's latency. A tenth of a gap hardly changes the arrivals that
the worker sees; 1 ms is what a desktop kernel's scheduler makes a woken process wait on a busy core. With more than 1 % of late
sends a trial is `invalid` (`harness.judge.outcome`): then even p99 may be the client's doing.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

NS_PER_S = 1_000_000_000
LATE_LEAST_S = 0.001
LATE_GAP_SHARE = 0.1
Nanoseconds = npt.NDArray[np.int64]


def arrivals(
    rate_per_s: float, *, poisson: bool, seconds: float, requests: int, dice: np.random.Generator, lead_s: float = 0.0
) -> Nanoseconds:
    """(n,) ascending moments in nanoseconds: before 0 those of `lead_s` seconds, from 0 on those that are measured.

    From 0 on there are as many as fall into `seconds`, and `requests` at least. Gaps are 1 / rate_per_s each, or exponentially
    distributed with that mean: a Poisson process.
    """
    found: list[npt.NDArray[np.float64]] = []
    last_s, measured = -lead_s, 0
    while last_s < seconds or measured < requests:
        size = max(64, int(rate_per_s * seconds / 4))
        gaps = dice.exponential(1 / rate_per_s, size) if poisson else np.full(size, 1 / rate_per_s)
        found.append(last_s + np.cumsum(gaps))
        last_s, measured = float(found[-1][-1]), measured + int((found[-1] >= 0).sum())
    moments_s = np.concatenate(found)
    before = int((moments_s < 0).sum())
    enough = max(before + requests, int(np.searchsorted(moments_s, seconds)))
    return (moments_s[:enough] * NS_PER_S).astype(np.int64)


def late_bound_s(rate_per_s: float) -> float:
    """How long after its intended moment a request is late.

    >>> late_bound_s(1000), late_bound_s(10)
    (0.001, 0.01)
    """
    return max(LATE_LEAST_S, LATE_GAP_SHARE / rate_per_s)


def late(intended: Nanoseconds, published: Nanoseconds, rate_per_s: float) -> int:
    """How many requests were sent late; one that was never sent counts."""
    delay = np.where(published < 0, np.inf, published - intended)
    return int((delay > late_bound_s(rate_per_s) * NS_PER_S).sum())


def overloaded(sent: int, backlog_before: int, backlog_after: int) -> bool:
    """Whether more requests arrived than were answered, by more than chance does.

    `sent`: requests of a span; `backlog_…`: unanswered ones as it began and ended. Below capacity the backlog's growth over
    n Poisson arrivals stays within a few times sqrt(n) (its standard deviation, where both arrivals and answers are as
    irregular as Poisson's, is sqrt(2 n)): three of these, and 5 % of the arrivals at least, are more than chance.
    """
    growth = backlog_after - backlog_before
    return growth > max(0.05 * sent, 3 * float(np.sqrt(2 * sent)))
