"""How long a request keeps its executor by itself: all of its time but that in which its thread could run, and had no core.

Beside other programs the pace of a worker differs from trial to trial by tens of per cent, mostly since its threads wait for
a core. How long they do, the kernel counts (`schedstat`, see `thread_clocks`). What is left is what the task computes, and what
it waits for on its own: a lock, a reply, a sleep. It is no latency, and no pace: two trials are compared by it. Pure.

It is too long if a request waits for a thread that has no core in its turn: one that holds the GIL, or an engine's.
"""

from __future__ import annotations

from harness.records.cpu import CpuFacts, CpuUse


def of(use: CpuUse | None, facts: CpuFacts | None) -> float | None:
    """Seconds per request; None without requests, or if it was not read what threads waited."""
    if use is None or facts is None or facts.occupancy is None or facts.executor_wait_s is None:
        return None
    if not use.requests or not facts.executor_threads:
        return None
    held_s = facts.occupancy.executors * facts.occupancy.executors_busy * use.window_s
    begun = held_s / (facts.executor_threads * use.window_s)
    wanted = (facts.executor_cpu_s + facts.executor_wait_s) / (facts.executor_threads * facts.span_s)
    waited_s = facts.executor_wait_s * use.window_s / facts.span_s
    return max(0.0, held_s - waited_s * held_up(begun, wanted)) / use.requests or None


def held_up(begun: float, wanted: float) -> float:
    """How many requests the wait of a thread holds up, if it has begun so many, and runs or could run for so much of its time.

    A thread that also runs between requests waits there, too, as the main thread of a solo worker does. Greenlets are held up
    if they could run: all that were begun if the thread computes all the time, and few of those that sleep (of a queue with
    one server: one over the share of its time that it is free).

    >>> held_up(1.0, 1.0), held_up(0.5, 1.0), held_up(0.5, 0.2), held_up(8.0, 1.0), held_up(8.0, 0.5)
    (1.0, 0.5, 1.0, 8.0, 2.0)
    """
    if wanted <= 0:
        return 0.0
    free = 1 / (1 - wanted) if wanted < 1 else begun
    return min(begun / wanted, max(1.0, min(begun, free)))
