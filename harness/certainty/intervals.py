"""How certain a figure is: 95 % intervals that hold for few trials, and how many requests a percentile needs. Pure.

Which interval, and why
    *Two trials or more*: Student's t on the logarithms of the trials' own figures (one throughput, one p95 a trial). A trial
    is a fresh worker, and fresh workers differ more from one another than the requests of one worker do; how the requests
    of a trial depend on each other does not matter. With 2 trials it is wide (t = 12.7), as it has to be.
    *One trial*: it says nothing of other workers, only how well this one's own long-run figure is known. Requests
    that follow each other are alike (queues, caches, a machine's slow seconds), so they do not count as so many independent
    ones: the trial is cut into 8 batches, and the spread between the batches counts. Throughput: t on the batches'
    durations. A percentile: the variance of the share of requests below it, by batches; from that the number of independent
    requests that would be as certain; from that the share's interval, read off the ordered requests (Woodruff 1952;
    Korn and Graubard 1998 for the number; Jeffreys' interval for the share).

What a bound is held against
    One more fresh worker (`end_of_one_more`), never a middle: the middle of 20, 20, 20, 20 and 500 ms is 38. It takes the
    farther of the prediction interval's end and of the worst worker's own, from LEAST_WORKERS on. The first holds for workers
    of one kind; the second for workers of two, as soon as one of the slow kind was met.

Where they do not hold
    Trials that fall into two groups (one worker in three is slow): few trials cannot know it. Percentiles of several trials
    whose requests are alike for longer than a trial lasts. One trial whose requests are alike for longer than about a
    hundredth of it: then its interval is too short (p95 of 150 requests with a correlation of 0.8 from one to the next:
    84 % instead of 95 %). `harness.proof.instrument.coverage` measures how often the truth lies inside.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

CONFIDENCE = 0.95
PERCENTILE_CONFIDENCE = 0.99  # LoadGen's
BATCHES = 8  # few and long rather than many and short: with 20, requests that are alike made 95 % to 91 %
LEAST_REQUESTS = 8 * BATCHES
LEAST_WORKERS = 3  # with two, the prediction interval spans factors, and workers of two kinds look like one
LEAST_INFLATION = 0.05  # variance of a share over that of independent requests; 0 would be certainty
Floats = npt.NDArray[np.float64]


class Span(NamedTuple):
    """A 95 % interval; None where it has no end that the data show."""

    low: float | None
    high: float | None


NOTHING = Span(None, None)


def needed_requests(fraction: float) -> int:
    """Requests before a percentile may be printed: MLPerf LoadGen's early-stopping rule with no miss allowed, at 99 %.

    That is the smallest n with fraction^n <= 0.01. The median, which LoadGen does not name, gets the same rule.

    >>> [needed_requests(p) for p in (0.5, 0.9, 0.95, 0.99)]
    [7, 44, 90, 459]
    """
    return math.ceil(math.log(1 - PERCENTILE_CONFIDENCE) / math.log(fraction))


def percentile(values: Iterable[float], fraction: float) -> float | None:
    """The percentile, or None where too few values support it.

    The median-unbiased estimate (Hyndman and Fan 1996, type 8): the plain order statistic lies low where requests are few,
    p95 of 100 by 2 %, which made intervals of five trials miss the truth in 8 % of cases.
    """
    found = np.fromiter(values, dtype=float)
    if len(found) < needed_requests(fraction):
        return None
    return float(np.quantile(found, fraction, method="median_unbiased"))


def middle(values: Sequence[float]) -> float | None:
    """The figure of a cell from its trials' figures: the geometric mean, around which `over_trials` lies."""
    if not values or min(values) <= 0:
        return None
    return values[0] if len(values) == 1 else math.exp(math.fsum(map(math.log, values)) / len(values))


def over_trials(values: Sequence[float]) -> Span:
    """The interval from one figure a trial, all above 0; nothing where there are fewer than two trials."""
    return _around_middle(values, 1 / len(values)) if values else NOTHING


def of_one_more(values: Sequence[float]) -> Span:
    """Where the figure of one more trial, a fresh worker's, will lie with 95 %: the prediction interval.

    `over_trials` says where the middle of all workers lies, and is narrower. The same distribution, and the same conditions.
    """
    return _around_middle(values, 1 + 1 / len(values)) if values else NOTHING


def end_of_one_more(values: Sequence[float], own: Sequence[float | None], *, upper: bool) -> float | None:
    """What one more fresh worker's figure stays below (`upper`), or above; None for fewer than LEAST_WORKERS.

    `values`: one figure a worker, all above 0; `own`: the end of each worker's own interval, None where it has none that the
    data show: then its figure counts.
    """
    low, high = of_one_more(values)
    if len(values) < LEAST_WORKERS or low is None or high is None:
        return None
    ends = [value if end is None else end for value, end in zip(values, own, strict=True)]
    return max(high, *ends, *values) if upper else min(low, *ends, *values)


def workers_for(values: Sequence[float], limit: float, *, upper: bool, most: int = 30) -> int | None:
    """How many workers as alike as these put one more below (`upper`) or above the limit; None if `most` do not."""
    logs, sign = np.log(values), 1 if upper else -1
    centre, spread = float(np.mean(logs)), float(np.std(logs, ddof=1))
    for workers in range(len(values) + 1, most + 1):
        end = centre + sign * t_quantile(workers - 1) * spread * math.sqrt(1 + 1 / workers)
        if sign * (math.log(limit) - end) >= 0:
            return workers
    return None


def _around_middle(values: Sequence[float], variance: float) -> Span:
    """Student's t on the logarithms; `variance`: of what is asked about, over the variance of one trial."""
    if len(values) < 2 or min(values) <= 0:
        return NOTHING
    logs = np.log(values)
    half = t_quantile(len(logs) - 1) * float(np.std(logs, ddof=1)) * math.sqrt(variance)
    centre = float(np.mean(logs))
    return Span(math.exp(centre - half), math.exp(centre + half))


def of_rate(received_s: Floats, begin_s: float, rate: float) -> Span:
    """The interval of one trial's throughput `rate` (requests per second), from the moments of its answers, in order."""
    size = len(received_s) // BATCHES
    if len(received_s) < LEAST_REQUESTS:
        return NOTHING
    durations = np.diff(received_s[size - 1 :: size][:BATCHES], prepend=begin_s)
    mean = float(np.mean(durations))
    share = t_quantile(BATCHES - 1) * float(np.std(durations, ddof=1)) / math.sqrt(BATCHES) / mean
    return Span(rate / (1 + share), rate / (1 - share) if share < 1 else None)


def of_percentile(values: Floats, fraction: float) -> Span:
    """The interval of one trial's percentile; `values` in the order in which the requests were answered."""
    n = len(values)
    if n < max(LEAST_REQUESTS, needed_requests(fraction)):
        return NOTHING
    ordered = np.sort(values)
    below = values <= np.quantile(ordered, fraction, method="inverted_cdf")
    shares = below[: n // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)
    inflation = max(float(np.var(shares, ddof=1)) / BATCHES / (fraction * (1 - fraction) / n), LEAST_INFLATION)
    independent = n / inflation * (special.ndtri((1 + CONFIDENCE) / 2) / t_quantile(BATCHES - 1)) ** 2
    hits, misses = independent * fraction + 0.5, independent * (1 - fraction) + 0.5
    tail = (1 - CONFIDENCE) / 2
    return Span(*(_at(ordered, special.betaincinv(hits, misses, share)) for share in (tail, 1 - tail)))


def t_quantile(freedom: float, confidence: float = CONFIDENCE) -> float:
    """Two-sided quantile of Student's t. `scipy.special` and not `scipy.stats`, which takes most of a second to import."""
    return float(special.stdtrit(freedom, (1 + confidence) / 2))


def _at(ordered: Floats, share: float) -> float | None:
    """The value below which that share lies, interpolated; None beyond the largest seen."""
    position = share * (len(ordered) + 1) - 1
    if position > len(ordered) - 1:
        return None
    return float(np.interp(max(position, 0.0), np.arange(len(ordered)), ordered))
