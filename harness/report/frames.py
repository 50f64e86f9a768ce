"""What charts draw, as frames. Distributions and time lines are thinned to what a chart can show."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from harness.decide.advise.ranking import Advice
from harness.experiment.pools import IN_PROCESS
from harness.measure import waterfall
from harness.records import answers
from harness.records.outcomes import ANSWERED
from harness.report.content import Content

QUANTILES = np.array([0.0, *np.linspace(0.05, 0.95, 19), 0.975, 0.99, 0.995, 0.999, 1.0])
MOST_SAMPLES = 60  # of a time line
ROLES = ("worker", "children", "broker", "client")


def figures(content: Content) -> pd.DataFrame:
    """A row a real cell that ended ok: what the chart of throughput against latency shows."""
    table = content.table
    real = ~table["backend"].isin(["null", "faulty"]) & (table["pool"] != IN_PROCESS)
    found = table[real & (table["outcome"].isin(ANSWERED)) & table["throughput_per_s"].notna()].copy()
    found["latency_ms"] = found["latency_p95_s"].fillna(found["latency_p50_s"]) * 1e3
    found["percentile"] = np.where(found["latency_p95_s"].notna(), "p95", "p50")
    found["rows_per_s"] = found["throughput_per_s"] * found["batch"]
    found = found.dropna(subset=["latency_ms"])
    found["front"], found["question"] = False, found["workload"] + ", " + found["traffic"] + ", " + found["percentile"]
    for _, group in found.groupby("question"):  # only what can be had instead of each other lies on one front
        on = on_front(group["rows_per_s"].to_numpy(float), group["latency_ms"].to_numpy(float))
        found.loc[group.index, "front"] = on
    return found


CANDIDATES = ("advised", "as good", "slower", "outside the bounds")
MOST_CANDIDATES = 12


def candidates(advice: Advice) -> pd.DataFrame:
    """(cell, end, rows_per_s, low, high), the fastest first: what was measured for one question, with its 95 % interval where
    there is one; `end` is one of CANDIDATES."""
    shown = [advice.shown] if advice.shown else []
    groups = (shown, [*advice.best, *advice.alike], [*filter(None, [advice.runner_up]), *advice.slower], advice.unfit)
    found: dict[str, dict[str, Any]] = {}
    for end, group in zip(CANDIDATES, groups, strict=True):
        for one in group:
            low, high = (one.row[f"throughput_{side}_per_s"] for side in ("low", "high"))
            known = low is not None and high is not None
            span = _short([low * one.cell.batch, high * one.cell.batch]) if known else [None, None]
            rate = _short([one.rows_per_s])[0]
            found.setdefault(one.id, {"cell": one.id, "end": end, "rows_per_s": rate, "low": span[0], "high": span[1]})
    columns = ["cell", "end", "rows_per_s", "low", "high"]
    ranked = sorted(found.values(), key=lambda row: -row["rows_per_s"])
    return pd.DataFrame(ranked[:MOST_CANDIDATES], columns=columns)


def on_front(rates: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """Whether no other point is as fast at a lower latency: the Pareto front."""
    order = np.lexsort((-rates, latencies))
    best, found = -np.inf, np.zeros(len(rates), dtype=bool)
    for place in order:
        if rates[place] > best:
            best, found[place] = rates[place], True
    return found


def distributions(content: Content) -> pd.DataFrame:
    """(cell, share, latency_ms): each cell's latencies at some quantiles, all trials that ended ok together."""
    parts = []
    for one in content.cells:
        paths = [content.folder / record.answers.requests_file for record in one.trials if record.outcome in ANSWERED]
        known = [answers.measured(path).latency_s for path in paths if path.is_file()]
        latencies = np.concatenate(known) if known else np.array([])
        if len(latencies):
            values = np.quantile(latencies, QUANTILES) * 1e3
            parts.append(pd.DataFrame({"cell": one.id, "share": QUANTILES, "latency_ms": _short(values)}))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["cell", "share", "latency_ms"])


def timelines(content: Content) -> pd.DataFrame:
    """(cell, at_s, role, cores): what each role used between samples, of the first trial that has them."""
    parts = []
    for one in content.cells:
        files = [content.folder / record.cpu.samples_file for record in one.trials if record.cpu.samples_file]
        path = next((path for path in files if path.is_file()), None)
        if path is not None and (part := _timeline(path)) is not None:
            parts.append(part.assign(cell=one.id))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["cell", "at_s", "role", "cores"])


def _timeline(path: Path) -> pd.DataFrame | None:
    read_ = pq.read_table(path, columns=["at_ns", *(f"cpu_{role}_s" for role in ROLES)]).to_pandas()
    step = max(1, len(read_) // MOST_SAMPLES)
    thinned = read_.iloc[::step]
    if len(thinned) < 2:
        return None
    seconds = thinned["at_ns"].to_numpy() * 1e-9
    rates = {role: np.diff(thinned[f"cpu_{role}_s"].to_numpy()) / np.diff(seconds) for role in ROLES}
    frame = pd.DataFrame({"at_s": _short(seconds[1:] - seconds[0]), **{role: _short(rate) for role, rate in rates.items()}})
    return frame.melt(id_vars="at_s", var_name="role", value_name="cores")


def stages(content: Content) -> pd.DataFrame:
    """(cell, stage, order, ms): the median of each stage of a request, of cells that have stamps."""
    rows = [
        {"cell": one.id, "stage": stage, "order": place, "ms": round(value * 1e3, 4)}
        for one in (*content.real, *content.controls)
        for place, stage in enumerate(waterfall.STAGES)
        if (value := one.row[f"stage_{stage}_p50_s"]) is not None
    ]
    return pd.DataFrame(rows, columns=["cell", "stage", "order", "ms"])


def memory(content: Content) -> pd.DataFrame:
    """(cell, part, mib): the peak by role, and what sharing saves."""
    parts = (("worker", "pss_worker_bytes"), ("children", "pss_children_bytes"), ("saved by sharing", "shared_saved_bytes"))
    rows = [
        {"cell": one.id, "part": part, "mib": round(value / 2**20, 1)}
        for one in content.real
        for part, column in parts
        if (value := one.row[column]) is not None
    ]
    return pd.DataFrame(rows, columns=["cell", "part", "mib"])


def _short(values: Iterable[float]) -> list[float]:
    """Four digits are more than a chart shows."""
    return [float(f"{value:.4g}") for value in values]
