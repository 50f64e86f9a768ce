"""What a test of the instrument found: one figure, the bound that it had to keep, and whether it did."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One figure held against its bound.

    `figure` is None where it could not be had; then `passed` is False and `note` says why. `bound` is text, because bounds
    differ in kind ('0.95 +- 0.01', '<= 0.5 ms over the null latency').
    """

    name: str
    figure: float | None
    bound: str
    passed: bool
    note: str = ""


def at_most(name: str, figure: float, bound: float, unit: str = "", note: str = "") -> Finding:
    """A figure that may be as large as `bound`."""
    return Finding(name=name, figure=figure, bound=f"<= {bound:g} {unit}".rstrip(), passed=figure <= bound, note=note)


def at_least(name: str, figure: float, bound: float, unit: str = "", note: str = "") -> Finding:
    """A figure that must be as large as `bound`."""
    return Finding(name=name, figure=figure, bound=f">= {bound:g} {unit}".rstrip(), passed=figure >= bound, note=note)
