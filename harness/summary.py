"""Statistics computed from records: one row a cell, with the columns that others read (`cells.csv`).

A percentile that too few requests support is left empty. The least number of requests is that of MLPerf LoadGen's
early-stopping rule with no miss allowed, at 99 % confidence: the smallest n with p^n <= 0.01, that is 44 for p90,
90 for p95, 459 for p99. The median, which the rule does not name, gets the same rule: 7.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from harness import answers
from harness.answers import Floats
from harness.matrix import Cell
from harness.outcome import Outcome
from harness.record import TrialRecord

CONFIDENCE = 0.99
RATE_CONFIDENCE = 0.95
COLUMNS = (
    "cell", "backend", "environment", "pool", "concurrency", "placement", "call", "workload", "batch", "engine_threads",
    "traffic", "prefetch", "compile_cache", "trials", "outcome", "reason", "requests", "ok", "errors", "wrong", "unanswered",
    "throughput_per_s", "latency_p50_s", "latency_p95_s", "latency_p99_s", "predict_p50_s", "cpu_saturation",
    "cpu_s_per_request", "cpu_share_worker", "cpu_share_children", "cpu_share_broker", "cpu_share_client", "peak_pss_bytes",
    "threads_worker", "threads_child", "ready_s", "first_predict_s", "null_throughput_per_s", "baseline_predict_s",
    "overhead_fraction", "starved_share", "others_cpu_share", "hung_trials", "judged_trials", "hang_rate", "hang_rate_low",
    "hang_rate_high", "outcomes", "evidence",
)  # fmt: skip

# When trials of one cell end differently, the row shows the gravest; `outcomes` counts them all.
GRAVITY = (
    Outcome.HUNG, Outcome.CRASHED, Outcome.WRONG, Outcome.RESPAWNING, Outcome.ERRORS, Outcome.STALLED, Outcome.REFUSED,
    Outcome.SLOW, Outcome.INVALID, Outcome.OK, Outcome.SKIPPED,
)  # fmt: skip


def needed_requests(fraction: float) -> int:
    """Requests before the percentile may be printed.

    >>> [needed_requests(p) for p in (0.9, 0.95, 0.99)]
    [44, 90, 459]
    """
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(fraction))


def percentile(values: Iterable[float], fraction: float) -> float | None:
    """The percentile (an observed value, not an interpolation), or None where too few values support it."""
    found = np.fromiter(values, dtype=float)
    if len(found) < needed_requests(fraction):
        return None
    return float(np.quantile(found, fraction, method="inverted_cdf"))


@dataclass(frozen=True, kw_only=True)
class HangRate:
    """`hung` of `judged` fresh workers hung; `low` and `high` are the exact (Clopper-Pearson) 95 % interval of the rate.

    `below` is the one-sided bound, for runs in which none hung: with 95 % confidence the rate is below it.
    """

    hung: int
    judged: int

    @property
    def rate(self) -> float:
        return self.hung / self.judged

    @property
    def interval(self) -> tuple[float, float]:
        low, high = stats.binomtest(self.hung, self.judged).proportion_ci(RATE_CONFIDENCE, method="exact")
        return float(low), float(high)

    @property
    def below(self) -> float:
        test = stats.binomtest(self.hung, self.judged, alternative="less")
        return float(test.proportion_ci(RATE_CONFIDENCE, method="exact").high)


def clean_trials_for(rate: float) -> int:
    """How many fresh workers without one hang bound the rate below `rate` at 95 %: the smallest n with (1-rate)^n <= 0.05.

    >>> clean_trials_for(0.05), clean_trials_for(0.01)
    (59, 299)
    """
    return math.ceil(math.log(1 - RATE_CONFIDENCE) / math.log(1 - rate))


def hang_rate(trials: Iterable[TrialRecord]) -> HangRate | None:
    """None where no trial could be judged: what was skipped or invalid says nothing about hangs."""
    judged = [record for record in trials if record.outcome not in (Outcome.SKIPPED, Outcome.INVALID)]
    hung = sum(record.outcome is Outcome.HUNG for record in judged)
    return HangRate(hung=hung, judged=len(judged)) if judged else None


def table(records: Iterable[TrialRecord], folder: Path) -> pd.DataFrame:
    """One row a cell, in the order in which cells first appear; `folder` is the run's, where the requests lie."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(record.cell_id, []).append(record)
    rows = [row(trials, groups, folder) for trials in groups.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def row(trials: list[TrialRecord], others: Mapping[str, list[TrialRecord]], folder: Path) -> dict[str, Any]:
    """The row of one cell; `others` holds the records of its controls."""
    cell = trials[0].as_cell
    gravest = min(trials, key=lambda record: GRAVITY.index(record.outcome))
    measured = [record for record in trials if record.measured_s and record.measured_requests]
    good = [record for record in measured if record.outcome is Outcome.OK] or measured
    values = {
        **{name: value for name, value in cell.as_dict().items() if name in COLUMNS},
        "cell": cell.id,
        "environment": cell.venv,
        "trials": len(trials),
        "outcome": gravest.outcome.value,
        "reason": gravest.reason,
        "outcomes": _counts(trials),
        "requests": sum(record.requests for record in trials),
        "ok": sum(record.ok for record in trials),
        "wrong": sum(record.wrong for record in trials),
        "unanswered": sum(record.unanswered for record in trials),
        "errors": sum(sum(record.errors.values()) for record in trials),
        "peak_pss_bytes": max((r.peak_pss_bytes for r in trials if r.peak_pss_bytes), default=None),
        "threads_worker": max((r.threads_peak.get("worker", 0) for r in trials), default=0) or None,
        "threads_child": max((r.threads_peak.get("child", 0) for r in trials), default=0) or None,
        "ready_s": _median(record.ready_s for record in trials),
        "first_predict_s": _median(record.first_predict_s for record in trials),
        "starved_share": _median(record.starved for record in trials),
        "evidence": gravest.evidence,
    }
    return {**values, **_hangs(trials), **_pace(good, folder), **_cpu(good), **_beside(cell, good, others, folder)}


def _hangs(trials: list[TrialRecord]) -> dict[str, Any]:
    found = hang_rate(trials)
    if found is None:
        return {"hung_trials": 0, "judged_trials": 0}
    low, high = found.interval
    return {
        "hung_trials": found.hung, "judged_trials": found.judged, "hang_rate": found.rate, "hang_rate_low": low,
        "hang_rate_high": high,
    }  # fmt: skip


def _measured_s(records: list[TrialRecord], folder: Path) -> tuple[Floats, Floats]:
    """(latencies, predict times) of all measured requests of these trials."""
    pairs = [answers.measured_s(folder / record.requests_file) for record in records if record.requests_file]
    nothing = np.array([])
    latencies, services = ([pair[i] for pair in pairs] or [nothing] for i in (0, 1))
    return np.concatenate(latencies), np.concatenate(services)


def _pace(good: list[TrialRecord], folder: Path) -> dict[str, Any]:
    if not good:
        return {}
    latencies, services = _measured_s(good, folder)
    return {
        "throughput_per_s": _throughput(good),
        "latency_p50_s": percentile(latencies, 0.50),
        "latency_p95_s": percentile(latencies, 0.95),
        "latency_p99_s": percentile(latencies, 0.99),
        "predict_p50_s": percentile(services, 0.50),
    }


def _cpu(good: list[TrialRecord]) -> dict[str, Any]:
    used = [record.cpu for record in good if record.cpu is not None and record.cpu.requests]
    if not used:
        return {}
    tree, ours = sum(cpu.worker_tree for cpu in used), sum(cpu.ours for cpu in used)
    seconds = sum(cpu.window_s * cpu.cores for cpu in used)
    return {
        "cpu_saturation": tree / seconds,
        "cpu_s_per_request": tree / sum(cpu.requests for cpu in used),
        "cpu_share_worker": tree / ours if ours else None,
        "cpu_share_children": sum(cpu.children for cpu in used) / ours if ours else None,
        "cpu_share_broker": sum(cpu.broker for cpu in used) / ours if ours else None,
        "cpu_share_client": sum(cpu.client for cpu in used) / ours if ours else None,
        "others_cpu_share": max(cpu.others_share for cpu in used),
    }


def _beside(cell: Cell, good: list[TrialRecord], others: Mapping[str, list[TrialRecord]], folder: Path) -> dict[str, Any]:
    """What the controls say of this cell.

    `overhead_fraction` is throughput over the null control's throughput: the share of a request's time that the same
    pool needs for a request that computes nothing. Near 1, the pool is what is measured, not the model.
    """
    if cell.is_control or cell.is_baseline:
        return {}
    null, baseline = others.get(cell.null_control().id, []), others.get(cell.baseline().id, [])
    null_pace = _throughput([record for record in null if record.outcome is Outcome.OK])
    _, services = _measured_s([record for record in baseline if record.outcome is Outcome.OK], folder)
    own = _throughput(good)
    return {
        "null_throughput_per_s": null_pace,
        "baseline_predict_s": percentile(services, 0.5),
        "overhead_fraction": own / null_pace if own and null_pace else None,
    }


def _throughput(records: list[TrialRecord]) -> float | None:
    seconds = sum(record.measured_s or 0.0 for record in records)
    return sum(record.measured_requests for record in records) / seconds if seconds else None


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else None


def _counts(trials: list[TrialRecord]) -> str:
    counts: dict[str, int] = {}
    for record in trials:
        counts[record.outcome.value] = counts.get(record.outcome.value, 0) + 1
    return " ".join(f"{outcome}:{count}" for outcome, count in counts.items())
