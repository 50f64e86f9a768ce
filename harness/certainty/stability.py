"""When a level of load has become stable: a rule on windows of the measured phase. Pure; knows nothing of trials.

The rule is perf_analyzer's (Triton's load generator, `--stability-percentage 10`): of the last three windows, the highest
throughput is at most 1.10 times the lowest, and so is the latency. Its windows hold 50 requests at least
(`--measurement-request-count 50`); with fewer, chance alone moves a window's mean by more than the rule allows.
"""

from __future__ import annotations

from collections.abc import Sequence

WINDOWS = 3
SPREAD = 1.10
LEAST_REQUESTS = 50  # a window


def spread(values: Sequence[float]) -> float:
    """Highest over lowest of the last three windows; infinite where one of them is not above 0."""
    last = values[-WINDOWS:]
    return max(last) / min(last) if min(last) > 0 else float("inf")


def stable(throughputs: Sequence[float], latencies: Sequence[float]) -> bool:
    """Whether the last three windows agree; False while there are fewer.

    `throughputs` in requests per second and `latencies` in seconds, one a window, oldest first. An empty `latencies` leaves
    latency out: a backlog's grows by nature.
    """
    if len(throughputs) < WINDOWS or (latencies and len(latencies) < WINDOWS):
        return False
    return spread(throughputs) <= SPREAD and (not latencies or spread(latencies) <= SPREAD)
