"""Statistics computed from records: one row a cell, with the columns that others read (`cells.csv`).

A figure of a cell is the geometric mean of its trials' figures; its interval (`..._low`, `..._high`: 95 %) is explained in
`intervals`. A percentile that too few requests support is left empty: 44 are needed for p90, 90 for p95, 459 for p99
(MLPerf LoadGen's rule), in each trial; if only the trials together have so many, the percentile of them all is given, and no
interval. `doubts` says what speaks against a row's figures, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

from harness.certainty import intervals
from harness.certainty.intervals import Span
from harness.experiment.matrix import Cell
from harness.machine import cores
from harness.measure import doubts, efficiency, figures, latencies, waterfall
from harness.measure.efficiency import Ceiling, Efficiency
from harness.records import answers
from harness.records.outcomes import ANSWERED, GRAVITY, NOT_JUDGED, Outcome
from harness.records.record import TrialRecord, by_cell
from harness.records.sections import Figures
from harness.summary import contrast, notes, of_tasks, resources, sibling
from harness.summary.hang_rate import hang_rate

COLUMNS = (
    "cell", "backend", "environment", "pool", "concurrency", "placement", "call", "workload", "batch", "engine_threads",
    "traffic", "prefetch", "compile_cache", "trials", "outcome", "reason", "cause", "coverage", "doubts", "notes",
    "tasks", "requests", "ok", "errors", "wrong", "unanswered",
    "throughput_per_s", "throughput_low_per_s", "throughput_high_per_s",
    "latency_p50_s", "latency_p50_low_s", "latency_p50_high_s", "latency_p95_s", "latency_p95_low_s", "latency_p95_high_s",
    "latency_p99_s", "latency_p99_low_s", "latency_p99_high_s", "stable", "predict_p50_s", "cpu_verdict", "cpu_saturation",
    "cpu_s_per_request", "cpu_share_worker", "cpu_share_children", "cpu_share_broker", "cpu_share_client",
    "run_queue_wait_s_per_s", "involuntary_switches_per_s", "peak_pss_bytes", "pss_worker_bytes", "pss_children_bytes",
    "private_bytes", "shared_saved_bytes", "growth_bytes_per_s", "growth_bytes_per_request",
    "threads_worker", "threads_child", "ready_s", "first_predict_s", "null_throughput_per_s", "baseline_predict_s",
    "overhead_fraction", "ceiling_per_s", "ceiling_cell", "efficiency",
    "starved_share", "others_cpu_share", "throttled_share", "hung_trials", "judged_trials", "hang_rate", "hang_rate_low",
    "hang_rate_high",
    "offered_per_s", "late_share", "peak_per_s", *(f"stage_{name}_p50_s" for name in waterfall.STAGES), "outcomes", "evidence",
)  # fmt: skip


def table(records: Iterable[TrialRecord], folder: Path) -> pd.DataFrame:
    """One row a cell, in the order in which cells first appear; `folder` is the run's, where the requests lie."""
    groups = by_cell(records)
    rows = [row(trials, groups, folder) for trials in groups.values()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def gravest(trials: Iterable[TrialRecord]) -> TrialRecord:
    """The trial that ended worst, of those that were judged; where none was, of all: an invalid one hides no other."""
    found = list(trials)
    judged = [record for record in found if record.outcome not in NOT_JUDGED]
    return min(judged or found, key=lambda record: GRAVITY.index(record.outcome))


def row(trials: list[TrialRecord], others: Mapping[str, list[TrialRecord]], folder: Path) -> dict[str, Any]:
    """The row of one cell; `others` holds the records of its controls."""
    cell = trials[0].as_cell
    worst = gravest(trials)
    measured = [record for record in trials if record.pace.measured_s and record.pace.measured_requests]
    good = [record for record in measured if record.outcome in ANSWERED] or measured
    known = _figures(good, folder)
    share = _efficiency(cell, known, others, folder)
    above = [share.doubt] if share and share.doubt else []
    values = {
        **{name: value for name, value in cell.as_dict().items() if name in COLUMNS},
        "cell": trials[0].cell_id,
        "environment": cell.venv,
        "trials": len(trials),
        "outcome": worst.outcome.value,
        "reason": _reason(worst, known, others, folder),
        "cause": contrast.cause(worst, others).name,
        "coverage": worst.answers.coverage,
        "doubts": doubts.text([*doubts.of_cell(trials, [record for record, _ in known], [one for _, one in known]), *above]),
        "notes": notes.text(notes.of(trials)),
        "tasks": notes.text(of_tasks.lines(trials)),
        "outcomes": _counts(trials),
        "requests": sum(record.answers.requests for record in trials),
        "ok": sum(record.answers.ok for record in trials),
        "wrong": sum(record.answers.wrong for record in trials),
        "unanswered": sum(record.answers.unanswered for record in trials),
        "errors": sum(sum(record.answers.errors.values()) for record in trials),
        "peak_pss_bytes": max((r.memory.peak_pss_bytes for r in trials if r.memory.peak_pss_bytes), default=None),
        "threads_worker": max((r.cpu.threads_peak.get("worker", 0) for r in trials), default=0) or None,
        "threads_child": max((r.cpu.threads_peak.get("child", 0) for r in trials), default=0) or None,
        "ready_s": _median(record.pace.ready_s for record in trials),
        "first_predict_s": _median(record.pace.first_predict_s for record in trials),
        "starved_share": _median(record.pace.starved for record in trials),
        "evidence": worst.ended.evidence,
    }
    return {
        **values,
        **_hangs(trials),
        **_offered(trials, good),
        **_pace(known, folder),
        **_stages(good),
        **_cpu(good),
        **resources.columns(good, trials),
        **_beside(cell, known, others, folder),
        **efficiency.columns(share),
    }


def _reason(worst: TrialRecord, known: Known, others: Mapping[str, list[TrialRecord]], folder: Path) -> str:
    """Of a sibling with what it brought, see `sibling`."""
    plain = worst.as_cell.plain
    if plain is None or worst.outcome not in ANSWERED:
        return worst.reason
    beside = _figures((record for record in others.get(plain.id, []) if record.outcome in ANSWERED), folder)
    own, its = ([one.throughput_per_s for _, one in each] for each in (known, beside))
    return ": ".join(filter(None, [worst.reason, sibling.brought(own, its, plain.id)]))


def _offered(trials: list[TrialRecord], good: list[TrialRecord]) -> dict[str, Any]:
    """Open traffic: the rate of arrivals, the share of them that the client sent late, and the highest rate that keeps a
    latency, where that was looked for: 0 says that none does."""
    sends = sum(record.client.sending.sends for record in trials if record.client.sending)
    late = sum(record.client.sending.late for record in trials if record.client.sending)
    peaks = [record.client.sending.peak_per_s for record in trials if record.client.sending and record.outcome in ANSWERED]
    return {
        "offered_per_s": _median(record.client.sending.rate_per_s for record in good if record.client.sending),
        "late_share": late / sends if sends else None,
        "peak_per_s": _median(peaks),
    }


def _hangs(trials: list[TrialRecord]) -> dict[str, Any]:
    found = hang_rate(trials)
    if found is None:
        return {"hung_trials": 0, "judged_trials": 0}
    low, high = found.interval
    return {
        "hung_trials": found.hung, "judged_trials": found.judged, "hang_rate": found.rate, "hang_rate_low": low,
        "hang_rate_high": high,
    }  # fmt: skip


Known = list[tuple[TrialRecord, Figures]]


def _figures(records: Iterable[TrialRecord], folder: Path) -> Known:
    """The trials that have figures, with them."""
    return [(record, found) for record in records if (found := figures.of(record, folder)) is not None]


def _pace(known: Known, folder: Path) -> dict[str, Any]:
    if not known:
        return {}
    values: dict[str, Any] = {"throughput_per_s": _throughput(known), "predict_p50_s": _predict_s(known)}
    span = _span([one.throughput_span_per_s for _, one in known], [one.throughput_per_s for _, one in known])
    values["throughput_low_per_s"], values["throughput_high_per_s"] = span
    for name, fraction in figures.PERCENTILES.items():
        column = f"latency_{name}"
        each = [one.latency_s[name] for _, one in known if name in one.latency_s]
        if len(each) == len(known):
            span = _span([one.latency_span_s.get(name, intervals.NOTHING) for _, one in known], each)
            values |= {f"{column}_s": intervals.middle(each), f"{column}_low_s": span.low, f"{column}_high_s": span.high}
        elif len(known) > 1 and sum(one.requests for _, one in known) >= intervals.needed_requests(fraction):
            values[f"{column}_s"] = intervals.percentile(_latencies_s(known, folder), fraction)
    return {**values, "stable": _stable([one.stable for _, one in known])}


def _span(own: list[Span], each: list[float]) -> Span:
    """The interval of a single trial is its own; that of several comes from how they differ."""
    return own[0] if len(own) == 1 else intervals.over_trials(each)


def _stable(each: list[bool | None]) -> bool | None:
    """False if one trial was not; None if that is not known of all."""
    return False if False in each else None if None in each else True


def _latencies_s(known: Known, folder: Path) -> answers.Floats:
    """Of all trials together; nothing where the requests of one are gone: the rest would be another cell."""
    found = latencies.of(folder, [record.answers.requests_file for record, _ in known])
    return np.concatenate(found) if found else np.array([])


def _stages(good: list[TrialRecord]) -> dict[str, Any]:
    """The median of each stage of the waterfall; medians, unlike means, do not add up to the whole."""
    return {f"stage_{name}_p50_s": _median(record.pace.stages_p50_s.get(name) for record in good) for name in waterfall.STAGES}


def _cpu(good: list[TrialRecord]) -> dict[str, Any]:
    used = [record.cpu.use for record in good if record.cpu.use is not None and record.cpu.use.requests]
    if not used:
        return {}
    tree, ours = sum(cpu.worker_tree for cpu in used), sum(cpu.ours for cpu in used)
    seconds = sum(cpu.window_s * cpu.usable for cpu in used)
    return {
        "cpu_saturation": tree / seconds,
        "cpu_s_per_request": tree / sum(cpu.requests for cpu in used),
        "cpu_share_worker": tree / ours if ours else None,
        "cpu_share_children": sum(cpu.children for cpu in used) / ours if ours else None,
        "cpu_share_broker": sum(cpu.broker for cpu in used) / ours if ours else None,
        "cpu_share_client": sum(cpu.client for cpu in used) / ours if ours else None,
        "others_cpu_share": max(cpu.others_share for cpu in used),
        "throttled_share": max((cpu.throttled_share for cpu in used if cpu.throttled_share is not None), default=None),
    }


def _beside(cell: Cell, known: Known, others: Mapping[str, list[TrialRecord]], folder: Path) -> dict[str, Any]:
    """What the controls say of this cell.

    `overhead_fraction` is throughput over the null control's throughput: the share of a request's time that the same
    pool needs for a request that computes nothing. Near 1, the pool is what is measured, not the model.
    """
    if cell.is_control or cell.is_baseline:
        return {}
    null, baseline = (
        _figures((record for record in _standing_for(beside, others) if record.outcome in ANSWERED), folder)
        for beside in (cell.null_control(), cell.baseline())
    )
    own, null_pace = _throughput(known), _throughput(null)
    return {
        "null_throughput_per_s": null_pace,
        "baseline_predict_s": of_tasks.mean_s([record for record, _ in baseline]) or _predict_s(baseline),
        "overhead_fraction": own / null_pace if own and null_pace else None,
    }


def _standing_for(cell: Cell, others: Mapping[str, list[TrialRecord]]) -> list[TrialRecord]:
    """The records of a control, or of the one that was run in its place, see `run.sparing`."""
    own = others.get(cell.id, [])
    instead = next((record.ended.instead for record in own if record.ended.instead), "")
    return others.get(instead, []) if instead else own


def _efficiency(cell: Cell, known: Known, others: Mapping[str, list[TrialRecord]], folder: Path) -> Efficiency | None:
    """Beside the in-process cells for the cores that this cell had.

    Those of more processes than cores are missed only where the run has them: runs made before they were planned have none.
    """
    own, usable = _throughput(known), max((record.cpu.use.usable for record, _ in known if record.cpu.use), default=0)
    if not own or not usable or not efficiency.can_tell(cell):
        return None
    count = cores.fill(usable)
    beside = [one for one in cell.ceilings(count) if one.concurrency <= count or _was_run(one, others)]
    return efficiency.of(own, [_candidate(one, others, folder) for one in beside])


def _was_run(cell: Cell, others: Mapping[str, list[TrialRecord]]) -> bool:
    return any(record.outcome is not Outcome.SKIPPED for record in others.get(cell.id, []))


def _candidate(cell: Cell, others: Mapping[str, list[TrialRecord]], folder: Path) -> Ceiling | None:
    known = _figures((record for record in others.get(cell.id, []) if record.outcome in ANSWERED), folder)
    pace = _throughput(known)
    saturation = _cpu([record for record, _ in known]).get("cpu_saturation")
    return Ceiling(cell=cell.id, throughput_per_s=pace, saturation=saturation) if pace else None


def _throughput(known: Known) -> float | None:
    return intervals.middle([one.throughput_per_s for _, one in known])


def _predict_s(known: Known) -> float | None:
    """The median time inside predict: the geometric mean of the trials' medians."""
    return intervals.middle([one.predict_p50_s for _, one in known if one.predict_p50_s is not None])


def _median(values: Iterable[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return median(found) if found else None


def _counts(trials: list[TrialRecord]) -> str:
    counts: dict[str, int] = {}
    for record in trials:
        counts[record.outcome.value] = counts.get(record.outcome.value, 0) + 1
    return " ".join(f"{outcome}:{count}" for outcome, count in counts.items())
