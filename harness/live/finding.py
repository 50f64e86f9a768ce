"""What can be wrong with a worker besides its tasks: one cause, its support, and what helps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.live.executor import WORST, State


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A cause in the pool's machinery, at the broker or in the consumer."""

    cause: str
    state: State  # of the worker, if nothing worse is known
    reason: str  # one sentence
    support: tuple[str, ...] = ()
    since_s: float | None = None  # seconds ago, if that is known
    now: str = ""  # what helps at once; '' for nothing
    for_good: str = ""  # what keeps it from coming back


def ordered(findings: Iterable[Finding | None]) -> tuple[Finding, ...]:
    """The worst first; of equals the one that was asked for first."""
    return tuple(sorted((one for one in findings if one is not None), key=lambda one: WORST.index(one.state)))
