"""How long a request keeps its executor by itself: all of its time but that in which its thread could run, and had no core.

Beside other programs the pace of a worker differs from trial to trial by tens of per cent, mostly since its threads wait for
a core. How long they do, the kernel counts (`schedstat`, see `thread_clocks`). What is left is what the task computes, and what
it waits for on its own: a lock, a reply, a sleep. It is no latency, and no pace: two trials are compared by it. Pure.

It is too long if a request waits for a thread that has no core in its turn: one that holds the GIL, or an engine's.
"""

from __future__ import annotations

from harness.records.sections import CpuFacts, CpuUse


def of(use: CpuUse | None, facts: CpuFacts | None) -> float | None:
    """Seconds per request; None without requests, or if it was not read what threads waited.

    The wait of a thread that runs greenlets holds up all requests that it has begun, so it counts for each of them.
    """
    if use is None or facts is None or facts.occupancy is None or facts.executor_wait_s is None:
        return None
    if not use.requests or not facts.executor_threads:
        return None
    held_s = facts.occupancy.executors * facts.occupancy.executors_busy * use.window_s
    held_up = max(1.0, held_s / (facts.executor_threads * use.window_s))
    return max(0.0, held_s - facts.executor_wait_s * use.window_s / facts.span_s * held_up) / use.requests or None
