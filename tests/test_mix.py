"""Several tasks in one worker: what a mix file says, in which order requests come, what each task is held against."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.applications import options
from harness.applications.probe import checks, learn, mix_file, mixed, order, pace, probe
from harness.applications.probe.seen import by_row
from harness.applications.probe.sizing import Sizing
from harness.client.deck import Deck
from harness.client.plan import Plan
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.experiment.mix import Mix
from harness.judge.watchdog import State, judge
from harness.observe.progress import Progress, TaskPace
from harness.records.of_task import OfTask
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.sections import Answers, Figures
from harness.summary import of_tasks
from harness.trial.application import Limits, in_common
from harness.worker import contract, heartbeat, serial
from tests.plain_left import requests
from tests.test_application_source import ORDER, source
from tests.test_pace import CORES, cell
from tests.test_store import record
from tests.test_watchdog import STAGE, history

MIX = Mix(name="day", tasks=("shop.price", "shop.train"), shares=(0.9, 0.1), of_rows=(0, 1, 0, 0))
GOOD = """
[[task]]
name = "shop.price"
args = [[1], {count = 2}]
share = 9
[[task]]
name = "shop.train"
args = "train.json"
"""


def read(folder: Path, text: str, args: str = "[[10], [20], [30]]") -> tuple[Mix, list[Any]]:
    (folder / "train.json").write_text(args)
    (folder / "day.toml").write_text(text)
    return mix_file.read(folder / "day.toml")


def test_a_mix_file_names_tasks_with_their_arguments_and_shares(tmp_path: Path) -> None:
    mix, rows = read(tmp_path, GOOD)
    assert rows == [[1], [10], {"count": 2}, [20], [30]], "in turn, so that a part of them holds all tasks"
    assert mix == Mix(name="day", tasks=("shop.price", "shop.train"), shares=(0.9, 0.1), of_rows=(0, 1, 0, 1, 1))
    assert [mix.named(row) for row in (0, 2, 4)] == ["row 1 of shop.price", "row 2 of shop.price", "row 3 of shop.train"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "is not TOML"),
        ("task = 3", "it has no [[task]]"),
        ("[[tasks]]\nname = 'a'", "it knows no tasks"),
        ("[[task]]\nname = 'a'", "it has 1 task, and takes 2"),
        ("[[task]]\nname = 'a'\n[[task]]\nshare = 2", "task 2: it has no name"),
        ("[[task]]\nname = 'a'\n[[task]]\nname = 'a'", "a is named twice"),
        ("[[task]]\nname = 'a'\nweight = 1\n[[task]]\nname = 'b'", "task 1: it knows no weight"),
        ("[[task]]\nname = 'a'\nshare = 0\n[[task]]\nname = 'b'", "task 1 (a): share = 0 is no number above 0"),
        ("[[task]]\nname = 'a'\nshare = nan\n[[task]]\nname = 'b'", "share = nan is no number above 0"),
        ("[[task]]\nname = 'a'\nargs = [1]\n[[task]]\nname = 'b'", "task 1 (a): args: row 1 is neither"),
        ("[[task]]\nname = 'a'\nargs = []\n[[task]]\nname = 'b'", "task 1 (a): args: not a list with one entry"),
        ("[[task]]\nname = 'a'\nargs = 'no.json'\n[[task]]\nname = 'b'", "no.json: No such file"),
        ("[[task]]\nname = 'a'\nargs = [[2026-01-01]]\n[[task]]\nname = 'b'", "cannot be JSON"),
        (GOOD, "train.json is not JSON"),
    ],
)  # fmt: skip
def test_a_mix_file_that_is_wrong_is_told_where(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInput) as raised:
        read(tmp_path, text, args="{")
    assert said in str(raised.value)
    assert raised.value.remedy


def test_a_mix_stands_for_task_and_arguments() -> None:
    assert options.needed("", None, Path("day.toml")) == ""
    for task, args, mix in (("t", None, Path("m")), ("", Path("rows"), Path("m")), ("", None, None)):
        with pytest.raises(BadInput):
            options.needed(task, args, mix)


def plan(**more: Any) -> Plan:
    known: dict[str, Any] = {
        "url": "", "queue": "celery", "traffic": "closed-4", "rows": 4, "batch": 1, "measure_s": 0.0,
        "requests": 8,
        "warmup_limit_s": 1.0, "stable_limit_s": 0.0, "search_s": 1.0, "executors": 1, "by_thread": False,
        "in_flight_warmup": 4,
        "arrivals_seed": 1, "rows_seed": 1, "events_dir": "", "result": "", "prefix": "", "shares": MIX.shares,
        "of_rows": MIX.of_rows, **more,
    }  # fmt: skip
    return Plan(**known)


def test_requests_come_at_the_shares_in_an_order_that_the_seed_alone_decides() -> None:
    deck, again, other = Deck(plan()), Deck(plan()), Deck(plan(rows_seed=2))
    rows = [deck.row(number) for number in range(1000)]
    assert [again.row(number) for number in reversed(range(1000))] == rows[::-1], "asked for in any order"
    assert [other.row(number) for number in range(1000)] != rows
    tasks = [deck.task(number) for number in range(1000)]
    assert Counter(tasks) == {0: 900, 1: 100}
    assert all(tasks[begin : begin + 10].count(1) == 1 for begin in range(0, 1000, 10))
    assert len({tasks.index(1, begin) - begin for begin in range(0, 1000, 10)}) > 1, "not always at the same place"
    assert Counter(row for row in rows if MIX.of_rows[row] == 0) == {0: 300, 2: 300, 3: 300}, "rows of a task take turns"


@pytest.mark.parametrize(("shares", "counts"), [((0.9, 0.1), [7, 1]), ((0.5, 0.5), [4, 4]), ((0.999, 0.001), [7, 1])])
def test_few_requests_hold_each_task(shares: tuple[float, ...], counts: list[int]) -> None:
    deck = Deck(plan(shares=shares, few=True))
    tasks = [deck.task(number) for number in range(8)]
    assert [tasks.count(0), tasks.count(1)] == counts


def test_a_task_none_of_whose_rows_is_sent_leaves_its_share_to_the_others() -> None:
    deck = Deck(plan(rows=1))
    assert {deck.row(number) for number in range(20)} == {0}


def test_serial_calls_call_each_row_and_then_keep_to_the_shares() -> None:
    turns = probe.turns(MIX)
    assert Counter(MIX.of_rows[row] for row in turns) == {0: 9, 1: 1}
    assert set(turns) == {0, 1, 2, 3}, "all rows of a task take turns"
    rows = [serial.row_of(number, 4, turns) for number in range(18)]  # type: ignore[no-untyped-call]
    assert rows == [0, 0, 1, 1, 2, 2, 3, 3, *turns]


def line(row: int, seconds: float) -> dict[str, Any]:
    return {"row": row, "begin": 0, "end": round(seconds * 1e9), "cpu_s": seconds / 2}


def test_the_pace_of_a_mix_is_that_of_its_shares_and_each_task_keeps_its_own() -> None:
    found = pace.of([line(0, 2.0), line(0, 1.0), line(1, 20.0), line(1, 11.0), line(2, 1.0)], MIX)
    assert found is not None
    assert (round(found.usual_s, 6), found.slowest_s, found.longest_s, found.cores) == (2.0, 11.0, 11.0, 0.5)
    assert [one.usual_s for one in found.tasks if one] == [1.0, 11.0]
    assert found.cold
    unseen = pace.of([line(0, 1.0), line(2, 1.0)], MIX)
    assert unseen is not None
    assert (unseen.tasks[1], unseen.usual_s) == (None, 1.0)


def test_so_many_requests_are_sent_that_the_rarest_task_tells_something() -> None:
    quick = pace.of([line(0, 0.004), line(0, 0.004), line(1, 0.02), line(1, 0.02)], MIX)
    assert quick is not None
    assert pace.wanted(quick, cell(), CORES) == pace.LEAST / 0.1
    slow = replace(quick, usual_s=60.0)
    assert pace.wanted(slow, cell(), CORES) == pace.MOST_S // 30.0
    assert pace.least(cell(concurrency=1), quick) == 2, "one of each task"


def test_the_limit_of_a_trial_leaves_the_longest_task_its_time() -> None:
    found = pace.of([line(0, 0.005), line(0, 0.005), line(1, 100.0), line(1, 100.0)], replace(MIX, shares=(0.9999, 0.0001)))
    assert found is not None
    sizing = Sizing(order=order_of(MIX), budget=probe.Budget(), usable=CORES, pace=found)
    assert sizing.size(cell(), 50).limit_s > 150.0
    paces = sizing.assignment(cell())["paces"]
    assert [one.usual_s for one in paces] == [0.005, 100.0]


def order_of(mix: Mix) -> order.ProbeOrder:
    return replace(ORDER, mix=mix, rows=[[1]] * len(mix.of_rows), task=mix.label)


def test_a_request_is_overdue_by_the_pace_of_its_own_task() -> None:
    """The same looks: a thread that waits for ever, 3 s after its begin, beside a task of 5 s."""

    def stages(pace_: TaskPace) -> list[Any]:
        one = replace(STAGE, pace=pace_)
        return history(look=lambda i: {"stages": (one,), "pace_s": 5.0}, seconds=3.0)

    assert judge(stages(TaskPace(usual_s=0.005))).state is State.HUNG
    assert judge(stages(TaskPace(usual_s=5.0))).state is State.WORKING


def test_what_requests_took_is_kept_by_task_and_a_first_one_of_each_in_a_process_is_cold(tmp_path: Path) -> None:
    heartbeat.open_in(str(tmp_path))
    try:
        for number in range(4):
            heartbeat.emit(contract.TASK_BEGIN, number)
            heartbeat.emit(contract.TASK_END, number)
        heartbeat.emit(contract.TASK_BEGIN, 4)
    finally:
        heartbeat.open_in(None)
    progress = Progress(tmp_path, place_of=lambda number: number % 2)
    progress.read()
    (stage,) = progress.open.values()
    assert (stage.task, stage.cold) == (0, False)
    assert {task: len(known) for task, known in progress.durations_s.items()} == {0: 1, 1: 1}
    assert set(progress.slowest_of) == {0, 1}


def test_what_one_task_answers_says_nothing_of_another() -> None:
    calls = [(0, {"at": 1.0, "n": 5}), (0, {"at": 9.0, "n": 5}), (1, {"at": 3.0}), (1, {"at": 3.0}), (2, {"at": 4.0, "n": 6})]
    found = checks.reference(calls, mix=MIX)
    assert [checks.named(place) for place in found.ignored] == ["shop.price: result.at"]
    assert found(0, {"at": 7.0, "n": 5})[0]
    assert not found(1, {"at": 7.0})[0], "the other task has a place of the same name, which does not change"
    coverage = found.coverage()
    assert coverage.startswith("2 of 3 fields in 2 of 2 answers, numbers within 0.1 %; left out")
    assert coverage.endswith("from call to call: shop.price: result.at")
    whole = checks.reference([(0, 1), (0, 2), (1, 3), (1, 3)], mix=MIX)
    whole.begin()
    assert whole(0, 9)[0]
    assert not whole(1, 9)[0]
    assert "in 1 of 2 answers" in whole.coverage(), "an answer that holds nothing to compare was not compared"


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        ([0, 1, 0, 0, 1], ["shop.train raises each time, and no other"]),
        ([0, 0, 1, 0, 0], ["row 2 of shop.price raises each time, and no other"]),
        ([0, 0, 1, 1, 0], ["each of row 2 of shop.price and row 3 of shop.price raises each time, and no other"]),
        ([1, 0, 1, 1, 0], ["shop.price raises each time, and no other"]),
    ],
)  # fmt: skip
def test_a_task_that_always_raises_is_named_as_such(raised: list[int], said: list[str]) -> None:
    found = requests([1.0] * 5, row=[0, 1, 2, 3, 1], raised=[bool(one) for one in raised], right=[not one for one in raised])
    assert by_row(found, MIX) == said


def sent(key: str, *tasks: str) -> dict[str, list[bytes]]:
    text = '{{"headers": {{"id": "TASK-ID", "task": "{}", "argsrepr": "({},)"}}, "properties": {{}}, "body": "b{}"}}'
    return {key: [text.format(task, number, number).encode() for number, task in enumerate(tasks)]}


def test_the_message_of_each_row_is_found_whatever_queue_its_task_goes_to() -> None:
    ours = sent("rare", "shop.train") | sent("celery", *["shop.price"] * 3)
    found = learn._by_row(order_of(MIX), ours, Path())
    assert [key for key, _ in found] == ["celery", "rare", "celery", "celery"]
    assert [message[-3:-2] for _, message in found] == [b"0", b"0", b"1", b"2"]
    with pytest.raises(BadInput, match=r"the rows of shop.price go to several queues"):
        learn._by_row(order_of(MIX), sent("rare", "shop.train", "shop.price") | sent("celery", *["shop.price"] * 2), Path())
    with pytest.raises(BadInput, match=r"the messages are not those of"):
        learn._by_row(order_of(MIX), sent("celery", *["shop.other"] * 4), Path())


def test_a_worker_is_told_of_the_queues_that_it_would_not_consume() -> None:
    def queues(mix: Mix | None, keys: tuple[str, ...], **more: Any) -> list[str]:
        told = {"key_prefix": "", "consumes": ["celery"]}
        facts = learn.Facts(told=told, queue_keys=keys, messages=[])
        return probe.more_queues(replace(ORDER, mix=mix, **more), facts)

    assert queues(MIX, ("celery", "rare", "celery", "celery")) == ["celery", "rare"]
    assert queues(MIX, ("celery",)) == []
    assert queues(MIX, ("celery", "rare"), queue="mine") == []
    assert queues(None, ("rare",)) == []


def test_limits_that_differ_bound_their_own_task_alone() -> None:
    one, other = Limits(soft_s=5.0, hard_s=9.0, max_tasks_per_child=7), Limits(hard_s=9.0, max_tasks_per_child=7, put_off_s=2.0)
    assert in_common([one, other]) == Limits(hard_s=9.0, max_tasks_per_child=7, put_off_s=2.0)
    assert in_common([one]) == one


def ended(tasks: list[OfTask], outcome: Outcome = Outcome.OK, unusable: str = "") -> TrialRecord:
    found = record(Cell(backend="app", pool="prefork", concurrency=2), outcome=outcome)
    return found.changed(answers={"tasks": tasks}, certainty={"unusable": unusable})


def of_task(task: str, share: float, measured: int, waited_s: float, ran_s: float) -> OfTask:
    return OfTask(
        task=task, share=share, requests=measured, ok=measured, wrong=0, unanswered=0, measured=measured,
        latency_s={"p50": waited_s + ran_s}, waited_p50_s=waited_s, ran_p50_s=ran_s, ran_mean_s=ran_s,
    )  # fmt: skip


def test_a_short_task_that_waits_for_a_long_one_is_told_so() -> None:
    behind = [of_task("shop.price", 0.5, 20, 4.9, 0.005), of_task("shop.train", 0.5, 20, 2.0, 5.0)]
    (said,) = mixed.said(ended(behind))
    assert said.startswith("shop.price queues behind shop.train: it usually waits 4900 ms and runs for 5 ms")
    alike = [of_task("shop.price", 0.5, 20, 4.9, 3.0), of_task("shop.train", 0.5, 20, 4.0, 5.0)]
    assert mixed.said(ended(alike)) == []
    prompt = [of_task("shop.price", 0.5, 20, 0.01, 0.005), of_task("shop.train", 0.5, 20, 0.01, 5.0)]
    assert mixed.said(ended(prompt)) == []


def test_the_tasks_of_a_trial_are_counted_each_for_itself() -> None:
    rows = np.tile([0, 2, 3, 1], 10)
    raised = [bool(row == 1) for row in rows]
    tasks = mixed.of_tasks(requests([1.0] * 40, row=rows.tolist(), raised=raised, right=[not one for one in raised]), MIX)
    assert [(one.task, one.requests, one.ok, sum(one.errors.values())) for one in tasks] == [
        ("shop.price", 30, 30, 0),
        ("shop.train", 10, 0, 10),
    ]
    assert "by task: shop.price 30 of 30 ok, shop.train 0 of 10 ok, 10 raised" in mixed.said(ended(tasks, Outcome.ERRORS))
    assert [one.partition(";")[0] for one in of_tasks.lines([ended(tasks)])] == [
        "shop.price (90 %): 30 of 30 ok",
        "shop.train (10 %): 0 of 10 ok, 10 raised",
    ]


def test_a_pace_that_hangs_on_few_requests_of_one_task_is_doubted() -> None:
    figures = Figures(requests=22, throughput_per_s=17.0)
    tasks = [of_task("shop.price", 0.9, 20, 0.0, 0.005), of_task("shop.train", 0.1, 2, 0.0, 1.0)]
    (doubt,) = mixed.doubts(ended(tasks).changed(certainty={"figures": figures}))
    assert doubt.startswith("few of a task: shop.train was measured 2 times")
    assert doubt.endswith("raise --requests to 80")
    enough = [tasks[0], replace(tasks[1], measured=8)]
    assert mixed.doubts(ended(enough).changed(certainty={"figures": figures})) == []
    assert mixed.doubts(ended(tasks)) == [], "no figures, no doubt about them"


def test_figures_that_cannot_be_used_are_kept_of_no_task() -> None:
    tasks = [of_task("shop.price", 0.5, 20, 4.9, 0.005), of_task("shop.train", 0.5, 20, 2.0, 5.0)]
    assert of_tasks.mean_s([ended(mixed.kept(ended(tasks)))]) == pytest.approx(2.5025)
    noisy = ended(mixed.kept(ended(tasks, unusable="machine too noisy")))
    assert of_tasks.lines([noisy]) == ["shop.price (50 %): 20 of 20 ok", "shop.train (50 %): 20 of 20 ok"]
    assert of_tasks.mean_s([noisy]) is None


def test_what_became_of_each_task_is_kept_in_the_record() -> None:
    tasks = [of_task("shop.price", 0.5, 20, 4.9, 0.005)]
    text = ended(tasks).model_dump_json()
    assert TrialRecord.model_validate_json(text).answers.tasks == tasks
    assert Answers().tasks == []
    assert asdict(tasks[0])["share"] == 0.5


def test_other_shares_are_another_plan() -> None:
    keys = {
        source(order_of(mix)).planned()[-1].key
        for mix in (MIX, replace(MIX, shares=(0.5, 0.5)), replace(MIX, of_rows=(0, 1, 1, 0)))
    }
    assert len(keys) == 3
