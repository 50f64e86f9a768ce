"""The calibration cell: the same no-op worker on every host, measured first and last around a block.

What it computes never changes, so its pace is the machine's: the last over the first is the drift while the block was measured,
and one host's over another's says how unlike they are. An experiment without controls has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.measure import figures
from harness.records.store import RunFolder

FILE = (
    "calibration.json"  # in a block's folder: {"first": {"at", "throughput_per_s"}, "last": …}; empty where it did not end well
)
NAME = "calibration.toml"
EXPERIMENT = """\
name = "calibration"
summary = "the pace of a machine: a worker that computes nothing, one request at a time"
[settings]
measure_s = 3.0
requests = 100
controls = false
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["solo"]
workload = ["tiny-dense"]
"""


def measured(run: Path) -> dict[str, Any]:
    """When the cell of this run was measured, and its pace; {} if it has none."""
    for record in RunFolder(run).latest().values():
        if found := figures.of(record, run):
            return {"at": record.asked.started, "throughput_per_s": found.throughput_per_s}
    return {}


def pace(told: Mapping[str, Any], at: str) -> float | None:
    """The pace of the machine at a moment (ISO 8601), on a line between first and last; None if it is not known.

    The line is one of logarithms. Before the first and after the last it is not drawn on.
    """
    first, last = told.get("first") or {}, told.get("last") or {}
    if not first or not last:
        return None
    begin, end, moment = (datetime.fromisoformat(one).timestamp() for one in (first["at"], last["at"], at))
    share = min(1.0, max(0.0, (moment - begin) / (end - begin))) if end > begin else 0.0
    here, there = float(first["throughput_per_s"]), float(last["throughput_per_s"])
    return float(here * (there / here) ** share)


def drift(told: Mapping[str, Any]) -> float | None:
    """The last pace over the first; None if it is not known."""
    first, last = told.get("first") or {}, told.get("last") or {}
    return float(last["throughput_per_s"]) / float(first["throughput_per_s"]) if first and last else None
