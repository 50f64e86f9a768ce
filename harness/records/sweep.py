"""How many spans are open at a time: what waits, runs or is overdue between two moments, counted from edge to edge. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def sweep(kinds: Sequence[tuple[Column, Column]], *, begin_s: float, end_s: float) -> tuple[Floats, list[Floats]]:
    """(seconds of each interval between two neighbouring edges; per kind how many of its spans are open in each).

    A kind is (begins, ends) of its spans, seconds, (n,) each; what lies outside the two moments is cut off. Edges of equal
    time stand in the order of the kinds, begins before ends, with intervals of no length between them.

    >>> a, b, c = np.array([1.0]), np.array([3.0]), np.array([9.0])
    >>> lengths, (waits, runs) = sweep([(a, b), (b, c)], begin_s=0, end_s=4)
    >>> lengths.tolist(), waits.tolist(), runs.tolist()
    ([2.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0])
    """
    edges = [edge for begins, ends in kinds for edge in (begins, ends)]
    times = np.concatenate(edges).clip(begin_s, end_s)
    order = np.argsort(times, kind="stable")
    which = np.repeat(np.arange(len(edges)), [len(edge) for edge in edges])[order]
    counts = [np.cumsum((which == 2 * kind) * 1.0 - (which == 2 * kind + 1)) for kind in range(len(kinds))]
    return np.diff(times[order], append=end_s), counts
