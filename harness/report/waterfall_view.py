"""`harness waterfall`: the stages of each cell's requests as a person reads them, with medians, tails, shares and a bar.

Shares are of the mean, because means add up to the whole and medians do not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.text import Text

from harness.certainty import intervals
from harness.errors import NothingMatches
from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.measure import waterfall
from harness.records import answers
from harness.records.answers import Floats
from harness.records.outcomes import ANSWERED, Outcome
from harness.records.record import TrialRecord, by_cell
from harness.summary import summary

BAR_WIDTH = 32
OLD = "no stamps of the worker: the run was made before they were kept; run it again to see where its time went"
NONE_RIGHT = "no measured request was answered rightly"
NOT_KEPT = "requests not kept: the stages of each request are drawn from them; 'harness show' has what was computed before"
NO_WORKER = "no worker: it ran in one process, without a broker"
MEANING = {
    "publish": "client: intended until sent",
    "broker": "until the worker has it",
    "prefetch": "in the worker, all executors busy",
    "dispatch": "in the worker, an executor free",
    "prepare": "in the task, before predict",
    "predict": "the model",
    "write": "result to the backend",
    "read": "until the client has it",
}


@dataclass(frozen=True, kw_only=True)
class View:
    """One cell. `lengths`: (n, stages) seconds; `latencies`: (m,) seconds, of all measured requests; m >= n."""

    cell: str
    outcome: Outcome
    lengths: Floats
    latencies: Floats
    why_not: str = ""


def views(records: Sequence[TrialRecord], folder: Path, patterns: Sequence[str]) -> list[View]:
    """One view a cell, in the order of the records. Raises NothingMatches."""
    groups = by_cell(record for record in records if _chosen(record.as_cell, patterns))
    if not groups:
        raise NothingMatches(
            f"no cell of {folder} matches {' or '.join(map(repr, patterns)) or 'at all'}",
            remedy=f"'harness show {folder}' prints its cells{_selects(records, patterns)}",
        )
    return [view(trials, folder) for trials in groups.values()]


def _selects(records: Sequence[TrialRecord], patterns: Sequence[str]) -> str:
    cells = [record.as_cell for record in records if _chosen(record.as_cell, ())]
    return f", and '{matrix.pattern_like(cells, patterns)}' selects some" if cells else ""


def _chosen(cell: Cell, patterns: Sequence[str]) -> bool:
    """Every cell with a worker, or those that match."""
    return any(matrix.matches(cell, pattern) for pattern in patterns) if patterns else not cell.is_baseline


def view(trials: Sequence[TrialRecord], folder: Path) -> View:
    """The view of one cell, from those of its trials that ended well, or from all that measured something."""
    measured = [record for record in trials if record.pace.measured_requests and record.answers.requests_file]
    good = [record for record in measured if record.outcome in ANSWERED] or measured
    kept = all((folder / record.answers.requests_file).is_file() for record in good)
    lengths = waterfall.of_trials(good, folder) if kept else None
    latencies = [answers.measured(folder / record.answers.requests_file).latency_s for record in good] if kept else []
    cell, why = trials[0].as_cell, ""
    worst = summary.gravest(trials)
    if cell.is_baseline:
        why = NO_WORKER
    elif not good:
        why = worst.reason
    elif not kept:
        why = NOT_KEPT
    elif lengths is None:
        why = OLD
    return View(
        cell=cell.id,
        outcome=worst.outcome,
        lengths=np.empty((0, len(waterfall.STAGES))) if lengths is None else lengths,
        latencies=np.concatenate(latencies) if latencies else np.empty(0),
        why_not=why,
    )


def shown(view: View) -> Text:
    """A heading, and a line a stage."""
    text = Text(view.cell, style="bold")
    if view.outcome not in ANSWERED:
        text.append(f"  {view.outcome.value}", style="bold red")
    if view.why_not or not len(view.lengths):
        return text.append(f"\n  {view.why_not or NONE_RIGHT}\n", style="dim")
    rest = len(view.latencies) - len(view.lengths)
    missing = f", {rest} more without a full set of stamps" if rest else ""
    text.append(f"\n  {len(view.lengths)} requests{missing}; latency p50 {_ms(view.latencies, 0.5)} ms\n", style="dim")
    text.append(f"  {'stage':<9}{'p50 ms':>9}{'p95 ms':>9}{'share':>7}\n")
    for line in _lines(view.lengths):
        text.append(line)
    return text


def _lines(lengths: Floats) -> list[Text]:
    means = np.nan_to_num(lengths).mean(axis=0)
    whole, before, lines = float(means.sum()), 0.0, []
    for name, mean, values in zip(waterfall.STAGES, means.tolist(), lengths.T, strict=True):
        known = values[~np.isnan(values)]
        share = f"{mean / whole:.1%}" if len(known) else "-"
        line = Text(f"  {name:<9}{_ms(known, 0.5):>9}{_ms(known, 0.95):>9}{share:>7}  ", style="none")
        line.append(bar(before / whole, (before + mean) / whole), style="cyan")
        lines.append(line.append(f"  {MEANING[name]}\n", style="dim"))
        before += mean
    return lines


def bar(begin: float, end: float) -> str:
    """A span of the whole (0..1) as text of BAR_WIDTH characters; a span of some length shows at least a thin line.

    >>> bar(0.5, 0.75).strip()
    '████████'
    """
    first, last = round(begin * BAR_WIDTH), round(end * BAR_WIDTH)
    block = "█" * (last - first) or ("▏" if end > begin else "")
    return f"{' ' * min(first, BAR_WIDTH - len(block))}{block}".ljust(BAR_WIDTH)


def _ms(values: Floats, fraction: float) -> str:
    """A percentile in milliseconds, '-' where too few requests support it."""
    found = intervals.percentile(values, fraction)
    return "-" if found is None else f"{found * 1e3:.2f}"
