"""What the client sends in its phases, with a wire that answers at once and knows no worker."""

from __future__ import annotations

import json
import time
from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

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
        self.most = 0  # that were in flight at one time

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        self.waiting.extend(number for number, _ in requests)
        self.most = max(self.most, len(self.waiting))

    def take(self, limit_s: float) -> Taken:
        return Taken(at_ns=5, answers=[(self.waiting.popleft(), ANSWER)] if self.waiting else [])


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The phases that the driver is told of."""
    phases: list[int] = []
    monkeypatch.setattr(heartbeat, "emit_all", lambda kind, numbers: None)
    monkeypatch.setattr(heartbeat, "emit", lambda kind, number: phases.append(number))
    return phases


def generated(folder: Path, wire: EchoWire, in_flight: int = 4, **more: Any) -> Generator:
    asked = {"requests": 90, "traffic": f"closed-{in_flight}", "rows": 8, "measure_s": 0.0, **more}
    plan = Plan(
        url="", queue="celery", batch=1, warmup_limit_s=1.0, stable_limit_s=0.001, search_s=1.0, executors=1,
        by_thread=False, in_flight_warmup=in_flight, arrivals_seed=1, rows_seed=1, events_dir=str(folder), result="", prefix="",
        **asked,
    )  # fmt: skip
    generator = Generator(plan, cast(Wire, wire))
    generator.run()
    return generator


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_closed_traffic_measures_as_many_requests_as_were_asked_for(tmp_path: Path, in_flight: int) -> None:
    generator = generated(tmp_path, EchoWire(), in_flight)
    measured = Counter(generator.flow.log.phase)[contract.PHASES.index("measure")]
    assert 90 <= measured < 90 + in_flight, "neither fewer, for warm-up's last requests count, nor more than were in flight"


@pytest.mark.parametrize(("messages", "firsts"), [("messages.json", 3), ("", 1)])
def test_a_cold_worker_of_an_own_application_gets_a_request_for_each_executor_at_once(
    tmp_path: Path, messages: str, firsts: int
) -> None:
    phases = generated(tmp_path, EchoWire(), messages=messages, at_once=3).flow.log.phase
    assert phases.count(contract.PHASES.index("first")) == firsts


@pytest.mark.parametrize(("limited", "bursts"), [(True, 1), (False, 20)])
def test_of_a_task_with_a_rate_limit_no_executor_is_waited_for_that_may_never_have_a_request(
    tmp_path: Path, limited: bool, bursts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No executor is ever seen here; twenty bursts at four per second would take as long as the trial may."""
    monkeypatch.setattr(Generator, "_until_stable", lambda self: None)
    phases = generated(tmp_path, EchoWire(), messages="messages.json", rate_limited=limited).flow.log.phase
    assert phases.count(contract.PHASES.index("warmup")) == 4 * bursts


@pytest.mark.parametrize(("traffic", "most"), [("closed-4", 4), ("single", 1), ("closed-16", 8), ("drain", 8)])
def test_slow_requests_are_all_measured_and_exactly_as_many_as_were_asked_for(
    tmp_path: Path, told: list[int], traffic: str, most: int
) -> None:
    wire = EchoWire()
    generator = generated(tmp_path, wire, few=True, requests=8, traffic=traffic, cold=True)
    assert generator.flow.log.phase == [contract.PHASES.index("measure")] * 8
    assert [contract.PHASES[phase] for phase in told] == ["measure", "drain", "done"]
    assert wire.most == most, "the loop is full from its begin"
    said = generator.notes()
    assert (said.few, said.cold, said.unsent) == (True, True, 0)


def test_few_requests_have_each_row_as_often_as_the_others(tmp_path: Path) -> None:
    rows = generated(tmp_path, EchoWire(), few=True, requests=8, rows=4).flow.log.row
    assert sorted(rows) == sorted([0, 1, 2, 3] * 2)


def test_no_slow_request_is_sent_that_would_be_answered_too_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time, ten seconds for both: the fifth one would be answered after half a minute."""

    class SlowWire(EchoWire):
        def take(self, limit_s: float) -> Taken:
            now[0] += 5.0
            return super().take(limit_s)

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    generator = generated(tmp_path, SlowWire(), 2, few=True, requests=8, most_s=26.0)
    assert (len(generator.flow.log), generator.notes().unsent) == (5, 3)
    assert generator.flow.in_flight == 0, "what was sent is awaited"


@pytest.mark.parametrize(("at_once", "sent"), [(1, 4), (2, 8)])
def test_requests_that_run_beside_each_other_are_expected_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, sent: int
) -> None:
    """Four in flight, two end every minute: the first answer alone would say that four more take four minutes."""

    class PairWire(EchoWire):
        def take(self, limit_s: float) -> Taken:
            now[0] += 60.0 if len(answered) % 2 == 0 else 0.0
            answered.append(now[0])
            return super().take(limit_s)

    now, answered = [0.0], list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    generator = generated(tmp_path, PairWire(), 4, few=True, requests=8, most_s=270.0, at_once=at_once)
    assert len(generator.flow.log) == sent
