"""The heartbeats of a worker under test, as any monitor of Celery's events receives them."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from harness.studies.contracts.bench import Bench


class Heartbeats:
    """Counts `worker-heartbeat` events while its `with` block lasts; listens in a thread of its own."""

    def __init__(self, bench: Bench) -> None:
        self.at_s: list[float] = []
        self._connection = bench.app.connection_for_read()
        self._receiver = bench.app.events.Receiver(self._connection, handlers={"worker-heartbeat": self._beat})
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def between(self, begin_s: float, end_s: float) -> int:
        """Heartbeats received in this span, seconds of CLOCK_MONOTONIC."""
        return sum(begin_s <= at_s <= end_s for at_s in self.at_s)

    def _beat(self, event: Mapping[str, object]) -> None:
        self.at_s.append(time.monotonic())

    def _listen(self) -> None:
        for _ in self._receiver.consume(limit=None, timeout=None, wakeup=False):
            continue

    def __enter__(self) -> Heartbeats:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join(5.0)
        self._connection.release()
