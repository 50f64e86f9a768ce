"""Where a trial takes place: its worker, its load, its broker, and the clock. The watcher looks at nothing else.

`live_site` is the real one. Whatever offers the same can be watched: a worker on another host, or a stored history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.broker import Census
from harness.measure.monitor import Sample
from harness.measure.noise import Reading
from harness.observe.looks import ProcessLook
from harness.observe.progress import Progress


class Site(Protocol):
    """Where a trial takes place: all that can be looked at, at the moment `now`. Exit codes are None while a process runs."""

    progress: Progress
    main: int  # the worker's own process
    started_s: float

    def now(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...
    def worker_code(self) -> int | None: ...
    def client_code(self) -> int | None:
        """Of the load generator; of the worker, if that makes its own load."""

    def has_client(self) -> bool: ...
    def client_state(self) -> str:
        """The kernel's letter, '' where there is none."""

    def broker_ended(self) -> bool: ...
    def census(self) -> Census: ...
    def depth(self) -> tuple[int, int] | None:
        """See `broker.View.depth`."""

    def sample(self, phase: str, *, edge: bool = False) -> Sample: ...
    def noise(self) -> Reading: ...
    def children(self) -> frozenset[int]:
        """The pool's own children that live, by the kernel, see `observe.children`."""

    def pids(self) -> frozenset[int]:
        """Every process of the worker's tree, however it was started."""

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]: ...
    def settled(self, processes: Sequence[ProcessLook]) -> None:
        """Remember how the worker's processes were when it was ready and idle."""

    def no_consumer(self) -> str: ...
    def go(self) -> None:
        """Let the load begin."""

    def log_tail(self) -> str: ...
