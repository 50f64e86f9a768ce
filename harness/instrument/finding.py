"""What a truth test found: one figure, the bound that it had to keep, and whether it did."""

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
