"""The columns of `cells.csv` that say what the CPU did and what the memory is made of. Pure: from a cell's records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from harness.records.cpu import CpuFacts
from harness.records.record import TrialRecord
from harness.records.sections import MemoryUse


def columns(good: Sequence[TrialRecord], trials: Sequence[TrialRecord]) -> dict[str, Any]:
    """`good`: the trials whose figures the row shows; `trials`: all of the cell, for the peak of memory."""
    known = [record.memory.use for record in trials if record.memory.use is not None]
    return {"cpu_verdict": verdicts(good), **_cpu([r.cpu.facts for r in good if r.cpu.facts]), **_memory(known, good)}


def verdicts(records: Iterable[TrialRecord]) -> str:
    """The verdict of all; where they differ, each with its count, the most frequent first: 'saturated 4, GIL-bound 1'.

    What is over-subscribed is so by each trial's own factor; the row gives the median.
    """
    words: dict[str, list[float]] = {}
    for record in records:
        if record.cpu.verdict:
            name, _, times = record.cpu.verdict.removesuffix(" x").rpartition(" ")
            known = bool(name) and record.cpu.verdict.endswith(" x")
            words.setdefault(name if known else record.cpu.verdict, []).append(float(times) if known else np.nan)
    told = {name: name if np.isnan(values[0]) else f"{name} {np.median(values):.1f} x" for name, values in words.items()}
    if len(told) < 2:
        return "".join(told.values())
    return ", ".join(f"{told[name]} ({len(words[name])})" for name in sorted(words, key=lambda name: -len(words[name])))


def _cpu(facts: Sequence[CpuFacts]) -> dict[str, Any]:
    if not facts:
        return {}
    seconds = sum(one.span_s for one in facts)
    return {
        "run_queue_wait_s_per_s": sum(one.run_queue_wait_s for one in facts) / seconds,
        "involuntary_switches_per_s": sum(one.involuntary_switches for one in facts) / seconds,
    }


def _memory(known: Sequence[MemoryUse], good: Iterable[TrialRecord]) -> dict[str, Any]:
    """The trial with the largest peak; the growth is the median of those that could tell."""
    if not known:
        return {}
    peak = max(known, key=lambda one: sum(one.pss_bytes.values()))
    grown = [
        record.memory.use.growth for record in good if record.memory.use is not None and record.memory.use.growth is not None
    ]
    each = [one.bytes_per_request for one in grown if one.bytes_per_request is not None]
    return {
        "pss_worker_bytes": peak.pss_bytes["worker"],
        "pss_children_bytes": peak.pss_bytes["children"],
        "private_bytes": sum(peak.private_bytes.values()),
        "shared_saved_bytes": peak.saved_bytes,
        "growth_bytes_per_s": float(np.median([one.bytes_per_s for one in grown])) if grown else None,
        "growth_bytes_per_request": float(np.median(each)) if each else None,
    }
