"""What the client sends in its phases, with a wire that answers at once and knows no worker."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from harness.client.generator import Generator
from harness.client.plan import Plan
from harness.client.wire import Taken, Wire
from harness.worker import contract, heartbeat

ANSWER = json.dumps({"status": "SUCCESS", "result": {contract.PID: 1, contract.TID: 1}}).encode()


class EchoWire:
    """Answers one request at each take, in the order in which they were published."""

    unconfirmed = False

    def __init__(self) -> None:
        self.waiting: deque[int] = deque()

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        self.waiting.extend(number for number, _ in requests)

    def take(self, limit_s: float) -> Taken:
        return Taken(at_ns=5, answers=[(self.waiting.popleft(), ANSWER)] if self.waiting else [])


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_closed_traffic_measures_as_many_requests_as_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    monkeypatch.setattr(heartbeat, "emit_all", lambda kind, numbers: None)
    monkeypatch.setattr(heartbeat, "emit", lambda kind, number: None)
    plan = Plan(
        url="", queue="celery", traffic=f"closed-{in_flight}", rows=8, batch=1, measure_s=0.0, requests=90, warmup_limit_s=1.0,
        stable_limit_s=0.001, search_s=1.0, executors=1, by_thread=False, in_flight_warmup=in_flight, arrivals_seed=1,
        rows_seed=1, events_dir=str(tmp_path), result="", prefix="",
    )  # fmt: skip
    generator = Generator(plan, cast(Wire, EchoWire()))
    generator.run()
    measured = Counter(generator.flow.log.phase)[contract.PHASES.index("measure")]
    assert 90 <= measured < 90 + in_flight, "neither fewer, for warm-up's last requests count, nor more than were in flight"
