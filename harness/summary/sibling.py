"""What one thread for each native library brought to a cell of somebody's own application. Pure.

`own`, `plain`: requests (or rows) per second, one a trial, of the sibling and of the cell beside which it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.certainty.comparison import FEW_TRIALS, LEAST, told_apart
from harness.certainty.intervals import middle


def helps(own: Sequence[float], plain: Sequence[float]) -> bool:
    """Whether it brought something, or may have: trials that differ too much to tell are no proof that it did not."""
    mine, others = middle(own) or 0.0, middle(plain) or 0.0
    return mine > FEW_TRIALS * others or (mine > others and told_apart(own, plain))


def brought(own: Sequence[float], plain: Sequence[float], name: str) -> str:
    """'3.10 x the throughput of NAME', the plain cell; '' if one of the two has no figure.

    >>> brought([31.0, 30.0, 32.0], [10.0, 9.9, 10.1], "it"), brought([10.1], [10.0], "it")
    ('3.10 x the throughput of it', '1.01 x the throughput of it, so it brought nothing')
    >>> brought([31.0], [10.0], "it")
    '3.10 x the throughput of it, but fewer than 3 trials each do not tell it from chance'
    """
    mine, others = middle(own), middle(plain)
    if not mine or not others:
        return ""
    if not helps(own, plain):
        doubt = ", so it brought nothing"
    elif min(len(own), len(plain)) < LEAST:
        doubt = f", but fewer than {LEAST} trials each do not tell it from chance"
    else:
        doubt = "" if told_apart(own, plain) else ", but the trials differ too much to be sure"
    return f"{mine / others:.2f} x the throughput of {name}{doubt}"
