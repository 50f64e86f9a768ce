"""Each doubt is raised by what it names, is silent without it, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import display
from harness.certainty.intervals import Span
from harness.measure import doubts, noise
from harness.measure.noise import Reading
from harness.records.cpu import CpuUse, Noise
from harness.records.outcomes import Outcome
from harness.records.sections import Figures
from harness.records.sending import Sending
from harness.summary import summary
from tests import handmade
from tests.test_store import record

CPU = CpuUse(
    window_s=10.0, cores=2, requests=1000, worker=8.0, children=0.0, broker=1.0, client=1.0, machine=10.5, steal=0.0
)  # fmt: skip
FIGURES = Figures(
    requests=1000,
    throughput_per_s=100.0,
    window_throughputs_per_s=[100.0, 101.0, 99.0],
    window_latencies_s=[0.01, 0.01, 0.01],
    stable=True,
)
CLEAN = {"figures": FIGURES, "cpu": CPU, "noise": Noise(swapped_bytes=0, frequency_low_hz=3e9, frequency_high_hz=3.1e9)}


def figures(**changes: object) -> Figures:
    return FIGURES.model_copy(update=changes)


def names(**changes: object) -> list[str]:
    return [doubt.name for doubt in doubts.of_trial(record(**{**CLEAN, **changes}))]


def test_counters_that_were_read_too_late_are_a_doubt() -> None:
    known = record(**{**CLEAN, "cpu": None})
    late = known.model_copy(update={"cpu": known.cpu.model_copy(update={"verdict_reason": "read up to 3.2 s too late"})})
    assert [doubt.name for doubt in doubts.of_trial(known)] == []
    (doubt,) = doubts.of_trial(late)
    assert doubt.name == "CPU unknown"
    assert "3.2 s too late" in doubt.what


def test_who_chooses_by_figures_is_told_what_else_the_machine_did() -> None:
    known = record(**CLEAN)
    said = ["others: other programs used 91% of the cores, end them", "one trial: fresh workers differ, --repeat 5"]
    noisy = known.model_copy(update={"certainty": known.certainty.model_copy(update={"doubts": said})})
    assert doubts.disturbed([noisy, noisy, known]) == (said[0],)


def test_a_clean_trial_raises_no_doubt() -> None:
    assert names() == []


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"figures": figures(requests=200, stable=None)}, "few requests"),
        ({"figures": figures(window_throughputs_per_s=[100.0, 80.0, 100.0], stable=False)}, "unstable"),
        ({"cpu": CPU.model_copy(update={"machine": 13.0})}, "others"),
        ({"cpu": CPU.model_copy(update={"machine": 11.0, "steal": 0.6})}, "stolen"),
        ({"noise": Noise(frequency_low_hz=2e9, frequency_high_hz=3e9)}, "frequency"),
        ({"noise": Noise(swapped_bytes=5 << 20)}, "swap"),
        ({"starved": 0.12}, "starved"),
        ({"sending": Sending(warmup_windows=6, warmup_stable=False)}, "warm-up"),
        ({"sending": Sending(overloaded=True, backlog_after=300)}, "overload"),
        ({"sending": Sending(stopped="after 0.5 of 3 s, since requests raise")}, "stopped early"),
        ({"sending": Sending(peak="9 keep it")}, "peak"),
        ({"sending": Sending(peak="9 keep it", peak_per_s=9.0, peak_held=False)}, "peak not held"),
        ({"outcome": Outcome.SLOW}, "not ok"),
    ],
)
def test_each_doubt_is_raised_by_what_it_names_alone(changes: dict[str, object], name: str) -> None:
    assert names(**changes) == [name]


def test_what_the_machine_does_not_show_raises_no_doubt() -> None:
    assert names(noise=Noise()) == []
    assert names(noise=None, cpu=None) == []
    assert names(sending=Sending(warmup_stable=None, peak="9 keep it", peak_per_s=9.0, peak_held=None)) == []


def test_a_proof_that_did_not_stand_is_a_doubt_with_figures_and_without() -> None:
    told = ["for 3.0 s it was held proved: 1 of 2; then an answer came"]
    for changes in ({}, {"figures": None}):
        (doubt,) = doubts.of_trial(record(**{**CLEAN, **changes, "withdrawn": told}))
        assert doubts.parts(str(doubt))[0][0] == "withdrawn"
        assert "1 of 2, then an answer came" in doubt.what


@pytest.mark.parametrize(
    ("backlog", "name"),
    [
        ({"waiting": 1, "consumed": False}, ["no consumer"]),
        ({"waiting": 40, "consumed": True}, ["backlog"]),
        ({"reserved": 40, "consumed": True}, ["backlog"]),
        ({"waiting": 1, "consumed": True}, []),
    ],
)
def test_work_that_was_handed_on_and_not_done_is_a_doubt(backlog: dict[str, object], name: list[str]) -> None:
    one = {"queue": "bulk", "task": "shop.index", "waiting": 0, "reserved": 0, **backlog}
    assert names(backlog=[one]) == name


def test_work_that_serial_calls_hand_on_is_no_doubt_for_nobody_is_there_to_do_it() -> None:
    one = {"queue": "bulk", "task": "shop.index", "waiting": 40, "reserved": 0, "consumed": True}
    made = record(**{**CLEAN, "backlog": [one]})
    assert [doubt.name for doubt in doubts.of_trial(made)] == ["backlog"]
    alone = made.changed(asked={"cell": made.as_cell.baseline().as_dict()})
    assert doubts.of_trial(alone) == []


def test_a_trial_without_figures_has_nothing_to_doubt() -> None:
    assert names(figures=None, starved=0.9) == []


def test_too_few_requests_name_how_many_are_needed() -> None:
    (doubt,) = doubts.of_trial(record(**{**CLEAN, "figures": figures(requests=60, stable=None)}))
    assert "60 a trial, 90 for p95 and 150 for stability and 459 for p99" in doubt.what
    assert doubt.next_step == "--requests 459"


def table_text(trials: int, *, last: float, tmp_path: Path) -> str:
    rates = [100.0] * (trials - 1) + [last]
    records = [record(trial=n, **{**CLEAN, "figures": figures(throughput_per_s=r)}) for n, r in enumerate(rates, 1)]
    for one in records:
        assert one.certainty.figures is not None
    full = [handmade.changed(one, measured_s=10.0, measured_requests=1000) for one in records]
    return str(summary.table(full, tmp_path).iloc[0]["doubts"])


def test_one_trial_only_is_doubted_and_trials_that_agree_are_not(tmp_path: Path) -> None:
    assert doubts.parts(table_text(1, last=100.0, tmp_path=tmp_path))[0][0] == "1 trial"
    assert table_text(3, last=101.0, tmp_path=tmp_path) == ""


def test_trials_that_differ_too_much_say_how_many_would_do(tmp_path: Path) -> None:
    ((name, words),) = doubts.parts(table_text(3, last=113.0, tmp_path=tmp_path))
    assert name == "wide"
    assert "--repeat 5" in words  # the deviation is 7.1 %; t(3) 7.1 % / 2 = 11 %, t(4) 7.1 % / sqrt(5) = 9 %


def test_figures_of_the_ok_trials_alone_are_doubted(tmp_path: Path) -> None:
    measured = {**CLEAN, "measured_s": 10.0, "measured_requests": 1000}
    trials = [record(**measured), record(trial=2, **measured), record(trial=3, outcome=Outcome.HUNG)]
    text = summary.table(trials, tmp_path).iloc[0]["doubts"]
    assert "mixed ends: the figures are those of 2 ok trials and leave 1 others out" in text


def test_doubts_stand_behind_the_row_by_name(tmp_path: Path) -> None:
    row = summary.row([record(**{**CLEAN, "measured_s": 10.0, "measured_requests": 1000, "starved": 0.3})], {}, tmp_path)
    first = display.line(row, display.Layout()).plain.splitlines()[0]
    assert first.endswith("? 1 trial, starved")


def test_noise_is_what_happened_between_the_first_reading_and_the_last() -> None:
    readings = [
        Reading(swapped_bytes=100, frequency_hz=3e9),
        Reading(swapped_bytes=150, frequency_hz=2e9),
        Reading(swapped_bytes=300, frequency_hz=None),
    ]
    assert noise.between(readings) == Noise(swapped_bytes=200, frequency_low_hz=2e9, frequency_high_hz=3e9)
    assert noise.between(readings[:1]) is None


def test_the_frequency_is_that_of_the_fastest_core_and_unknown_where_the_system_hides_it(tmp_path: Path) -> None:
    for number, khz in enumerate((800_000, 3_200_000)):
        (tmp_path / f"cpu{number}" / "cpufreq").mkdir(parents=True)
        (tmp_path / f"cpu{number}" / "cpufreq" / "scaling_cur_freq").write_text(f"{khz}\n")
    assert noise.read(tmp_path).frequency_hz == 3.2e9
    assert noise.read(tmp_path / "none").frequency_hz is None


def test_under_a_quota_what_others_took_is_of_the_cores_that_one_may_use() -> None:
    quoted = CPU.revised(cores=64, quota=1.5, machine=10.0 + 630.0, worker=5.0, broker=0.0, client=5.0)
    (said,) = doubts.of_trial(record(**{**CLEAN, "cpu": quoted}))
    assert (said.name, said.what) == ("others", "other programs used 33% of the 1.5 cores that we may use")
    assert names(cpu=quoted.revised(machine=10.0 + 400.0)) == []


@pytest.mark.parametrize(
    ("sending", "latency", "names_"),
    [
        (Sending(few=True), {"p50": 50.0}, ["few requests"]),
        (Sending(few=True), {"p50": 50.0, "p95": 60.0, "p99": 70.0}, []),
        (Sending(few=True, unsent=3), {"p50": 50.0}, ["few requests", "cut short"]),
        (Sending(few=True, cold=True), {"p50": 50.0}, ["few requests", "cold"]),
    ],
)
def test_long_requests_are_doubted_by_what_they_do_not_tell(
    sending: Sending, latency: dict[str, float], names_: list[str]
) -> None:
    told = figures(requests=8, stable=None, latency_s=latency)
    assert names(figures=told, sending=sending) == names_


def test_nobody_is_told_to_send_hundreds_of_long_requests() -> None:
    one = record(**{**CLEAN, "figures": figures(requests=8, stable=None, latency_s={}), "sending": Sending(few=True)})
    (doubt,) = doubts.of_trial(one)
    assert doubt.what == "8 that take long tell a throughput and no p50 and no p95 and no p99"
    assert "459" not in str(doubt)


@pytest.mark.parametrize(
    ("span", "doubted"), [((95.0, 105.0), False), ((70.0, 150.0), False), ((20.0, 500.0), True), ((50.0, None), True)]
)
def test_a_single_trial_that_hardly_knows_its_throughput_is_doubted(
    span: tuple[float, float | None], doubted: bool, tmp_path: Path
) -> None:
    one = {**CLEAN, "figures": figures(throughput_span_per_s=Span(*span)), "measured_s": 10.0, "measured_requests": 1000}
    found = [name for name, _ in doubts.parts(summary.table([record(**one)], tmp_path).iloc[0]["doubts"])]
    assert found == (["1 trial", "wide"] if doubted else ["1 trial"])


@pytest.mark.parametrize(("idle", "doubted"), [(None, False), (0.02, False), (0.5, True)])
def test_long_requests_that_waited_beside_a_free_executor_are_doubted(idle: float | None, doubted: bool) -> None:
    told = figures(requests=8, stable=None, latency_s={"p50": 50.0, "p95": 50.0, "p99": 50.0})
    assert names(figures=told, sending=Sending(few=True), waited_while_idle=idle) == (["not full"] if doubted else [])
    assert "not full" not in names(waited_while_idle=idle), "short ones wait for every hand-over"
