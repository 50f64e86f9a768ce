"""Many comparisons at once: Holm's correction, the one place where it is made. Pure.

Of 100 comparisons of like things, one has p < 0.01 by chance. Holm (1979) multiplies the smallest p by the number of
comparisons, the next by one less, and so on: that one or more of them is claimed wrongly is then no more likely than the
level, however they depend on each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LEVEL = 0.01  # of one wrong claim or more in a whole comparison of two runs


def holm(ps: Sequence[float]) -> list[float]:
    """The p of each comparison as it counts among all of them, in the same order.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(ps, kind="stable")
    stepped = np.maximum.accumulate(np.arange(len(ps), 0, -1) * np.asarray(ps, dtype=float)[order])
    adjusted = np.empty(len(ps))
    adjusted[order] = np.minimum(stepped, 1.0)
    return [round(float(p), 15) for p in adjusted]
