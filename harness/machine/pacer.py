"""A dear reading is taken less often where it costs more, so that its share of a core stays bounded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Pacer:
    """Due every `every_s` seconds, or less often: what it costs may take `share` of a core at most."""

    every_s: float
    share: float
    clock: Callable[[], float] = time.monotonic
    next_s: float = 0.0
    cost_s: float = 0.0  # of all readings so far

    def due(self) -> bool:
        return self.clock() >= self.next_s

    def spent(self, cost_s: float) -> None:
        """A reading was taken and cost so many CPU seconds."""
        self.cost_s += cost_s
        self.next_s = self.clock() + max(self.every_s, cost_s / self.share)
