"""A request that is never answered on purpose ends at the client, and is an error with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from harness.client import opaque, silence
from harness.client.flow import Flow
from harness.client.plan import Plan
from harness.client.silence import Silence
from harness.client.wire import Taken, Wire
from harness.worker import contract


def ignored(folder: Path, *numbers: int, pid: int = 7) -> None:
    with open(folder / contract.FILE_NAME.format(pid=pid), "ab") as file:
        for number in numbers:
            file.write(contract.pack(contract.TASK_BEGIN, pid, number, 1) + contract.pack(contract.IGNORED, pid, number, 2))


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 1.0
        return self.now_s


class FakeWire:
    """Answers what it is told to, one list at each take."""

    unconfirmed = False

    def __init__(self, *answers: list[tuple[int, bytes]]) -> None:
        self.answers = list(answers)

    def publish(self, requests: Sequence[tuple[int, int]]) -> None:
        pass

    def take(self, limit_s: float) -> Taken:
        return Taken(at_ns=5, answers=self.answers.pop(0) if self.answers else [])


def flow(folder: Path, wire: FakeWire) -> Flow:
    plan = Plan(
        url="", queue="celery", traffic="closed-1", rows=1, batch=1, measure_s=1.0, requests=1, warmup_limit_s=1.0,
        stable_limit_s=1.0, search_s=1.0, executors=1, by_thread=False, in_flight_warmup=1, arrivals_seed=1, rows_seed=1,
        events_dir=str(folder), result="", prefix="", messages="messages.json",
    )  # fmt: skip
    made = Flow(plan, cast(Wire, wire))
    made._silence = Silence(folder, Clock())
    return made


def test_a_number_is_given_out_once_at_the_look_after_the_one_that_found_it(tmp_path: Path) -> None:
    one = Silence(tmp_path, Clock())
    ignored(tmp_path, 3)
    assert one.numbers() == []
    ignored(tmp_path, 4, pid=8)
    assert one.numbers() == [3]
    assert [one.numbers(), one.numbers()] == [[4], []]


def test_between_two_looks_nothing_is_read(tmp_path: Path) -> None:
    one = Silence(tmp_path, lambda: 0.0)
    ignored(tmp_path, 3)
    assert [one.numbers(), one.numbers(), one.numbers()] == [[], [], []]


def test_a_request_that_is_ignored_ends_with_a_reason_and_an_answered_one_keeps_its_answer(tmp_path: Path) -> None:
    answer = b'{"status": "REVOKED", "result": "expired"}'
    one = flow(tmp_path, FakeWire([(0, answer)]))
    one.send(2)
    ignored(tmp_path, 0, 1)
    one.settle()
    assert one.in_flight == 0
    assert one.duplicates == 0
    table = opaque.table(one.log, tmp_path / "requests.npz")
    assert table["error"].tolist() == ["expired", silence.REASON]
    assert (table["received"] > 0).all()
