"""How much of what the machine can do a cell brings out: its throughput over the in-process ceiling. Pure functions.

The ceiling is measured, in the same run: the same model, call and batch without Celery, broker and client, with the best of
the thread settings tried. These are one process with the engine's own threads (and one with the cell's, where the cell
sets them), and as many processes as there are cores, and twice as many, with one engine thread each, see
`harness.worker.ceiling`. Twice as many, because between two predicts a process may leave its core idle: on two cores, four did
12.6 requests a second of a large model's `predict` on TF 2, two did 10.0. A request holds the same rows on both sides, so a
ratio of requests is a ratio of rows.

It is only said of traffic that can keep all executors busy: an open loop is answered at the rate at which it was sent, and
fewer requests in flight than executors leave some without work, whatever the pool does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.experiment.matrix import Cell
from harness.experiment.traffic import parse
from harness.measure.doubt import Doubt

SATURATED = 0.90  # of the cores: a ceiling that used fewer leaves time that a pool may overlap


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """One in-process cell's throughput, requests per second, and the share of the machine's cores that it used (0..1)."""

    cell: str
    throughput_per_s: float
    saturation: float | None = None


@dataclass(frozen=True, kw_only=True)
class Efficiency:
    """`share` of the ceiling, 0..1 and sometimes above: then a doubt says so."""

    share: float
    ceiling: Ceiling
    doubt: Doubt | None = None


def can_tell(cell: Cell) -> bool:
    """Whether the traffic keeps all executors of the cell busy.

    >>> [can_tell(Cell(backend="theano", pool="prefork", concurrency=4, traffic=t)) for t in ("single", "closed-4", "drain")]
    [False, True, True]
    """
    traffic = parse(cell.traffic)
    return not (cell.is_control or cell.is_baseline) and (traffic.backlog or traffic.in_flight >= cell.concurrency)


def of(throughput_per_s: float, candidates: Sequence[Ceiling | None]) -> Efficiency | None:
    """Of a throughput in requests per second. None where one of the candidates has no good trial: the best might be that."""
    known = [one for one in candidates if one is not None]
    if not known or len(known) < len(candidates):
        return None
    best = max(known, key=lambda one: one.throughput_per_s)
    share = throughput_per_s / best.throughput_per_s
    return Efficiency(share=share, ceiling=best, doubt=_above(share, best) if share > 1.0 else None)


def columns(found: Efficiency | None) -> dict[str, Any]:
    """As columns of `cells.csv`."""
    if found is None:
        return {}
    return {"ceiling_per_s": found.ceiling.throughput_per_s, "ceiling_cell": found.ceiling.cell, "efficiency": found.share}


def _above(share: float, best: Ceiling) -> Doubt:
    idle = best.saturation is not None and best.saturation < SATURATED
    used = f", which used only {best.saturation:.0%} of the cores" if idle else ""
    return Doubt(
        name="above ceiling",
        what=f"the throughput is {share:.1%} of the in-process ceiling{used}",
        next_step="tell noise from a ceiling that is too low by --repeat 5",
    )
