"""What a record says of pace, CPU and memory, each number from plain values that show where it came from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.machine.cpu_quota import Throttle
from harness.measure.memory import MemoryReading, Pages
from harness.measure.monitor import Watched
from harness.measure.noise import Reading
from harness.measure.thread_clocks import ThreadUse
from harness.records.answers import Requests, Waiting
from harness.run import measured
from harness.trial.left import Left
from tests.plain_left import left_in, requests
from tests.plain_trial import CHILD, MAIN, sample


@pytest.fixture
def left(tmp_path: Path) -> Left:
    return left_in(tmp_path)


def test_the_pace_is_counted_between_the_clients_own_moments(left: Left) -> None:
    found = measured.pace(left, requests([9.9, 10.0, 15.0, 20.0, 20.1], phase=[1, 1, 2, 2, 3], pid=[5, 6, 6, -1, 7]), None)
    assert (found.ready_s, found.measured_s, found.measured_requests) == (3.0, 10.0, 3)
    assert (found.warmup_requests, found.executors_seen, found.load_s) == (2, 3, {"7": 0.5})
    assert (found.first_predict_s, found.slowest_s) == (pytest.approx(1.0), pytest.approx(0.35))
    assert (found.waited_while_idle, found.starved, found.stages_p50_s) == (None, None, {})


def test_a_wrong_answer_is_none_of_the_measured_ones(left: Left) -> None:
    assert measured.pace(left, requests([11.0, 12.0], right=[True, False]), None).measured_requests == 1


def test_a_phase_that_did_not_end_is_measured_to_its_last_answer(left: Left) -> None:
    signs = replace(left.signs, phase_at_s={"measure": 10.0})
    found = measured.pace(replace(left, signs=signs), requests([11.0, 14.0]), None)
    assert (found.measured_s, found.measured_requests) == (pytest.approx(4.0), 2)
    signs = replace(left.signs, phase_at_s={})
    found = measured.pace(replace(left, signs=signs), requests([11.0, 14.0]), None)
    assert (found.measured_s, found.measured_requests) == (None, 0)


def test_a_first_request_without_an_answer_has_no_time(left: Left) -> None:
    found = measured.pace(left, requests([-1.0, 14.0]), None)
    assert (found.first_predict_s, found.slowest_s) == (None, pytest.approx(0.35))
    assert measured.pace(left, requests([-1.0]), None).slowest_s is None


@pytest.mark.parametrize("known", [None, requests([])])
def test_without_requests_the_pace_is_that_of_the_start(known: Requests | None, left: Left) -> None:
    found = measured.pace(left, known, Waiting(while_idle=0.25, starved=0.125))
    assert (found.ready_s, found.measured_s, found.measured_requests, found.warmup_requests, found.executors_seen) == (
        3.0, None, 0, 0, 0,
    )  # fmt: skip
    assert (found.first_predict_s, found.slowest_s, found.stages_p50_s) == (None, None, {})
    assert (found.waited_while_idle, found.starved) == (0.25, 0.125)


def test_a_worker_that_was_never_ready_has_no_time_to_ready(left: Left) -> None:
    assert measured.pace(replace(left, signs=replace(left.signs, ready_at_s=None)), None, None).ready_s is None


def machine(left: Left, begin_s: float, end_s: float, **more: Any) -> Left:
    samples = (sample(begin_s), sample(end_s, pids=(MAIN, CHILD)))
    told = {"before": samples[0], "after": samples[1], "watched": Watched(worker=MAIN, samples=samples), "last": samples[1]}
    signs = replace(left.signs, phase_at_s={"drain": samples[1].at_s - 0.05})
    return replace(left, signs=signs, machine=replace(left.machine, **{**told, **more}))


@pytest.mark.parametrize(
    ("took_s", "late_s", "known"),
    [
        ((0.0, 0.0), 0.05, True),
        ((0.05, 0.05), 0.9, True),
        ((0.0, 0.0), 1.1, False),
        ((3.2, 0.0), 0.05, False),
        ((0.0, 3.2), 0.05, False),
    ],
)
def test_counters_that_were_read_too_late_say_nothing_of_the_measured_phase(
    took_s: tuple[float, float], late_s: float, known: bool, left: Left
) -> None:
    edges = [replace(sample(at_s), took_s=took) for at_s, took in zip((10.0, 20.0), took_s, strict=True)]
    seen = machine(left, 10.0, 20.0, before=edges[0], after=edges[1])
    seen = replace(seen, signs=replace(seen.signs, phase_at_s={"drain": edges[1].at_s - late_s}))
    found = measured.cpu(seen, requests([1012.0]), "")
    assert (found.use is not None, found.facts is not None or known) == (known, known)
    assert ("read up to" in found.verdict_reason) == (not known)


def test_a_short_phase_may_be_left_one_look_late(left: Left) -> None:
    seen = machine(left, 10.0, 10.6)
    late = replace(seen, signs=replace(seen.signs, phase_at_s={"drain": 1010.5}))
    assert measured.cpu(late, None, "").use is not None


def test_the_cpu_is_that_between_the_two_edges(left: Left) -> None:
    found = measured.cpu(machine(left, 10.0, 20.0, kernel_cpu_s=9.5), requests([1009.0, 1012.0, 1019.0, 1021.0]), "samples/x")
    assert found.use is not None
    assert (found.use.window_s, found.use.requests, found.use.worker, found.use.children) == pytest.approx((10.0, 2, 1.0, 3.0))
    assert found.tree_cpu_s == pytest.approx(8.0)
    assert (found.kernel_cpu_s, found.samples_file, found.threads_peak) == (9.5, "samples/x", {"worker": 3, "child": 3})
    assert found.facts is None  # threads were not read twice
    assert found.verdict
    assert found.verdict_reason


def throttle(
    level: int, quota: float | None, periods: int, struck: int, seconds: float, used_s: float | None = None
) -> Throttle:
    return Throttle(level=level, quota=quota, periods=periods, throttled_periods=struck, throttled_s=seconds, used_s=used_s)


@pytest.mark.parametrize(("early", "late", "used"), [(3.0, 8.0, 5.0), (None, 8.0, None), (3.0, None, None)])
def test_what_a_group_used_is_that_between_the_two_edges(
    early: float | None, late: float | None, used: float | None, left: Left
) -> None:
    first, last = (
        replace(sample(at_s), throttles=(throttle(0, 1.5, 7, 0, 0.0, used_s),))
        for at_s, used_s in ((10.0, early), (20.0, late))
    )
    found = measured.cpu(machine(left, 10.0, 20.0, before=first, after=last), None, "").use
    assert found is not None
    assert [one.used_s for one in found.throttled] == [used]


def test_what_quotas_held_back_is_that_between_the_two_edges(left: Left) -> None:
    first = replace(
        sample(10.0), throttles=(throttle(0, 1.5, 7, 3, 2.0), throttle(2, 8.0, 9, 9, 9.0), throttle(3, 4.0, 1, 1, 1.0))
    )
    last = replace(
        sample(20.0), throttles=(throttle(0, 1.5, 107, 93, 7.0), throttle(2, 8.0, 9, 9, 9.0), throttle(3, None, 2, 2, 2.0))
    )
    used = measured.cpu(machine(left, 10.0, 20.0, before=first, after=last), None, "").use
    assert used is not None
    assert used.quota == 1.5
    assert [(one.level, one.quota, one.periods, one.throttled_periods, one.throttled_s) for one in used.throttled] == [
        (0, 1.5, 100, 90, 5.0), (2, 8.0, 0, 0, 0.0),
    ]  # fmt: skip
    assert used.throttled_share == pytest.approx(5.0 / 20.0)


def test_a_quota_that_does_not_count_is_known_and_what_it_held_back_is_not(left: Left) -> None:
    first, last = (replace(sample(at_s), throttles=(throttle(0, 1.5, 0, 0, 0.0),)) for at_s in (10.0, 20.0))
    used = measured.cpu(machine(left, 10.0, 20.0, before=first, after=last), None, "").use
    assert used is not None
    assert (used.quota, used.throttled, used.throttled_share) == (1.5, [], None)


def test_without_quotas_nothing_is_held_back(left: Left) -> None:
    used = measured.cpu(machine(left, 10.0, 20.0), None, "").use
    assert used is not None
    assert (used.quota, used.throttled, used.throttled_share) == (None, [], None)


@pytest.mark.parametrize("window_s", [0.15, 0.25])
def test_two_samples_that_are_too_near_say_nothing(window_s: float, left: Left) -> None:
    found = measured.cpu(machine(left, 10.0, 10.0 + window_s), None, "")
    assert (found.use is None, found.verdict == "") == (window_s < 0.2, window_s < 0.2)


@pytest.mark.parametrize("missing", ["before", "after"])
def test_without_a_measured_phase_the_cpu_is_not_judged(missing: str, left: Left) -> None:
    found = measured.cpu(machine(left, 10.0, 20.0, **{missing: None}), None, "")
    assert (found.use, found.facts, found.verdict, found.verdict_reason) == (None, None, "", "")
    assert measured.cpu(machine(left, 10.0, 20.0, last=None), None, "").tree_cpu_s is None


def test_the_machines_noise_is_what_happened_between_the_first_reading_and_the_last(left: Left) -> None:
    readings = tuple(Reading(swapped_bytes=4096 * i, frequency_hz=1e9 * (3 - i)) for i in range(3))
    found = measured.cpu(machine(left, 10.0, 20.0, noise=readings), None, "").noise
    assert found is not None
    assert (found.swapped_bytes, found.frequency_low_hz, found.frequency_high_hz) == (8192, 1e9, 3e9)


def test_threads_that_ran_a_request_count_as_pythons(left: Left) -> None:
    uses = tuple(
        ThreadUse(pid=CHILD, tid=tid, name=name, cpu_s=1.0, wait_s=0.5, involuntary=2)
        for tid, name in ((CHILD, "python"), (CHILD + 1, "python"), (CHILD + 2, "pool"))
    )
    samples = (sample(10.0), sample(20.0))
    one = machine(left, 10.0, 20.0, watched=Watched(worker=MAIN, samples=samples, uses=uses, uses_span_s=10.0))
    found = measured.cpu(one, requests([1012.0, 1015.0], tid=[CHILD, CHILD + 1]), "").facts
    assert found is not None
    assert found.thread_cpu_s == pytest.approx({"children python": 2.0, "children engine": 1.0, "ended": 1.0})
    assert (found.executor_kind, found.busiest_role, found.run_queue_wait_s) == ("processes", "children", 1.5)
    assert found.occupancy is not None
    assert found.occupancy.executors == left.cell.concurrency
    without = measured.cpu(one, None, "").facts
    assert without is not None
    assert without.occupancy is None
    assert without.thread_cpu_s["children unnamed"] == 1.0


@pytest.mark.parametrize("how", ["put off", "rate limit"])
def test_requests_that_may_wait_for_a_moment_of_their_own_do_not_tell_that_an_executor_was_idle(how: str, left: Left) -> None:
    asked = replace(left, signs=replace(left.signs, has_put_off=True)) if how == "put off" else replace(left, rate_interval_s=1)
    uses = (ThreadUse(pid=MAIN, tid=MAIN, name="python", cpu_s=1.0, wait_s=0.5, involuntary=2),)
    watched = Watched(worker=MAIN, samples=(sample(10.0), sample(20.0)), uses=uses, uses_span_s=10.0)
    for one, known in ((left, True), (asked, False)):
        found = measured.cpu(machine(one, 10.0, 20.0, watched=watched), requests([1012.0, 1015.0]), "").facts
        assert found is not None
        assert found.occupancy is not None
        assert (found.occupancy.idle_with_work is not None) is known


def test_the_threads_of_the_baseline_are_always_busy(left: Left) -> None:
    own = replace(left, cell=replace(left.cell, pool="in-process", concurrency=3))
    uses = (ThreadUse(pid=MAIN, tid=MAIN, name="python", cpu_s=1.0, wait_s=0.5, involuntary=2),)
    watched = Watched(worker=MAIN, samples=(sample(10.0), sample(20.0)), uses=uses, uses_span_s=10.0)
    found = measured.cpu(machine(own, 10.0, 20.0, watched=watched), None, "").facts
    assert found is not None
    assert found.occupancy is not None
    assert found.executor_kind == "in-process"
    assert found.occupancy.model_dump() == {"executors": 3, "executors_busy": 1.0, "work_waits": 1.0, "idle_with_work": 0.0}


def test_memory_is_that_of_its_peak(left: Left) -> None:
    sizes = [3, 9, 4]
    readings = [
        MemoryReading(at_s=1010.0 + size, pages={"worker": Pages(pss_bytes=size), "children": Pages(pss_bytes=10 * size)})
        for size in sizes
    ]
    samples = tuple(replace(sample(10.0, name="measure"), memory=reading) for reading in readings)
    found = measured.memory(machine(left, 10.0, 20.0, watched=Watched(worker=MAIN, samples=samples)), None)
    assert (found.peak_pss_bytes, found.use.pss_bytes if found.use else None) == (99, {"worker": 9, "children": 90})
    empty = measured.memory(machine(left, 10.0, 20.0), None)
    assert (empty.use, empty.peak_pss_bytes) == (None, None)
