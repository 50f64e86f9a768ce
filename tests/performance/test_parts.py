"""What the parts of a run cost, one by one, for pytest-benchmark to compare between two commits.

    pytest tests/performance --benchmark-autosave                                        # on the one
    pytest tests/performance --benchmark-compare --benchmark-compare-fail=median:25%     # on the other

Nothing is asserted of a time here. `harness selfcost` holds costs to bounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from harness import broker
from harness.client.plan import request_id
from harness.client.wire import Wire
from harness.judge.outcome import Observations, classify
from harness.judge.watchdog import State, judge
from harness.records.outcomes import Outcome
from harness.report import content, page
from tests.test_advise import FORK, IMPORT, SPAWN, trials
from tests.test_report import made
from tests.test_watchdog import history

REQUESTS = 256


@pytest.fixture(scope="module")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    with broker.embedded(tmp_path_factory.mktemp("broker")) as server:
        client = Wire(server.url, "mine")
        yield client
        client.close()


def test_publishing_a_burst(wire: Wire, benchmark: BenchmarkFixture) -> None:
    """256 requests, until the broker has confirmed them."""

    def publish() -> int:
        wire.publish([(number, number % 100) for number in range(REQUESTS)])
        confirmed = 0
        while confirmed < REQUESTS:
            confirmed += len(wire.take(1.0).confirmed)
        return confirmed

    assert benchmark.pedantic(publish, rounds=5, iterations=1, teardown=lambda: wire.redis.delete("mine")) == REQUESTS


def test_collecting_answers(wire: Wire, benchmark: BenchmarkFixture) -> None:
    """256 answers that are there already."""
    answer = b'{"status": "SUCCESS", "result": {"answer": [0.1], "stamps": [1, 2, 3], "pid": 1, "tid": 1}, "traceback": null}'

    def send() -> None:
        with wire.redis.pipeline(transaction=False) as pipe:
            for number in range(REQUESTS):
                pipe.publish(f"celery-task-meta-{request_id(wire.prefix, number)}", answer)
            pipe.execute()

    def collect() -> int:
        taken = 0
        while taken < REQUESTS:
            taken += len(wire.take(1.0).answers)
        return taken

    assert benchmark.pedantic(collect, setup=send, rounds=5, iterations=1) == REQUESTS


def test_judging(benchmark: BenchmarkFixture) -> None:
    """One verdict on the looks of eight seconds."""
    looks = history()
    assert benchmark(judge, looks).state is State.HUNG


def test_classifying(benchmark: BenchmarkFixture) -> None:
    seen = Observations(ended_by="done", was_ready=True, requests=1000, ok=1000)
    assert benchmark(classify, seen)[0] is Outcome.OK


def test_reporting(tmp_path: Path, benchmark: BenchmarkFixture) -> None:
    """The page of a small run."""
    folder = made(tmp_path / "run", trials(FORK, 100, 101, 99), trials(SPAWN, 60, 61, 59), trials(IMPORT, 1, end=Outcome.HUNG))
    text = benchmark.pedantic(lambda: page.render(content.read(folder)), rounds=2, iterations=1)
    assert FORK.id in text
