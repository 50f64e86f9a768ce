"""What a run with `Settings.stop_early` need not run, or need not measure to the end, for what is on record. Pure.

A *ceiling* of more processes than cores is left out if as many as there are cores left no core idle, or if every pool is so far
below theirs that a higher one tells nothing new. A *null control* is left
out if one with the same Python and Celery's packages is on record: nothing of the engine runs in it. A cell that is clearly
slower than its *rival* is measured only until that is known (`client.early`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from harness.environments import Environment
from harness.experiment import matrix
from harness.experiment.matrix import Cell
from harness.records.outcomes import ANSWERED
from harness.records.record import TrialRecord
from harness.trial.assignment import Rival

FULL = 0.97  # of the usable cores: more processes find at most 3 % that these left
FAR = 0.5  # of a ceiling: the pool, or the way through the broker, decides; twice the processes did 1.3 x as much at most
#: what runs in a null control, beside the table of answers
STACK = ("celery", "kombu", "billiard", "vine", "amqp", "redis", "gevent", "eventlet", "greenlet")


def ceiling(cell: Cell, records: Sequence[TrialRecord]) -> str:
    """Why a ceiling need not be run, for what one of half as many processes did; '' if it has to."""
    if not cell.is_baseline or cell.concurrency < 2:
        return ""
    usable = max((record.cpu.use.usable for record in records if record.cpu.use is not None), default=math.inf)
    for half in _answered(records, replace(cell, concurrency=cell.concurrency // 2).id):
        if half.as_cell.concurrency >= usable and (why := _full(half) or _far(half, records)):
            return f"not run: {why} ({half.cell_id})"
    return ""


def _full(half: TrialRecord) -> str:
    use = half.cpu.use
    if use is None or use.saturation < FULL:
        return ""
    count = half.as_cell.concurrency
    return f"{count} processes used {use.saturation:.0%} of the cores, so that {2 * count} cannot do more"


def _far(half: TrialRecord, records: Sequence[TrialRecord]) -> str:
    """Asked when the pools are on record: so the plan has these ceilings last."""
    figures, cell = half.certainty.figures, half.as_cell
    if figures is None or not figures.throughput_per_s:
        return ""
    pools = [record for record in records if not record.as_cell.is_baseline and not record.as_cell.is_control]
    known = [(record.cell_id, record.certainty.figures) for record in pools if matrix.work(record.as_cell) == matrix.work(cell)]
    paces = {name: one.throughput_per_s for name, one in known if one is not None and one.throughput_per_s}
    if not paces:
        return "no pool has figures that would be held against it" if known else ""
    best = max(paces, key=lambda name: paces[name])
    share = paces[best] / figures.throughput_per_s
    if share >= FAR:
        return ""
    return f"{best}, the best of the pools, reaches {share:.0%} of {cell.concurrency} processes without Celery"


def twin(cell: Cell, records: Sequence[TrialRecord], environments: Mapping[str, Environment]) -> str:
    """The null control on record that this one would repeat; '' if there is none."""
    own = environments.get(cell.venv)
    if not cell.is_control or own is None:
        return ""
    for name, other in environments.items():
        there = replace(cell, environment=name).id
        if name != cell.venv and _alike(own, other) and any(_answered(records, there)):
            return there
    return ""


def why_twin(cell: Cell, there: str, environments: Mapping[str, Environment]) -> str:
    """In words, with what differs."""
    own = environments[cell.venv]
    return f"not run: {there} stands for it, with the same Python {own.interpreter_version} and packages of Celery's"


def _alike(one: Environment, other: Environment) -> bool:
    same = all(one.installed.get(name) == other.installed.get(name) for name in STACK)
    return same and one.interpreter_version == other.interpreter_version


def rival(cell: Cell, records: Sequence[TrialRecord]) -> Rival | None:
    """The best other cell of the same work and traffic that was measured to the end; None if nothing is known of one."""
    if cell.is_baseline or cell.is_control:
        return None
    found = [
        Rival(cell=record.cell_id, least_per_s=figures.throughput_span_per_s.low)
        for record in records
        if record.outcome in ANSWERED
        and (figures := record.certainty.figures) is not None
        and figures.throughput_span_per_s.low is not None
        and _same_work(record.as_cell, cell)
    ]
    return max(found, key=lambda one: one.least_per_s, default=None)


def _same_work(one: Cell, other: Cell) -> bool:
    if one.is_baseline or one.is_control or one == other or one.traffic != other.traffic:
        return False
    return matrix.work(one) == matrix.work(other)


def _answered(records: Iterable[TrialRecord], cell_id: str) -> list[TrialRecord]:
    return [record for record in records if record.cell_id == cell_id and record.outcome in ANSWERED]
