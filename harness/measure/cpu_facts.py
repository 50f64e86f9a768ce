"""From what the monitor read to what the record keeps of the CPU and of memory. Pure; the words are found in `cpu_verdict`.

*Which threads are Python's?* From outside nothing says so for certain; this is the rule. Every process's main thread and
each thread that ran a request (its number stands in the request's stamps) is `python`: that is known. Native code that
such a thread runs itself, with or without the GIL, counts as its own. Of the others, a thread with another name than its
process's main thread was named by the engine (`engine`): CPython names no threads before 3.14. One with the same
name is `unnamed`: an OpenMP or BLAS pool's, or one of the helper threads of Celery; which of the two is a guess, and not
made. `ended` is the CPU time of the tree that none of these threads used: threads and processes that came and went between
two readings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from harness.machine import cores
from harness.measure import memory
from harness.measure.monitor import ROLES, Sample, Watched
from harness.measure.thread_clocks import ThreadUse
from harness.records.cpu import CpuFacts, CpuUse, Occupancy, Throttled
from harness.records.sections import MemoryUse

BUSY_SHARE = 0.05  # of a core, from which on a thread counts as busy
Executor = tuple[int, int]  # (pid, tid) of a thread that ran a request


def of(
    watched: Watched, before: Sample, after: Sample, *, executors: frozenset[Executor], occupancy: Occupancy | None, kind: str
) -> CpuFacts | None:
    """The facts of the measured window, from its first sample to its last; None where threads were not read twice.

    `kind`: of executors, see `pools.Pool`.
    """
    uses, span_s = watched.uses, watched.uses_span_s
    window_s = after.at_s - before.at_s
    if not uses or span_s <= 0 or window_s <= 0:
        return None
    worker, tree_s = watched.worker, after.worker_tree_cpu_s - before.worker_tree_cpu_s
    kinds = by_kind(uses, worker=worker, executors=executors)
    served = [one for one in uses if (one.pid, one.tid) in executors]
    kinds["ended"] = max(0.0, tree_s * span_s / window_s - sum(kinds.values()))
    used, demands = python_cores(uses, span_s, executors)
    pids = sorted(used, key=lambda pid: used[pid], reverse=True)
    return CpuFacts(
        span_s=span_s,
        cores_busy=[(late - early) / window_s for early, late in zip(before.cores_busy_s, after.cores_busy_s, strict=True)],
        thread_cpu_s=kinds,
        python_cores=[used[pid] for pid in pids[:2]],
        python_demand=[demands[pid] for pid in pids[:2]],
        busiest_role="worker" if pids[0] == worker else "children",
        busy_python_threads=sum(
            one.pid == pids[0] and is_python(one, executors) and one.cpu_s >= BUSY_SHARE * span_s for one in uses
        ),
        run_queue_wait_s=sum(one.wait_s for one in uses),
        executor_threads=len(served),
        executor_cpu_s=sum(one.cpu_s for one in served),
        executor_wait_s=sum(one.wait_s for one in served),
        involuntary_switches=sum(one.involuntary for one in uses),
        executor_kind=kind,
        broker_watched=watched.broker_watched,
        broker_spread=watched.broker_spread,
        occupancy=occupancy,
    )


def use(before: Sample, after: Sample, *, requests: int) -> CpuUse:
    """What each role used between two samples, in which `requests` were answered rightly."""
    return CpuUse(
        window_s=after.at_s - before.at_s,
        cores=len(cores.AVAILABLE),
        quota=min((one.quota for one in after.throttles if one.quota is not None), default=None),
        throttled=throttled(before, after),
        requests=requests,
        machine=after.machine_cpu_s - before.machine_cpu_s,
        steal=after.steal_s - before.steal_s,
        **{role: after.cpu_s[role] - before.cpu_s[role] for role in ROLES},
    )


def throttled(before: Sample, after: Sample) -> list[Throttled]:
    """What each quota on our path held back between two samples; a group that has none at the end, or does not count, is left
    out."""
    first = {one.level: one for one in before.throttles}
    pairs = [(first[one.level], one) for one in after.throttles if one.level in first]
    return [
        Throttled(
            level=late.level,
            quota=late.quota,
            periods=late.periods - early.periods,
            throttled_periods=late.throttled_periods - early.throttled_periods,
            throttled_s=max(0.0, late.throttled_s - early.throttled_s),
            used_s=max(0.0, late.used_s - early.used_s) if late.used_s is not None and early.used_s is not None else None,
        )
        for early, late in pairs
        if late.quota is not None and late.periods
    ]


def is_python(use: ThreadUse, executors: frozenset[Executor]) -> bool:
    return use.tid == use.pid or (use.pid, use.tid) in executors


def by_kind(uses: Sequence[ThreadUse], *, worker: int, executors: frozenset[Executor]) -> dict[str, float]:
    """CPU seconds of living threads by role and kind: 'worker python', 'children engine' …"""
    names = {use.pid: use.name for use in uses if use.tid == use.pid}
    found: defaultdict[str, float] = defaultdict(float)
    for use in uses:
        other = "unnamed" if use.name == names.get(use.pid) else "engine"
        kind = "python" if is_python(use, executors) else other
        found[f"{'worker' if use.pid == worker else 'children'} {kind}"] += use.cpu_s
    return dict(found)


def python_cores(
    uses: Sequence[ThreadUse], span_s: float, executors: frozenset[Executor]
) -> tuple[Mapping[int, float], Mapping[int, float]]:
    """pid -> cores that its Python threads used; and those that they could have used, their waits for a core included."""
    used: defaultdict[int, float] = defaultdict(float)
    wanted: defaultdict[int, float] = defaultdict(float)
    for use in uses:
        if is_python(use, executors):
            used[use.pid] += use.cpu_s / span_s
            wanted[use.pid] += (use.cpu_s + use.wait_s) / span_s
    return used, wanted


def memory_use(watched: Watched, *, requests: int) -> MemoryUse | None:
    """Memory at its peak, and its growth through the measured phase, in which `requests` were answered."""
    peak = watched.peak_memory
    if peak is None:
        return None
    ends = [number for number, sample in enumerate(watched.samples) if sample.phase == "measure"]
    inside = watched.samples[ends[0] : ends[-1] + 2] if ends else []  # with the sample that ends the phase
    readings = [sample.memory for sample in inside if sample.memory is not None]
    return MemoryUse(
        pss_bytes={role: pages.pss_bytes for role, pages in peak.pages.items()},
        private_bytes={role: pages.private_bytes for role, pages in peak.pages.items()},
        shared_bytes={role: pages.shared_bytes for role, pages in peak.pages.items()},
        readings=sum(sample.memory is not None for sample in watched.samples),
        growth=memory.growth(readings, requests),
    )
