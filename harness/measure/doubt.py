"""What a doubt is, see `measure.doubts`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """`name` in two or three words, `what` was seen, and the `next_step` to take; none of them holds ': ' or '; '."""

    name: str
    what: str
    next_step: str

    def __str__(self) -> str:
        return f"{self.name}: {self.what}, {self.next_step}"
