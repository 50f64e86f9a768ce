"""How many executors help: the fastest pool again with one, and with twice as many each time, until more bring nothing. Pure.

What is measured is one worker with more executors: children, threads or greenlets. A trial more is made while the last
doubling was worth HELPS, while the traffic keeps so many of them busy, and while the machine has the memory for twice the last
peak. They are cells as any other, on record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.certainty.comparison import FEW_TRIALS
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.records.record import TrialRecord, by_cell
from harness.run.plan import Planned

HELPS = FEW_TRIALS  # times the pace of half as many: less is not told apart in few trials
MOST = 64


def cells(planned: Sequence[Planned], records: Sequence[TrialRecord], free_bytes: float) -> list[Cell]:
    """In the order in which they are measured, up to the first that is not on record; none before all of `planned`, the pools'
    own trials, are.

    `free_bytes`: memory that is left on this machine.
    """
    known = by_cell(records)
    plan = {item.cell.id: item.cell for item in planned if not item.skip}
    paces = {
        name: pace for name in plan if (pace := pace_of(known.get(name, ()))) and POOLS[plan[name].pool].executors != "main"
    }
    if not paces or not set(plan) <= set(known):
        return []
    best = plan[max(paces, key=lambda name: paces[name])]
    most = parse(best.traffic).in_flight or MOST
    found, counts = [], [1, *_doubled(best, known, min(most, MOST), free_bytes)]
    for count in counts:
        cell = replace(best, concurrency=count)
        if cell.id in plan:
            continue
        found.append(cell)
        if cell.id not in known:
            break
    return found


def _doubled(best: Cell, known: Mapping[str, Sequence[TrialRecord]], most: int, free_bytes: float) -> list[int]:
    """Twice as many executors as the best, and so on, as far as each has helped."""
    found, count = [], best.concurrency
    while 2 * count <= most and _helped(best, count, known):
        count *= 2
        more = replace(best, concurrency=count)
        if more.id not in known and 2 * _peak(known[replace(best, concurrency=count // 2).id]) > free_bytes:
            break
        found.append(count)
        if more.id not in known:
            break
    return found


def _helped(best: Cell, count: int, known: Mapping[str, Sequence[TrialRecord]]) -> bool:
    """Whether so many executors are worth more than half as many; where these were not measured, whether they serve."""
    now, half = (pace_of(known.get(replace(best, concurrency=each).id, ())) for each in (count, count // 2))
    return now is not None and (half is None or now >= HELPS * half)


def pace_of(trials: Sequence[TrialRecord]) -> float | None:
    """Requests per second of the slowest trial; None unless all have figures."""
    rates = [one.certainty.figures.throughput_per_s if one.certainty.figures else None for one in trials]
    known = [rate for rate in rates if rate is not None]
    return min(known) if known and len(known) == len(rates) else None


def _peak(trials: Sequence[TrialRecord]) -> float:
    return max((float(one.memory.peak_pss_bytes or 0) for one in trials), default=0.0)
