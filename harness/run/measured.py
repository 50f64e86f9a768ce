"""The sections of pace, CPU and memory of a record, from what a trial left and its checked requests. Pure."""

from __future__ import annotations

import numpy as np

from harness.experiment.pools import POOLS
from harness.measure import cpu_facts, cpu_verdict, noise, occupancy, waterfall
from harness.records.answers import NS, Requests, Waiting
from harness.records.cpu import Cpu, CpuFacts, CpuUse, Occupancy
from harness.records.sections import Memory, Pace
from harness.trial.left import Left

LEAST_WINDOW_S = 0.2  # of CPU samples; two that are nearer say nothing of a share
OFF_SHARE, OFF_LEAST_S = (
    0.1,
    0.15,
)  # of that window, and in seconds (the driver looks every 0.1 s): so far it may miss the phase


def pace(left: Left, requests: Requests | None, waiting: Waiting | None) -> Pace:
    """How fast the worker started, and what was measured."""
    signs, known = left.signs, requests if requests is not None and len(requests) else None
    measured_s, measured_requests = _window(left, known) if known else (None, 0)
    return Pace(
        ready_s=signs.ready_at_s - signs.started_s if signs.ready_at_s is not None else None,
        load_s={str(pid): took for pid, took in signs.load_seconds.items()},
        first_predict_s=_first_s(known) if known else None,
        warmup_requests=int((known.columns["phase"] == 1).sum()) if known else 0,
        executors_seen=len(np.unique(known.columns["pid"][known.columns["pid"] >= 0])) if known else 0,
        slowest_s=_slowest_s(known) if known else None,
        measured_s=measured_s,
        measured_requests=measured_requests,
        waited_while_idle=waiting.while_idle if waiting else None,
        starved=waiting.starved if waiting else None,
        stages_p50_s=waterfall.medians_of(known, capacity=left.cell.concurrency) if known else {},
    )


def _first_s(requests: Requests) -> float | None:
    published, received = requests.columns["published"][0], requests.columns["received"][0]
    return float((received - published) * NS) if received >= 0 else None


def _slowest_s(requests: Requests) -> float | None:
    begin, end = requests.columns["begin"], requests.columns["predict_end"]
    whole = requests.answered & (begin >= 0) & (end >= begin)
    return float((end - begin)[whole].max() * NS) if whole.any() else None


def _window(left: Left, requests: Requests) -> tuple[float | None, int]:
    """(seconds of the measured phase, right answers in it)."""
    begin_s = left.measured_from_s
    if begin_s is None:
        return None, 0
    received = requests.columns["received"] * NS
    end_s = left.signs.phase_at_s.get("drain") or float(received.max())
    return end_s - begin_s, int((requests.right & (received >= begin_s) & (received <= end_s)).sum())


def cpu(left: Left, requests: Requests | None, samples_file: str) -> Cpu:
    """What the tree did with the cores, and the verdict on it."""
    machine = left.machine
    used = _use(left, requests)
    facts = _facts(left, requests) if used is not None else None
    verdict = cpu_verdict.judge(used, facts) if used is not None else None
    return Cpu(
        use=used,
        facts=facts,
        verdict=str(verdict) if verdict else "",
        verdict_reason=verdict.reason if verdict else _why_unknown(left),
        noise=noise.between(machine.noise),
        threads_peak=_threads_peak(left),
        tree_cpu_s=machine.last.worker_tree_cpu_s if machine.last else None,
        kernel_cpu_s=machine.kernel_cpu_s,
        samples_file=samples_file,
    )


def _use(left: Left, requests: Requests | None) -> CpuUse | None:
    before, after = left.machine.before, left.machine.after
    if before is None or after is None or after.at_s - before.at_s < LEAST_WINDOW_S or _why_unknown(left):
        return None
    return cpu_facts.use(before, after, requests=requests.between(before.at_s, after.at_s) if requests else 0)


def _why_unknown(left: Left) -> str:
    """Why the CPU figures are left out though the counters were read: these are of another time than the measured phase."""
    before, after = left.machine.before, left.machine.after
    if before is None or after is None or after.at_s - before.at_s < LEAST_WINDOW_S:
        return ""
    window_s, end_s = after.at_s - before.at_s, left.signs.phase_at_s.get("drain", after.at_s)
    off_s = (before.took_s + after.took_s) / 2 + max(0.0, after.at_s - end_s)
    if off_s <= max(OFF_LEAST_S, OFF_SHARE * window_s):
        return ""
    return f"the CPU counters were read up to {off_s:.1f} s too late, in a window of {window_s:.1f} s: the driver got no core"


def _facts(left: Left, requests: Requests | None) -> CpuFacts | None:
    machine, cell = left.machine, left.cell
    assert machine.before is not None
    assert machine.after is not None
    columns = requests.columns if requests is not None else {"pid": np.array([]), "tid": np.array([])}
    return cpu_facts.of(
        machine.watched,
        machine.before,
        machine.after,
        executors=frozenset(zip(columns["pid"].tolist(), columns["tid"].tolist(), strict=True)),
        occupancy=_occupancy(left, requests, machine.before.at_s, machine.after.at_s),
        kind="in-process" if cell.is_baseline else POOLS[cell.pool].executors,
    )


def _occupancy(left: Left, requests: Requests | None, begin_s: float, end_s: float) -> Occupancy | None:
    if left.cell.is_baseline:  # which predicts without a pause
        return Occupancy(executors=left.cell.concurrency, executors_busy=1.0, work_waits=1.0, idle_with_work=0.0)
    if not requests:
        return None
    found = occupancy.of(requests.columns, capacity=left.cell.concurrency, begin_s=begin_s, end_s=end_s)
    return found.revised(idle_with_work=None) if found is not None and left.names_moments else found


def _threads_peak(left: Left) -> dict[str, int]:
    peak = {"worker": 0, "child": 0}
    for sample in left.machine.watched.samples:
        for pid, count in sample.threads.items():
            role = "worker" if pid == left.machine.watched.worker else "child"
            peak[role] = max(peak[role], count)
    return peak


def memory(left: Left, used: CpuUse | None) -> Memory:
    found = cpu_facts.memory_use(left.machine.watched, requests=used.requests if used else 0)
    return Memory(use=found, peak_pss_bytes=sum(found.pss_bytes.values()) if found else None)
