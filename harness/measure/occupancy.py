"""How busy the executors were, and whether work waited: from the requests' stamps. Pure.

*Work waits* while more requests are in flight than there are executors, or while one has waited for longer than any
hand-over takes (HANDOVER_S). In flight is a request from its publishing until its executor had done with it: what the way
back takes keeps none busy, but storing the answer does, and what the application does after that. A wait of a few
milliseconds beside a free executor is the hand-over itself, which every request has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.records import stamps
from harness.records.answers import NS, Floats
from harness.records.cpu import Occupancy
from harness.records.sweep import sweep

HANDOVER_S = 0.05  # a healthy pool hands over within 1 to 5 ms, see the waterfall of a null control


def of(columns: Mapping[str, npt.NDArray[Any]], *, capacity: int, begin_s: float, end_s: float) -> Occupancy | None:
    """Between two moments of CLOCK_MONOTONIC; `columns`: published, begin, predict_end, received, in ns, -1 where the moment
    never came. None where there was no request."""
    published = columns["published"] * NS
    ended = _or_later(stamps.freed(columns), _or_later(columns["received"], np.full(len(published), end_s)))
    begun = _or_later(columns["begin"], ended)
    inside = (published < end_s) & (ended > begin_s)
    if end_s <= begin_s or not inside.any():
        return None
    published, begun, ended = published[inside], begun[inside], ended[inside]
    late = np.minimum(published + HANDOVER_S, begun)
    spans_s, (in_flight, running, overdue) = sweep(
        [(published, ended), (begun, ended), (late, begun)], begin_s=begin_s, end_s=end_s
    )
    lengths = spans_s / (end_s - begin_s)
    waits = (in_flight > capacity + 0.5) | (overdue > 0.5)
    return Occupancy(
        executors=capacity,
        executors_busy=float((lengths * np.minimum(running, capacity)).sum()) / capacity,
        work_waits=float(lengths[waits].sum()),
        idle_with_work=float((lengths * waits * np.maximum(capacity - running, 0.0)).sum()) / capacity,
    )


def _or_later(column: npt.NDArray[Any], later: Floats) -> Floats:
    return np.where(column >= 0, column * NS, later)
