"""Truth test: how often the truth lies inside the 95 % intervals of `harness.certainty.intervals`, by simulation.

Simulated is what workers do: latencies are lognormal (sigma 0.3), each resembles the one before (correlation 0.5), and each
fresh worker is faster or slower than the others by 2 % (lognormal, too). Requests follow each other, so a trial's
throughput is the inverse of its mean latency. The truth is known in closed form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy import special
from scipy.signal import lfilter

from harness.certainty import intervals
from harness.certainty.intervals import CONFIDENCE, Floats, Span
from harness.measure.figures import PERCENTILES
from harness.proof.instrument.finding import Finding

REQUESTS = 1000
SIGMA, CORRELATION, WORKERS_DIFFER = 0.3, 0.5, 0.02
TRIALS = (2, 3, 5)
SETS = 8000  # of trials, a figure: the simulation itself is then certain to +- 0.5 % at 95 %
BLOCK = 500
BOUND = 0.01


def coverage(seed: int = 1) -> list[Finding]:
    """How often the truth lies inside, for 1, 2, 3 and 5 trials, for throughput and each percentile. About 15 s.

    One trial is asked for its own worker's truth: of others it knows nothing.
    """
    dice = np.random.default_rng(seed)
    found = [_finding(f"{name}, 1 trial", inside) for name, inside in _single(dice).items()]
    logs = _figures_of_trials(dice, SETS * max(TRIALS))
    for trials in TRIALS:
        for name, values in logs.items():
            sets = values[: SETS * trials].reshape(SETS, trials)
            inside = [_holds(intervals.over_trials(one.tolist()), truth(name)) for one in sets]
            found.append(_finding(f"{name}, {trials} trials", inside))
    return found


def truth(name: str) -> float:
    """The median worker's throughput (per second) or percentile (seconds)."""
    if name == "throughput":
        return math.exp(-(SIGMA**2) / 2)
    return math.exp(SIGMA * float(special.ndtri(PERCENTILES[name])))


def simulated(dice: np.random.Generator, trials: int, differ: float) -> Floats:
    """Latencies of that many trials, (trials, REQUESTS), in seconds."""
    noise = dice.standard_normal((trials, REQUESTS)) * math.sqrt(1 - CORRELATION**2)
    noise[:, 0] /= math.sqrt(1 - CORRELATION**2)  # no run-in: the first is as spread as the others
    chain = lfilter([1.0], [1.0, -CORRELATION], noise, axis=1)
    worker = differ * dice.standard_normal((trials, 1))
    return np.asarray(np.exp(SIGMA * chain + worker))


def _blocks(dice: np.random.Generator, trials: int, differ: float) -> Iterator[Floats]:
    for _ in range(0, trials, BLOCK):
        yield simulated(dice, BLOCK, differ)


def _single(dice: np.random.Generator) -> dict[str, list[bool]]:
    inside: dict[str, list[bool]] = {name: [] for name in ("throughput", *PERCENTILES)}
    for block in _blocks(dice, SETS, 0.0):
        for latency in block:
            span = intervals.of_rate(np.cumsum(latency), 0.0, REQUESTS / float(latency.sum()))
            inside["throughput"].append(_holds(span, truth("throughput")))
            for name, fraction in PERCENTILES.items():
                inside[name].append(_holds(intervals.of_percentile(latency, fraction), truth(name)))
    return inside


def _figures_of_trials(dice: np.random.Generator, trials: int) -> dict[str, Floats]:
    found: dict[str, list[Floats]] = {name: [] for name in ("throughput", *PERCENTILES)}
    for block in _blocks(dice, trials, WORKERS_DIFFER):
        found["throughput"].append(1 / block.mean(axis=1))
        rows = np.quantile(block, list(PERCENTILES.values()), axis=1, method="median_unbiased")
        for name, row in zip(PERCENTILES, rows, strict=True):
            found[name].append(row)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def _holds(span: Span, value: float) -> bool:
    low, high = span
    return low is not None and low <= value and (high is None or value <= high)


def _finding(name: str, inside: list[bool]) -> Finding:
    share = float(np.mean(inside))
    return Finding(
        name=f"interval coverage of {name}",
        figure=share,
        bound=f"{CONFIDENCE:g} +- {BOUND:g}",
        passed=abs(share - CONFIDENCE) <= BOUND,
        note=f"{len(inside)} simulated sets",
    )
