"""What queueing theory says of a server with a fixed service time: formula and recursion. Pure; seconds throughout.

Truth tests compare the instrument with these. M/D/c: Poisson arrivals, the same service time for all, c servers, first come
first served.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Freeze:
    """A span in which no server begins or ends anything: what would end in it ends at its end."""

    begin_s: float
    end_s: float

    def shifted(self, moment_s: float) -> float:
        return self.end_s if self.begin_s <= moment_s < self.end_s else moment_s


def mean_wait_s(rate_per_s: float, service_s: float) -> float:
    """The mean time in queue of M/D/1, without the service: Pollaczek and Khinchine's formula, rho S / (2 (1 - rho)).

    >>> round(mean_wait_s(35, 0.02), 6)
    0.023333
    """
    load = rate_per_s * service_s
    return load * service_s / (2 * (1 - load))


def waits_s(arrivals_s: Floats, service_s: float, *, servers: int = 1, freeze: Freeze | None = None) -> Floats:
    """(n,) time from each arrival, in ascending order, to the begin of its service, from an empty system on: Lindley's
    recursion, for several servers Kiefer and Wolfowitz's.

    With a freeze, the time includes by how much it delays a service that it meets.
    """
    free = [-np.inf] * servers
    found = np.empty(len(arrivals_s))
    for number, arrival in enumerate(arrivals_s):
        begin = max(float(arrival), heapq.heappop(free))
        end = begin + service_s
        if freeze is not None:
            end = freeze.shifted(freeze.shifted(begin) + service_s)
        heapq.heappush(free, end)
        found[number] = end - service_s - arrival
    return found
