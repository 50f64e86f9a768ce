"""What one thread for each native library brought to a cell of somebody's own application. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from harness.certainty.comparison import FEW_TRIALS, told_apart
from harness.certainty.intervals import middle

REPEAT = 5  # trials, which tell what three do not


def faster(own: Sequence[float], plain: Sequence[float]) -> bool:
    """Whether the sibling really is; `own`, `plain`: requests (or rows) per second, one a trial, of both."""
    return (middle(own) or 0.0) > (middle(plain) or 0.0) and told_apart(own, plain)


def brought(own: Sequence[float], plain: Sequence[float], name: str) -> str:
    """'3.10 x the throughput of NAME', the plain cell; '' if one of the two has no figure.

    >>> brought([31.0], [10.0], "it"), brought([10.1], [10.0], "it")
    ('3.10 x the throughput of it', '1.01 x the throughput of it, so it brought nothing')
    """
    mine, others = middle(own), middle(plain)
    if not mine or not others:
        return ""
    ratio = mine / others
    return f"{ratio:.2f} x the throughput of {name}{'' if faster(own, plain) else _doubted(ratio)}"


def _doubted(ratio: float) -> str:
    unsure = ratio > FEW_TRIALS
    return f", but its trials differ too much to say so; --repeat {REPEAT}" if unsure else ", so it brought nothing"
