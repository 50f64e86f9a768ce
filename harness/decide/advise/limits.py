"""The limits of a test, held against each fresh worker of its cell, by the rule of `recommend`. Pure.

A limit is *broken* if one worker breaks it. It is *open* if no worker does, and if it cannot be said that one more fresh worker
will keep it: too few workers or requests, or too unlike ones. Else it is kept. A limit is never kept by a mean.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.decide.advise import constraints, fresh
from harness.decide.advise.constraints import HANG_RATE, Bound
from harness.records.outcomes import Outcome

#: limit -> (column of cells.csv, name of the bound, whether it is the least that is allowed)
LIMITS: Mapping[str, tuple[str, str, bool]] = {
    "min_throughput_per_s": ("throughput_per_s", "throughput", True),
    "max_p50_s": ("latency_p50_s", "p50", False),
    "max_p95_s": ("latency_p95_s", "p95", False),
    "max_p99_s": ("latency_p99_s", "p99", False),
    "max_cpu_s_per_request": ("cpu_s_per_request", fresh.CPU_PER_REQUEST, False),
    "max_peak_bytes": ("peak_pss_bytes", "memory", False),
    "max_hang_rate": ("hang_rate", HANG_RATE, False),
}
OPTION = re.compile(r"--(\w+) (\d+)")  # of the command line; a marker has words


def broken(row: Mapping[str, Any], limit: str, value: float) -> str:
    """Why the limit is not kept; '' if no worker breaks it. `row`: of the table, with `fresh` (see `fresh.of`)."""
    column, name, least = LIMITS[limit]
    figure = row[column]
    if figure is None and row["outcome"] == Outcome.OK:
        return ""  # too few requests for it: nobody knows, see `left_open`
    if figure is None:
        return f"{limit}={value:g}: there is no {column} (ended {row['outcome']}; doubts: {row['doubts'] or 'none'})"
    known = row["fresh"].get(name)
    seen = [figure, known.worst] if known is not None and known.worst is not None else [figure]
    worst = min(seen) if least else max(seen)
    if worst >= value if least else worst <= value:
        return ""
    where = f" in the worst of {known.workers} fresh workers" if known is not None and known.workers > 1 else ""
    return f"{limit}={value:g}: {column} is {worst:.6g}{where}"


def left_open(row: Mapping[str, Any], limit: str, value: float) -> str:
    """What would tell whether one more fresh worker keeps a limit that is not broken; '' if it does."""
    bound = _bound(limit, value)
    end = bound.end(row)
    if end is not None and bound.keeps(end):
        return ""
    if bound.name == HANG_RATE and value <= 0:
        return f"{limit}={value:g}: no number of workers shows that a rate is 0, name one above it"
    lacks = OPTION.sub(r"\1=\2", bound.lacks(row))
    return f"{limit}={value:g}: {lacks or 'measure it again'}"


def _bound(limit: str, value: float) -> Bound:
    column, name, least = LIMITS[limit]
    if name == HANG_RATE:
        return constraints.hang_rate_bound(value)
    if column.startswith("latency_"):
        return constraints.latency_bound(name, value)
    return constraints.of_workers(name, value, lambda figure: f"{figure:.6g}", least=least)
