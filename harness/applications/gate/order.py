"""What the user asked a gate for, and the commits that it compares. Plain values."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.applications.gate.rule import BASE, HEAD, Rule
from harness.applications.probe.order import ProbeOrder

NAMES = (BASE, HEAD)


@dataclass(frozen=True, kw_only=True)
class GateOrder:
    """`probe`: how the application is run, in the user's own folder; each side takes its own checkout instead. `pools`: those
    that were named; none for the pool of each side's own settings. `links`: see `checkouts`. `budget_s`: seconds, in all.
    `at_once`: whether the two trials of a pair run at the same time, see `gate`."""

    probe: ProbeOrder
    base: str
    head: str
    pools: tuple[str, ...]
    links: tuple[Path, ...]
    rule: Rule
    budget_s: float
    out: Path
    at_once: bool = False
