"""What limited a trial: recorded facts of known truth get their word, and what is not known gets none."""

from __future__ import annotations

from typing import Any

import pytest

from harness.measure.cpu_verdict import CpuVerdict, CpuWord, judge
from harness.records.cpu import CpuFacts, CpuUse, Occupancy, Throttled
from harness.summary.resources import verdicts
from tests.test_store import record

WINDOW_S = 10.0


def cpu(
    *, worker: float = 0.0, children: float = 0.0, broker: float = 0.0, client: float = 0.0, others: float = 0.0, **more: Any
) -> CpuUse:
    """Cores that each used, of two."""
    ours = worker + children + broker + client
    return CpuUse(
        window_s=WINDOW_S, cores=2, requests=100, worker=worker * WINDOW_S, children=children * WINDOW_S,
        broker=broker * WINDOW_S, client=client * WINDOW_S, machine=(ours + others) * WINDOW_S, steal=0.0, **more,
    )  # fmt: skip


def quota(cores: float, withheld: float = 0.0, *, level: int = 0, **more: Any) -> dict[str, Any]:
    """A CPU quota that withheld so many cores, on average."""
    told = {"level": level, "quota": cores, "periods": 100, "throttled_periods": 90 if withheld else 0}
    return {"quota": cores, "throttled": [Throttled(**{**told, "throttled_s": withheld * WINDOW_S, **more})]}


def occupancy(executors: int = 2, *, busy: float = 1.0, waits: float = 1.0, idle: float | None = 0.0) -> Occupancy:
    return Occupancy(executors=executors, executors_busy=busy, work_waits=waits, idle_with_work=idle)


def facts(**changes: Any) -> CpuFacts:
    values = {
        "span_s": WINDOW_S, "cores_busy": [0.5, 0.5], "thread_cpu_s": {}, "python_cores": [0.3, 0.3],
        "python_demand": [0.3, 0.3], "busiest_role": "children", "busy_python_threads": 1, "run_queue_wait_s": 0.1,
        "involuntary_switches": 10, "executor_kind": "processes", "broker_watched": True, "occupancy": occupancy(),
    }  # fmt: skip
    return CpuFacts(**{**values, **changes})


ONE_PYTHON = {"python_cores": [1.0], "python_demand": [1.02]}
THREADS = {"executor_kind": "threads", "busiest_role": "worker", "busy_python_threads": 2, **ONE_PYTHON}

TRUTHS = {
    "two endless loops on two cores": (
        cpu(children=1.98), facts(python_cores=[0.99, 0.99], python_demand=[1.0, 1.0]), "saturated",
    ),
    "four endless loops on two cores": (cpu(children=1.98), facts(run_queue_wait_s=20.0), "over-subscribed 2.0 x"),
    "an engine's pools of four threads each in two children, beside other programs": (
        cpu(children=1.0, others=0.9), facts(run_queue_wait_s=30.0), "over-subscribed 2.0 x",
    ),
    "two Python threads that share the GIL": (cpu(worker=1.0), facts(**THREADS), "GIL-bound"),
    "a green worker that computes": (
        cpu(worker=1.0), facts(**{**THREADS, "executor_kind": "greenlets", "busy_python_threads": 1}), "GIL-bound",
    ),
    "a green worker whose hub takes a core between requests": (
        cpu(worker=0.98), facts(
            **{**THREADS, "executor_kind": "greenlets", "python_cores": [0.98], "occupancy": occupancy(busy=0.01, waits=0.3)}
        ), "GIL-bound",
    ),
    "a green worker with three quarters of a core and little to do": (
        cpu(worker=0.75), facts(
            **{**THREADS, "executor_kind": "greenlets", "python_cores": [0.75], "occupancy": occupancy(busy=0.01, waits=0.3)}
        ), "latency-bound",
    ),
    "GIL-sharing threads that get three quarters of a core beside other programs": (
        cpu(worker=0.75, others=0.9), facts(**{**THREADS, "python_cores": [0.75], "python_demand": [1.05]}), "GIL-bound",
    ),
    "threads that got half a core and waited for one for the rest": (
        cpu(worker=0.5, others=1.1),
        facts(**{**THREADS, "python_cores": [0.5], "python_demand": [1.0], "occupancy": occupancy(idle=0.6)}),
        "starved",
    ),
    "threads that compute in native code on more than one core": (
        cpu(worker=1.5), facts(**{**THREADS, "python_cores": [1.5], "python_demand": [1.5]}), "executor-bound",
    ),
    "one thread that computes, where the pool has one": (
        cpu(worker=1.0), facts(**THREADS, occupancy=occupancy(1)), "executor-bound",
    ),
    "a main process that cannot hand out no-ops fast enough": (
        cpu(worker=0.98, children=0.4),
        facts(python_cores=[0.98], python_demand=[1.0], busiest_role="worker", occupancy=occupancy(busy=0.1, idle=0.9)),
        "GIL-bound",
    ),
    "a Python thread beside an engine that computes": (cpu(worker=1.7), facts(**THREADS), "executor-bound"),
    "one child of two computes and the other is given nothing": (
        cpu(children=0.9), facts(python_cores=[0.9], python_demand=[0.9], occupancy=occupancy(busy=0.5, idle=0.5)), "starved",
    ),
    "executors that are free while requests may wait for a moment of their own": (
        cpu(children=0.1), facts(occupancy=occupancy(busy=0.01, idle=None)), "cannot say",
    ),
    "executors that are held though some requests wait for a moment of their own": (
        cpu(children=0.1), facts(occupancy=occupancy(busy=0.9, idle=None)), "executor-bound",
    ),
    "two children that sleep in every request": (
        cpu(children=0.1), facts(python_cores=[0.05, 0.05], python_demand=[0.05, 0.05]), "executor-bound",
    ),
    "one request at a time": (
        cpu(children=0.9), facts(python_cores=[0.9], python_demand=[0.9], occupancy=occupancy(waits=0.0, busy=0.4)),
        "latency-bound",
    ),
    "a broker that uses its one thread up": (cpu(children=0.5, broker=0.95), facts(), "broker-bound"),
    "a broker that uses as much on several threads": (
        cpu(children=0.5, broker=0.95), facts(broker_spread=True), "executor-bound",
    ),
    "a client that uses its one thread up": (cpu(children=0.5, client=0.95), facts(), "client-bound"),
    "full cores, half of them taken by others": (cpu(children=1.0, others=1.0), facts(), "cannot say"),
    "full cores, most of them taken by broker and client": (
        cpu(children=0.6, broker=0.7, client=0.7), facts(), "cannot say",
    ),
    "two endless loops with a quota of one and a half cores": (
        cpu(children=1.5, **quota(1.5, 0.5)), facts(run_queue_wait_s=5.0), "throttled",
    ),
    "a child with half a core, that would use a whole one": (
        cpu(children=0.5, **quota(0.5, 0.5)), facts(run_queue_wait_s=5.0), "throttled",
    ),
    "loops with a quota, where the kernel does not count waits": (
        cpu(children=1.5, **quota(1.5, 0.5)), facts(run_queue_wait_s=0.0), "throttled",
    ),
    "bursts that a quota of the pod's cuts off, on a machine that has idle cores": (
        cpu(children=0.5, **quota(1.0, 0.1, level=2)), facts(run_queue_wait_s=1.0), "throttled",
    ),
    "two endless loops whose quota is hardly less than the cores": (
        cpu(children=1.95, **quota(1.95, 0.05)), facts(run_queue_wait_s=0.5), "saturated",
    ),
    "a loop that uses up a quota of one core, with the other core idle": (
        cpu(children=0.99, **quota(1.0, 0.01)), facts(run_queue_wait_s=0.1), "saturated",
    ),
    "four endless loops on two cores, with a quota of eight": (
        cpu(children=1.98, **quota(8.0)), facts(run_queue_wait_s=20.0), "over-subscribed 2.0 x",
    ),
    "children that sleep beside neighbours that use up the quota of a group above": (
        cpu(children=0.1, **quota(1.0, 1.0, level=1)), facts(python_cores=[0.1], python_demand=[0.1], run_queue_wait_s=0.02),
        "executor-bound",
    ),
    "idle cores, and requests that left no stamps": (cpu(children=0.5), facts(occupancy=None), "cannot say"),
}  # fmt: skip


@pytest.mark.parametrize("name", TRUTHS)
def test_the_word_is_that_of_the_known_truth(name: str) -> None:
    used, known, word = TRUTHS[name]
    assert str(judge(used, known)) == word, judge(used, known).reason


def test_the_words_of_the_truths_are_all_the_words() -> None:
    assert {judge(used, known).word for used, known, _ in TRUTHS.values()} == set(CpuWord)


@pytest.mark.parametrize("known", [None, facts()])
def test_a_window_that_was_hardly_watched_is_not_judged(known: CpuFacts | None) -> None:
    short = cpu(children=2.0).model_copy(update={"window_s": 0.3} if known else {})
    assert judge(short, known).word is CpuWord.CANNOT_SAY


def test_the_reason_holds_the_numbers() -> None:
    found = judge(cpu(worker=0.02, children=1.96, broker=0.01), facts(run_queue_wait_s=20.0, involuntary_switches=2500))
    assert found == CpuVerdict(
        word=CpuWord.OVER_SUBSCRIBED,
        times=found.times,
        reason="99% of 2 cores were busy with the worker's processes, 0% with the broker, 0% with the client, 0% with others; "
        "its threads waited 2.0 s per second for a core and were pushed off one 250 times per second",
    )
    assert found.times == pytest.approx(1.99)


def test_throttled_says_by_which_quota_and_how_much() -> None:
    found = judge(cpu(children=1.47, broker=0.03, others=0.1, **quota(1.5, 0.5)), facts(run_queue_wait_s=5.0))
    assert found.reason == (
        "the CPU quota of 1.5 cores withheld 25% of the core time that was asked for, and struck in 90 of 100 periods; "
        "98% of 1.5 cores were busy with the worker's processes, 2% with the broker, 0% with the client, "
        "0% with others"
    )
    above = judge(cpu(children=0.5, **quota(1.0, 0.5, level=1)), facts(run_queue_wait_s=5.0))
    assert "the CPU quota of 1 core, of a control group above ours, withheld 33%" in above.reason


def test_of_several_quotas_the_one_that_withheld_most_counts_and_they_are_not_added_up() -> None:
    told = [*quota(1.5, 0.1)["throttled"], *quota(4.0, 1.0, level=1)["throttled"], *quota(8.0, level=2)["throttled"]]
    used = cpu(children=1.0, quota=1.5, throttled=told)
    assert used.held_back == told[1]
    assert used.throttled_share == pytest.approx(1.0 / 5.0)
    assert (cpu().held_back, cpu().throttled_share) == (None, None)


@pytest.mark.parametrize(
    ("used", "usable", "saturation", "idle"),
    [
        (cpu(children=1.0), 2, 0.5, 0.5),
        (cpu(children=1.0, quota=1.5), 1.5, 1.0 / 1.5, 1.0 / 3.0),
        (cpu(children=1.5, quota=1.5), 1.5, 1.0, 0.0),
        (cpu(children=0.5, client=0.5, quota=1.5, others=0.9), 1.5, 1.0 / 3.0, 0.1 / 1.5),
        (cpu(children=1.0, quota=8.0), 2, 0.5, 0.5),
    ],
)
def test_shares_are_of_the_cores_that_may_be_used(used: CpuUse, usable: float, saturation: float, idle: float) -> None:
    assert (used.usable, used.saturation, used.idle_share) == pytest.approx((usable, saturation, idle))


def test_a_broker_that_was_not_watched_is_named_as_what_may_have_starved_the_worker() -> None:
    starved = facts(occupancy=occupancy(idle=0.6, busy=0.3), broker_watched=False)
    assert "the broker is not ours" in judge(cpu(children=0.5), starved).reason


@pytest.mark.parametrize(
    ("each", "said"),
    [
        ([], ""),
        ([""], ""),
        (["cannot say"], "cannot say"),
        (["GIL-bound", "GIL-bound"], "GIL-bound"),
        (["over-subscribed 1.6 x", "over-subscribed 2.0 x"], "over-subscribed 1.8 x"),
        (["saturated", "over-subscribed 1.6 x", "saturated"], "saturated (2), over-subscribed 1.6 x (1)"),
    ],
)
def test_a_row_says_the_verdict_of_its_trials(each: list[str], said: str) -> None:
    assert verdicts([record(cpu_verdict=verdict) for verdict in each]) == said
