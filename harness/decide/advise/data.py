"""Advice as JSON, for machines. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from harness.decide.advise import pages, settings
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.ranking import Advice


def as_json(advice: Sequence[Advice]) -> str:
    return json.dumps([_data(one) for one in advice], indent=2) + "\n"


def _data(one: Advice) -> dict[str, Any]:
    return {
        "workload": one.workload,
        "traffic": one.traffic,
        "bounds": [str(bound) for bound in one.bounds],
        "answer": pages.headline(one),
        "engines": [
            {"engine": each.engine, "ended": each.ended, "best": [_candidate(best) for best in each.best]}
            for each in one.engines
        ],
        "provisional": one.provisional,
        "overhead": one.overhead,
        "rate_limit": one.limited,
        "waiting": one.waited,
        "not_measured_within_the_budget": list(one.unbought),
        "siblings": list(one.siblings),
        "best": [_candidate(best) for best in one.best],
        "alike": [_candidate(each) for each in one.alike],
        "what_helps": list(pages.decider(one)[2]),
        "runner_up": _candidate(one.runner_up) if one.runner_up else None,
        "sensitivity": [{"change": each.change, "then": each.then} for each in one.sensitivity],
        "unused": [{"cell": each.id, "outcome": each.outcome, "reason": each.reason} for each in one.unused],
        "vetoed": [
            {"cell": each.id, "outcome": each.outcome, "reason": each.atlas or each.reason, "evidence": pages.where(each)}
            for each in one.vetoed
        ],
        "unfit": [{"cell": each.id, "broken": [str(bound) for bound in each.broken]} for each in one.unfit],
        "unknown": [{"cell": each.id, "bounds": [str(bound) for bound in each.unknown]} for each in one.unknown],
        "measure": list(one.measure),
        "notes": pages.noted(one),
        "code_changes": [{"what": words, "diff": diff} for words, diff in pages.code_changes(one)],
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    row = one.row
    names = (
        "throughput_per_s", "throughput_low_per_s", "throughput_high_per_s", "latency_p50_s", "latency_p95_s",
        "latency_p99_s", "cpu_saturation", "peak_pss_bytes", "hung_trials", "judged_trials", "doubts",
    )  # fmt: skip
    return {
        "cell": one.id, "run": one.run, "rows_per_s": one.rows_per_s, "trials": len(one.paces),
        "fresh_worker_low_rows_per_s": one.fresh_worker.low, "fresh_worker_high_rows_per_s": one.fresh_worker.high,
        **{name: row[name] for name in names}, "setup": asdict(settings.of(one.cell, one.application)),
    }  # fmt: skip
