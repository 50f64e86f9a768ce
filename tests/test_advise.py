"""Advice from made-up runs: bounds, vetoes, ties, what would change the answer, and what to paste."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from harness import cli
from harness.backends import cookbook
from harness.certainty.intervals import Span
from harness.decide.advise import candidates, constraints, data, overhead, pages, ranking, screen, settings, units
from harness.decide.advise.candidates import Candidate
from harness.decide.advise.constraints import Bound
from harness.errors import BadInput, Exit
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.records.cpu import CpuUse
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.sections import Figures
from harness.run.plan import NOT_BOUGHT
from harness.worker import own_settings
from tests import handmade

FORK = Cell(backend="tensorflow2", pool="prefork", concurrency=2)
SPAWN = replace(FORK, pool="prefork-spawn")
THREADS = replace(FORK, pool="threads")
IMPORT = replace(FORK, placement="import")
SOLO = replace(FORK, pool="solo", concurrency=1)
GREEN = replace(FORK, pool="gevent")


def trials(
    cell: Cell,
    *rates: float,
    p99_s: float | None = 0.02,
    mib: int = 500,
    end: Outcome = Outcome.OK,
    hung: int = 0,
    cause: str = "",
) -> list[TrialRecord]:
    """A trial for each rate, and `hung` more that hung."""
    ends = [end] * len(rates) + [Outcome.HUNG] * hung
    latency = {"p50": 0.01} | ({"p99": p99_s} if p99_s else {})
    return [
        handmade.record(
            cell_id=cell.id, cell=cell.as_dict(), trial=number, plan_key="k", started="2026-01-01T00:00:00+00:00", seconds=5.0,
            outcome=one, reason=f"it {one}", cause=cause, evidence="evidence/x" if one is not Outcome.OK else "",
            measured_s=5.0,
            measured_requests=500, peak_pss_bytes=mib << 20,
            figures=Figures(requests=500, throughput_per_s=rate, latency_s=latency) if one is Outcome.OK else None,
            cpu=CpuUse(
                window_s=5.0, cores=2, requests=500, worker=1.0, children=6.0, broker=0.1, client=0.1, machine=7.5, steal=0
            ),
        )
        for number, (rate, one) in enumerate(zip([*rates, *[1.0] * hung], ends, strict=True), 1)
    ]  # fmt: skip


def written(folder: Path, *groups: list[TrialRecord], cores: int = 2, quota: float | None = None) -> Path:
    folder.mkdir()
    (folder / "trials.jsonl").write_text("".join(to_line(record) for group in groups for record in group))
    (folder / "run.json").write_text(json.dumps({"machine": {"cores_available": cores, "cpu_quota_cores": quota}}))
    return folder


def advised(folder: Path, *groups: list[TrialRecord], **options: object) -> ranking.Advice:
    bounds = constraints.parse(**options)  # type: ignore[arg-type]
    run = written(folder / "run", *groups)
    (advice,) = ranking.advise(candidates.read_all([run], bounds), bounds)
    return advice


def test_advice_keeps_the_width_of_a_terminal_and_is_whole_lines_elsewhere(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, 99), trials(SPAWN, 60, 61, 59), trials(THREADS, hung=2))
    printed = {}
    for terminal in (True, False):
        console = Console(force_terminal=terminal, width=80, highlight=False, color_system=None)
        with console.capture() as found:
            screen.advice(console, [advice], None)
        printed[terminal] = found.get()
    pasted = {line for _, block in pages.blocks(advice.best[0])[:3] for line in block.splitlines()}
    assert [line for line in printed[True].splitlines() if len(line) > 80 and line.strip() not in pasted] == []
    assert "".join(printed[True].split()) == "".join(printed[False].split())
    assert all(line in printed[False].splitlines() for line in (pages.headline(advice), f"  {pages.lines(advice)[0]}"))


def test_the_fastest_that_keeps_the_bounds_is_the_answer(tmp_path: Path) -> None:
    groups = (trials(FORK, 100, 101, 99, p99_s=0.08), trials(SPAWN, 60, 61, 59), trials(SOLO, 20, 21, 20.5))
    plain = advised(tmp_path, *groups)
    assert [one.id for one in plain.best] == [FORK.id]
    (tmp_path / "b").mkdir()
    bound = advised(tmp_path / "b", *groups, latency=["p99=50ms"])
    assert [one.id for one in bound.best] == [SPAWN.id]
    assert [one.id for one in bound.unfit] == [FORK.id]
    assert bound.runner_up
    assert bound.runner_up.id == SOLO.id
    assert "without p99 <= 50 ms: " + FORK.id in " ".join(pages.lines(bound))
    assert "1.67 x" in " ".join(pages.lines(bound))


def fleet(
    *p99_ms: float | None, cell: Cell = FORK, own_ms: float | None = None, rates: Sequence[float] = ()
) -> list[TrialRecord]:
    """A fresh worker for each p99; `own_ms`: the end of each one's own interval."""

    def figures(rate: float, value: float | None) -> Figures:
        known = {} if value is None else {"p99": value / 1e3}
        own = {} if own_ms is None else {"p99": Span(0.001, own_ms / 1e3)}
        return Figures(requests=500, throughput_per_s=rate, latency_s={"p50": 0.005} | known, latency_span_s=own)

    every = rates or [100.0 + number for number in range(len(p99_ms))]
    pairs = zip(trials(cell, *every), p99_ms, strict=True)
    return [handmade.changed(one, figures=figures(rate, value)) for rate, (one, value) in zip(every, pairs, strict=True)]


def test_one_slow_worker_of_five_breaks_a_bound_that_the_middle_keeps(tmp_path: Path) -> None:
    advice = advised(tmp_path, fleet(20, 20, 20, 20, 500), latency=["p99=50ms"])
    assert advice.best == ()
    assert [one.id for one in advice.unfit] == [FORK.id]
    assert any("does not keep p99 <= 50 ms (a fresh worker has 500 ms)" in line for line in pages.lines(advice))


def test_a_bound_is_held_against_one_more_fresh_worker_and_not_against_those_that_were_met(tmp_path: Path) -> None:
    """20, 22 and 24 ms: one more is below 35 with 95 %; x or / exp(4.303 x sqrt(4/3) x 0.0912)."""
    for name, bound, best in (("below", "30ms", []), ("above", "40ms", [FORK.id])):
        (tmp_path / name).mkdir()
        advice = advised(tmp_path / name, fleet(20, 22, 24), latency=[f"p99={bound}"])
        assert [one.id for one in advice.best] == best
        assert advice.unfit == ()
    advice = advised(tmp_path, fleet(20, 22, 24), latency=["p99=30ms"])
    assert [one.id for one in advice.unknown] == [FORK.id]
    (line,) = advice.measure
    assert line.startswith(f"whether {FORK.id} keeps p99 <= 30 ms cannot be said: one more fresh worker may have 34.5")
    assert line.endswith("--repeat 5 may narrow that")


def test_fewer_than_three_workers_keep_no_bound_and_the_missing_ones_are_counted(tmp_path: Path) -> None:
    asked = {"latency": ["p99=50ms"], "memory": "4GiB", "min_throughput": 1.0, "cores": 2.0}
    for workers, missing in ((1, 2), (2, 1)):
        (tmp_path / str(workers)).mkdir()
        advice = advised(tmp_path / str(workers), fleet(*[20] * workers), **asked)
        assert advice.best == advice.unfit == ()
        assert [len(one.unknown) for one in advice.unknown] == [4]
        told = [line for line in advice.measure if f"it takes 3 fresh workers, {missing} more than there are" in line]
        assert len(told) == 4
    (tmp_path / "three").mkdir()
    assert [one.id for one in advised(tmp_path / "three", fleet(20, 20, 20), **asked).best] == [FORK.id]


def test_one_worker_is_enough_to_break_a_bound(tmp_path: Path) -> None:
    advice = advised(tmp_path, fleet(80), latency=["p99=50ms"])
    assert [one.id for one in advice.unfit] == [FORK.id]


def test_the_worst_workers_own_interval_counts_where_it_is_wider(tmp_path: Path) -> None:
    advice = advised(tmp_path, fleet(20, 20.1, 20.2, own_ms=60), latency=["p99=50ms"])
    assert [one.id for one in advice.unknown] == [FORK.id]
    assert "one more fresh worker may have 60 ms; more requests tell more of the worst of them" in advice.measure[0]


def test_a_worker_without_the_figure_is_not_left_out(tmp_path: Path) -> None:
    """It may be the slow one: it answered too few requests."""
    advice = advised(tmp_path, fleet(20, 20, 20, None), latency=["p99=50ms"])
    assert [one.id for one in advice.unknown] == [FORK.id]
    assert "--requests 459" in advice.measure[0]


def test_a_least_throughput_is_held_against_one_more_fresh_worker(tmp_path: Path) -> None:
    groups = fleet(20, 20, 20, rates=(100, 104, 96))  # one more: 81.9 at the least
    assert [one.id for one in advised(tmp_path, groups, min_throughput=80.0).best] == [FORK.id]
    for name, least, unfit in (("open", 90.0, 0), ("broken", 97.0, 1)):
        (tmp_path / name).mkdir()
        advice = advised(tmp_path / name, groups, min_throughput=least)
        assert advice.best == ()
        assert (len(advice.unfit), len(advice.unknown)) == (unfit, 1 - unfit)


def test_advice_says_what_share_of_worse_workers_so_few_can_miss(tmp_path: Path) -> None:
    advice = advised(tmp_path, fleet(20, 20, 20, 20, 20), latency=["p99=50ms"])
    assert [one.id for one in advice.best] == [FORK.id]
    assert any("a worse kind of worker could be 45 % of all" in line and "--repeat 59" in line for line in advice.measure)
    (tmp_path / "free").mkdir()
    assert advised(tmp_path / "free", fleet(20, 20, 20, 20, 20)).measure == ()


def test_a_configuration_that_hung_once_is_vetoed_with_its_evidence_whatever_its_pace(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, 99, hung=1), trials(SPAWN, 60, 61, 59))
    assert [one.id for one in advice.best] == [SPAWN.id]
    (vetoed,) = advice.vetoed
    assert vetoed.id == FORK.id
    assert f"vetoed: {FORK.id}: hung, it hung (evidence: {tmp_path}/run/evidence/x)" in pages.lines(advice)


@pytest.mark.parametrize("end", [Outcome.ERRORS, Outcome.WRONG, Outcome.CRASHED, Outcome.STALLED, Outcome.RESPAWNING])
def test_whatever_went_wrong_is_never_recommended(end: Outcome, tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, 99, end=end))
    assert advice.best == ()
    assert [one.id for one in advice.vetoed] == [FORK.id]


@pytest.mark.parametrize("end", [Outcome.SKIPPED, Outcome.INVALID])
def test_what_was_not_measured_is_neither_recommended_nor_vetoed(end: Outcome, tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 1, end=end), trials(SOLO, 20, 21))
    assert [one.id for one in advice.best] == [SOLO.id]
    assert advice.vetoed == ()


def test_what_cannot_be_told_from_the_fastest_is_in_the_set(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 104, 96), trials(SPAWN, 99, 103, 95), trials(SOLO, 50, 51, 49))
    assert {one.id for one in advice.best} == {FORK.id, SPAWN.id}
    assert advice.runner_up
    assert advice.runner_up.id == SOLO.id
    assert not advice.provisional
    assert "one fresh worker 81.92 - 121.9" in pages.answer(advice)[0]  # 99.95 x or / exp(4.303 x sqrt(4/3) x 0.04003)


def test_single_trials_give_provisional_advice_and_say_what_to_measure(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100), trials(SPAWN, 95), trials(SOLO, 50))
    assert {one.id for one in advice.best} == {FORK.id, SPAWN.id}
    assert advice.provisional
    assert any("--repeat 5" in line for line in advice.measure)


@pytest.mark.parametrize(("half", "alike"), [(20.0, True), (5.0, False)])
def test_single_trials_whose_intervals_overlap_are_not_told_apart(tmp_path: Path, half: float, alike: bool) -> None:
    groups = [
        [handmade.changed(one, figures=Figures(
            requests=500, throughput_per_s=rate, throughput_span_per_s=Span(rate - half, rate + half), latency_s={"p50": 0.01}
        )) for one in trials(cell, rate)]
        for cell, rate in ((FORK, 130.0), (SPAWN, 100.0))
    ]  # fmt: skip
    advice = advised(tmp_path, *groups)
    assert {one.id for one in advice.best} == ({FORK.id, SPAWN.id} if alike else {FORK.id})


@pytest.mark.parametrize(("requests", "alike"), [(5, True), (500, False)])
def test_a_pace_of_so_few_requests_that_nothing_bounds_it_is_told_from_none(tmp_path: Path, requests: int, alike: bool) -> None:
    def single(cell: Cell, rate: float) -> list[TrialRecord]:
        figures = Figures(requests=requests, throughput_per_s=rate, latency_s={})
        return [handmade.changed(one, figures=figures, requests=requests) for one in trials(cell, rate)]

    groups = [single(FORK, 400.0), single(SPAWN, 90.0)]
    assert len(advised(tmp_path, *groups).best) == (2 if alike else 1)


@pytest.mark.parametrize(("mib", "leads"), [(400, SPAWN), (495, FORK)])
def test_of_those_that_are_as_fast_the_smallest_leads_if_it_saves_memory(tmp_path: Path, mib: int, leads: Cell) -> None:
    groups = (trials(FORK, 100, 130, 70), trials(SPAWN, 97, 127, 67, mib=mib), trials(SOLO, 80, 110, 50, mib=300))
    advice = advised(tmp_path, *groups)
    assert advice.best[0].id == leads.id
    assert {one.id for one in advice.best[:2]} == {FORK.id, SPAWN.id}
    assert advice.best[2].id == SOLO.id  # it saves most, and is slower by the middle of its trials


def test_a_percentile_that_is_not_known_keeps_no_bound_and_names_the_requests_it_needs(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, p99_s=None), trials(SOLO, 50, 51, 52), latency=["p99=50ms"])
    assert [one.id for one in advice.best] == [SOLO.id]
    assert [one.id for one in advice.unknown] == [FORK.id]
    assert any(FORK.id in line and "--requests 459" in line for line in advice.measure)


def test_a_hang_rate_needs_enough_clean_workers(tmp_path: Path) -> None:
    few = advised(tmp_path, trials(FORK, *[100.0 + i % 3 for i in range(5)]), max_hang_rate="1%")
    assert few.best == ()
    assert any("--repeat 299" in line for line in few.measure)
    (tmp_path / "many").mkdir()
    many = advised(tmp_path / "many", trials(FORK, *[100.0 + i % 3 for i in range(60)]), max_hang_rate="5%")
    assert [one.id for one in many.best] == [FORK.id]


def test_the_answer_tells_where_another_begins(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, 99, mib=800), trials(THREADS, 60, 61, 59, mib=300))
    tighter = next(one for one in advice.sensitivity if one.change.startswith("with memory below 800 MiB"))
    assert tighter.candidate
    assert tighter.candidate.id == THREADS.id


def test_a_veto_of_one_run_is_not_hidden_by_another(tmp_path: Path) -> None:
    runs = [
        written(tmp_path / "a", trials(FORK, 100, 101, hung=1), trials(SOLO, 20, 21)),
        written(tmp_path / "b", trials(FORK, 100, 101)),
    ]
    for order in (runs, runs[::-1]):
        (advice,) = ranking.advise(candidates.read_all(order, ()), ())
        assert [one.id for one in advice.vetoed] == [FORK.id]
        assert [one.id for one in advice.best] == [SOLO.id]


def test_a_noisy_trial_takes_nothing_out_of_the_ranking(tmp_path: Path) -> None:
    noisy = [handmade.changed(one, trial=9, outcome=Outcome.INVALID, figures=None) for one in trials(FORK, 1)]
    advice = advised(tmp_path, [*trials(FORK, 100, 101, 99), *noisy], trials(SOLO, 50, 51, 49))
    assert [one.id for one in advice.best] == [FORK.id]


def test_a_lower_percentile_tells_that_a_bound_is_broken_and_not_that_it_is_kept(tmp_path: Path) -> None:
    bounds = {"latency": ["p99=5ms"]}  # the p50 of all is 10 ms
    advice = advised(tmp_path, trials(FORK, 100, 101, p99_s=None), **bounds)
    assert [one.id for one in advice.unfit] == [FORK.id]
    (tmp_path / "b").mkdir()
    advice = advised(tmp_path / "b", trials(FORK, 100, 101, p99_s=None), latency=["p99=20ms"])
    assert [one.id for one in advice.unknown] == [FORK.id]


def test_what_bounds_need_is_known_beforehand() -> None:
    assert constraints.needed(constraints.parse(latency=["p95=1s", "p99=2s"], max_hang_rate="5%")) == (459, 59)
    assert constraints.needed(constraints.parse(memory="1GiB")) == (1, 3)
    assert constraints.needed(()) == (1, 1)


def test_batches_are_compared_by_rows(tmp_path: Path) -> None:
    batch = replace(FORK, batch=8)
    advice = advised(tmp_path, trials(FORK, 100, 101), trials(batch, 50, 51))
    assert [one.id for one in advice.best] == [batch.id]
    assert advice.best[0].rows_per_s == pytest.approx(404, rel=0.01)


def test_each_model_has_an_answer_of_its_own(tmp_path: Path) -> None:
    run = written(tmp_path / "run", trials(FORK, 100, 101), trials(replace(FORK, workload="lstm"), 50, 51))
    assert [one.workload for one in ranking.advise(candidates.read_all([run], ()), ())] == ["digits-cnn", "lstm"]


def test_runs_of_two_processors_do_not_stand_side_by_side(tmp_path: Path) -> None:
    runs = [written(tmp_path / name, trials(FORK, 100, 101)) for name in "ab"]
    for run, processor in zip(runs, ("one", "other"), strict=True):
        (run / "run.json").write_text(json.dumps({"machine": {"cores_available": 2, "processor": processor}}))
    with pytest.raises(BadInput, match="different machines: processor one -> other"):
        candidates.read_all(runs, ())
    told = CliRunner().invoke(cli.command_line(), ["recommend", *map(str, runs)])
    assert told.exit_code != 0


def test_runs_of_different_machines_do_not_stand_side_by_side(tmp_path: Path) -> None:
    runs = [written(tmp_path / name, trials(FORK, 100, 101), cores=cores) for name, cores in (("a", 2), ("b", 8))]
    with pytest.raises(BadInput, match="different machines: cores_available 2 -> 8"):
        candidates.read_all(runs, ())


def test_runs_under_different_cpu_quotas_do_not_stand_side_by_side(tmp_path: Path) -> None:
    runs = [written(tmp_path / name, trials(FORK, 100, 101), quota=quota) for name, quota in (("a", None), ("b", 1.5))]
    with pytest.raises(BadInput, match=r"different machines: cpu_quota_cores None -> 1\.5"):
        candidates.read_all(runs, ())
    (bound,) = candidates.read_all(runs[1:], ())
    assert bound.row["cores_available"] == 1.5


@pytest.mark.parametrize(
    "options",
    [
        {"latency": ["p98=50ms"]}, {"latency": ["p99"]}, {"latency": ["p99=fast"]}, {"memory": "4 apples"}, {"memory": "0GiB"},
        {"max_hang_rate": "200%"}, {"max_hang_rate": "often"},
    ],
)  # fmt: skip
def test_a_bound_that_is_none_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        constraints.parse(**options)  # type: ignore[arg-type]


@given(value=st.floats(0.001, 1000), unit=st.sampled_from(["ms", "s", "us"]))
def test_a_bound_holds_just_below_it_and_not_just_above(value: float, unit: str) -> None:
    (bound,) = constraints.parse(latency=[f"p50={value:.6f}{unit}"])
    assert isinstance(bound, Bound)
    assert bound.keeps(bound.value)
    assert not bound.keeps(bound.value * 1.0001)


def test_the_code_to_paste_is_that_of_the_cookbook() -> None:
    book, cell = cookbook.of("tensorflow1"), Cell(backend="tensorflow1", pool="threads", call="graph", engine_threads="2x1")
    setup = settings.of(cell)
    load = book.load("graph", path="'model.h5'", intra=2, inter=1)
    pasted = f"{load}\n\n{book.place('graph', 'first-task')}\n\n{book.task('graph', 'first-task')}\n"
    assert setup.code == f"import numpy\nimport threading\n\n{pasted}", "with the imports that it needs"
    assert setup.environment == book.variables(2, 1)


def test_what_another_version_of_the_harness_served_cannot_be_pasted() -> None:
    with pytest.raises(BadInput, match="no cookbook of the backend 'cntk'"):
        settings.of(Cell(backend="cntk", pool="threads"))


@pytest.mark.parametrize("pool", sorted(POOLS))
def test_the_command_line_is_the_one_that_was_measured(pool: str) -> None:
    setup = settings.of(replace(FORK, pool=pool, concurrency=3, prefetch=1, max_tasks=100))
    assert setup.line.startswith("celery --app proj.tasks:app worker --pool ")
    for word in (*POOLS[pool].arguments, "--concurrency 3", "--prefetch-multiplier 1", "--max-tasks-per-child 100"):
        assert word in setup.line
    assert setup.line in units.systemd(setup)
    assert '"--prefetch-multiplier", "1"' in units.compose(setup)


def test_answers_that_nobody_compared_are_neither_advised_nor_vetoed(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, end=Outcome.UNCHECKED), trials(SPAWN, 50, 51))
    assert [one.id for one in advice.best] == [SPAWN.id]
    assert advice.vetoed == ()
    assert f"the answers of {FORK.id} were compared with nothing" in " ".join(advice.measure)
    unchecked = [one for one in advice.unused if one.id == FORK.id]
    assert candidates.comparable(unchecked) == "probe again with --check"
    checked = [replace(one, application={"check": "result == 200"}) for one in unchecked]
    assert "a pickle is not" in candidates.comparable(checked), "they had a check already"


def test_the_ways_in_the_same_pool_that_fail_are_named_with_the_change(tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101), trials(IMPORT, 1, end=Outcome.HUNG))
    said = pages.change(advice.best[0], advice)
    assert said[0] == "load the model in the first task of each process; call it by `predict`"
    assert said[1].startswith("not: load the model at import; call it by `predict`: it hung in")


def test_the_command_writes_everything_and_fails_where_there_is_no_advice(tmp_path: Path) -> None:
    run = written(tmp_path / "run", trials(FORK, 100, 101, 99), trials(IMPORT, 1, end=Outcome.HUNG))
    files = ["--json", str(tmp_path / "a.json"), "--markdown", str(tmp_path / "a.md")]
    told = CliRunner().invoke(cli.command_line(), ["recommend", str(run), "--memory", "4GiB", *files])
    assert told.exit_code == 0, told.stdout
    assert told.stdout.startswith(f"digits-cnn, closed-4: use {FORK.id} that keeps memory <= 4096 MiB")
    assert "8 would fit into 4096 MiB" in told.stdout
    (data,) = json.loads((tmp_path / "a.json").read_text())
    assert data["best"][0]["cell"] == FORK.id
    assert "celery --app proj.tasks:app worker --pool prefork --concurrency 2" in (tmp_path / "a.md").read_text()
    none = CliRunner().invoke(cli.command_line(), ["recommend", str(run), "--latency", "p99=1ms"])
    assert none.exit_code == Exit.NO_ADVICE
    assert "no configuration" in none.stdout


def test_an_application_of_ones_own_keeps_its_code_and_gets_its_change(tmp_path: Path) -> None:
    own = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
    threads = replace(own, pool="threads")
    diff = "--- a/shop.py\n+++ b/shop.py\n@@ -1 +1 @@\n-model = load_model('m')  # ```\n+model = None\n"
    change = {"file": "shop.py", "line": 3, "statement": "model = load_model('m')", "diff": diff, "why_not": ""}
    run = written(tmp_path / "run", trials(own, 1, end=Outcome.HUNG, cause="fork-lost-threads"), trials(threads, 50, 51, 52))
    header: dict[str, dict[str, object]] = {
        "machine": {"cores_available": 2},
        "application": {"app": "shop:app", "queue": "rare", "folder": "shop", "changes": [change]},
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(header))
    (advice,) = ranking.advise(candidates.read_all([run], ()), ())
    assert [one.id for one in advice.best] == [threads.id]
    ((words, shown),) = pages.code_changes(advice)
    assert "prefork hung (evidence: " in words
    assert "line 3 of shop.py" in words
    assert f"patch -d shop -p1 < {run}/code-change.diff" in words
    assert shown == diff
    text = pages.markdown([advice])
    assert f"````diff\n{diff}````" in text
    assert "celery --app shop:app worker --pool threads --concurrency 2 --queues rare" in text
    assert "load_model(" not in text.replace(diff, "").replace("load\\_model", "").partition("Command line")[2]
    header["application"]["changes"] = []
    (run / "run.json").write_text(json.dumps(header))
    (advice,) = ranking.advise(candidates.read_all([run], ()), ())
    assert "so no change of code is proposed" in pages.code_changes(advice)[0][0]
    text = pages.markdown([advice])
    assert "compared with the other pools: only prefork does it (threads is not affected)" in text
    assert "what helps against fork-lost-threads: make what has threads of its own" in text
    for cause in ("deadlock", "native-spin", ""):
        other = written(tmp_path / f"of-{cause}", trials(own, 1, end=Outcome.HUNG, cause=cause), trials(threads, 50, 51, 52))
        (other / "run.json").write_text(json.dumps(header))
        (advice,) = ranking.advise(candidates.read_all([other], ()), ())
        assert pages.code_changes(advice) == [], "what does not come from the fork is helped by no other place of loading"
    alone = written(tmp_path / "alone", trials(own, 1, end=Outcome.ERRORS), trials(threads, 1, end=Outcome.ERRORS))
    (alone / "run.json").write_text(json.dumps(header))
    (advice,) = ranking.advise(candidates.read_all([alone], ()), ())
    assert pages.code_changes(advice) == [], "it fails whatever the pool: loading elsewhere is no help"


def test_variables_of_an_application_are_named_where_it_is_started(tmp_path: Path) -> None:
    own = Cell(backend=OWN_APP, pool="threads", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
    setup = settings.of(own, {"app": "shop:app", "queue": "", "env_file": "shop.env"})
    assert setup.shell.splitlines() == ["set -a; . ./shop.env; set +a", setup.line]
    assert "EnvironmentFile=/PATH/TO/shop.env" in units.systemd(setup)
    assert 'env_file: "shop.env"' in units.compose(setup)


def test_what_is_pasted_starts_the_worker_that_was_measured_in_an_empty_shell(tmp_path: Path) -> None:
    own = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
    run = written(tmp_path / "run", trials(own, 50, 51, 52))
    told = {"folder": "../my shop", "python": "../my shop/venv/bin/python", "env_file": "../shop.env"}
    header = {
        "machine": {},
        "application": {"app": "shop:app", "queue": "", "from_here": told, "celery": [5, 7], "changes": []},
    }
    (run / "run.json").write_text(json.dumps(header))
    (one,) = candidates.read_all([run], ())
    setup = settings.of(one.cell, one.application)
    python = f"'{tmp_path}/my shop/venv/bin/python'"
    assert setup.shell.splitlines() == [
        f"cd '{tmp_path}/my shop'",
        f"set -a; . {tmp_path}/shop.env; set +a",
        f"{python} -m celery --app shop:app worker --pool processes --concurrency 2 --pool-start-method fork "
        "--loglevel WARNING --without-mingle",
    ]
    unit = units.systemd(setup)
    assert f"WorkingDirectory={tmp_path}/my shop\n" in unit
    assert f'ExecStart="{tmp_path}/my shop/venv/bin/python" -m celery' in unit
    assert f"EnvironmentFile={tmp_path}/shop.env" in unit
    assert 'command: ["python", "-m", "celery", "--app"' in units.compose(setup)


OWN = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")


def of_own(folder: Path, *groups: list[TrialRecord], memory: str = "") -> ranking.Advice:
    run, bounds = written(folder, *groups), constraints.parse(memory=memory)
    told = {"app": "shop:app", "queue": "", "celery": [5, 7], "changes": [], "one_thread": {"OMP_NUM_THREADS": "1"}}
    (run / "run.json").write_text(json.dumps({"machine": {"cores_available": 2}, "application": told}))
    (advice,) = ranking.advise(candidates.read_all([run], bounds), bounds)
    return advice


@pytest.mark.parametrize("rates", [[(10,), (31,)], [(10, 10.1, 9.9), (31, 31.2, 30.8)]])
def test_a_sibling_that_helps_is_advised_with_its_variables_and_what_it_brought(
    tmp_path: Path, rates: list[tuple[float, ...]]
) -> None:
    plain, one = (trials(cell, *paces) for cell, paces in zip((OWN, OWN.sibling()), rates, strict=True))
    advice = of_own(tmp_path / "run", plain, one, trials(replace(OWN, pool="threads"), *(1.5 * rate for rate in rates[0])))
    assert [each.id for each in advice.best] == [OWN.sibling().id]
    text = pages.markdown([advice])
    assert f"with OMP_NUM_THREADS=1: {OWN.sibling().id} has 3.10 x the throughput of {OWN.id}" in text.replace("\\", "")
    assert "export OMP_NUM_THREADS=1\ncelery --app shop:app worker" in text
    assert 'Environment="OMP_NUM_THREADS=1"' in text
    assert 'OMP_NUM_THREADS: "1"' in text
    assert "its native libraries are given one thread each" in text
    assert json.loads(data.as_json([advice]))[0]["best"][0]["setup"]["environment"] == {"OMP_NUM_THREADS": "1"}
    assert settings.of(OWN, {"app": "shop:app", "queue": "", "one_thread": {"OMP_NUM_THREADS": "1"}}).environment == {}


@pytest.mark.parametrize("rates", [(10.5,), (9.0,), (10.1, 10.2, 9.9)])
def test_a_sibling_that_brought_nothing_is_said_to_and_not_advised(tmp_path: Path, rates: tuple[float, ...]) -> None:
    advice = of_own(tmp_path / "run", trials(OWN, *[10.0] * len(rates)), trials(OWN.sibling(), *rates, mib=100))
    assert [each.id for each in advice.best] == [OWN.id]
    assert advice.runner_up is None
    (line,) = advice.siblings
    assert line.endswith(f"x the throughput of {OWN.id}, so it brought nothing")


def test_a_sibling_that_brought_no_pace_may_still_keep_a_bound_that_its_pool_does_not(tmp_path: Path) -> None:
    groups = trials(OWN, 10, 10.1, 9.9), trials(OWN.sibling(), 10, 10.1, 9.9, mib=100)
    advice = of_own(tmp_path / "run", *groups, memory="200MiB")
    assert [each.id for each in advice.best] == [OWN.sibling().id]


def test_a_sibling_whose_trials_differ_too_much_is_judged_like_any_other_cell(tmp_path: Path) -> None:
    advice = of_own(tmp_path / "run", trials(OWN, 10, 11, 9), trials(OWN.sibling(), 10, 90, 30))
    assert {each.id for each in advice.best} == {OWN.id, OWN.sibling().id}
    assert advice.siblings[0].endswith("but the trials differ too much to be sure")


def test_a_sibling_stands_alone_where_its_pool_fails(tmp_path: Path) -> None:
    advice = of_own(tmp_path / "run", trials(OWN, 10, end=Outcome.WRONG), trials(OWN.sibling(), 9))
    assert ([each.id for each in advice.best], advice.siblings) == ([OWN.sibling().id], ())


def test_words_of_others_are_text_in_markdown(tmp_path: Path) -> None:
    records = [handmade.changed(one, reason="<b>x</b> `y` [z](http://w)\nnew") for one in trials(IMPORT, 1, end=Outcome.ERRORS)]
    advice = advised(tmp_path, trials(FORK, 100, 101), records)
    page = pages.markdown([advice])
    assert "<b>" not in page.replace("\\<b", "")
    assert "\nnew" not in page


def test_a_candidate_knows_its_question() -> None:
    one = Candidate(cell=FORK, row={}, paces=(), run="r", outcome=Outcome.OK, reason="")
    assert one.question == ("digits-cnn", "closed-4")
    assert not one.measured


def test_among_ties_the_smaller_memory_leads(tmp_path: Path) -> None:
    big, small = FORK, replace(FORK, pool="threads")
    groups = [
        [record.changed(memory={"peak_pss_bytes": size}) for record in trials(cell, *paces)]
        for cell, size, paces in ((big, 300 * 2**20, (101, 102, 103)), (small, 100 * 2**20, (100, 101, 102)))
    ]
    advice = advised(tmp_path, *groups)
    assert [one.id for one in advice.best] == [small.id, big.id]


def short(one: Candidate, call_s: float | None = 0.0001, null: float | None = None) -> Candidate:
    """A task that takes so long without Celery; `null`: the share of the pace of a request that computes nothing."""
    usual_s = 4 / one.row["throughput_per_s"]
    row = {
        **one.row,
        "baseline_predict_s": call_s,
        "overhead_fraction": null,
        "latency_p50_s": usual_s,
        "predict_p50_s": call_s,
    }
    return replace(one, row=row)


def measured(folder: Path, *groups: list[TrialRecord], **options: object) -> tuple[list[Candidate], tuple[Bound, ...]]:
    bounds = constraints.parse(**options)  # type: ignore[arg-type]
    return candidates.read_all([written(folder / "run", *groups)], bounds), bounds


@pytest.mark.parametrize(("call_s", "said"), [(0.0001, True), (0.005, False), (None, False)])
def test_what_celery_costs_per_request_is_said_if_it_decides(call_s: float | None, said: bool, tmp_path: Path) -> None:
    advice = advised(tmp_path, trials(FORK, 100, 101, 102))
    (one,) = advice.best
    told = overhead.overhead([short(one, call_s)])
    assert told.startswith("what Celery costs per request decides") is said
    assert ("a call takes 0.1 ms without it, and with it 101 are served per second" in told) is said
    assert overhead.overhead([]) == ""


@pytest.mark.parametrize(
    ("rate", "usual_s", "mean_s", "said"),
    [
        (1.162, 0.101, 1.717, ""),  # a third of the rows takes 5 s: two executors are busy all the time
        (0.01, 0.101, 1.717, "a call takes 1717 ms in the mean without it, and with it 0.01 are served per second"),
        (100.0, 0.0001, 0.0013, "a call takes 0.1 ms without it"),  # what lies between two serial calls is our own
        (1.162, 0.101, None, "a call takes 101 ms without it"),
    ],
)
def test_if_some_calls_are_long_the_mean_tells_whether_celery_costs(
    rate: float, usual_s: float, mean_s: float | None, said: str, tmp_path: Path
) -> None:
    (one, *_), _ = measured(tmp_path, trials(FORK, 100, 101, 102))
    row = {
        **one.row,
        "throughput_per_s": rate,
        "latency_p50_s": 4 / rate,
        "baseline_predict_s": usual_s,
        "baseline_mean_s": mean_s,
    }
    told = overhead.overhead([replace(one, row={**row, "predict_p50_s": usual_s, "overhead_fraction": None})])
    assert said in told
    assert bool(told) is bool(said)


def test_the_mean_serial_call_is_read_of_the_calls_without_celery(tmp_path: Path) -> None:
    alone = trials(FORK.baseline(), 10, 20, 40)
    (one,), _ = measured(tmp_path, trials(FORK, 100, 101, 102), alone)
    assert one.row["baseline_mean_s"] == pytest.approx(0.05)
    (tmp_path / "without").mkdir()
    (one,), _ = measured(tmp_path / "without", trials(FORK, 100, 101, 102))
    assert one.row["baseline_mean_s"] is None


OLD = replace(FORK, backend="tensorflow1")


def of_releases(folder: Path, *groups: tuple[list[TrialRecord], str]) -> ranking.Advice:
    """Each group with the release of TensorFlow that its trials ran on."""
    return advised(
        folder, *([one.changed(asked={"versions": {"tensorflow": version}}) for one in group] for group, version in groups)
    )


def test_each_engine_has_its_answer_and_one_past_its_end_of_life_is_never_the_headline(tmp_path: Path) -> None:
    new = (trials(FORK, 30, 31, 32), "2.21.0"), (trials(SOLO, 20, 20, 21), "2.21.0")
    old = (trials(OLD, 500, 501, 502), "1.15.5")
    advice = of_releases(tmp_path, *new, old)
    assert [one.id for one in advice.best] == [FORK.id]
    assert advice.runner_up
    assert advice.runner_up.id == SOLO.id
    assert [(one.engine, one.best[0].id) for one in advice.engines] == [("tensorflow2", FORK.id), ("tensorflow1", OLD.id)]
    assert pages.headline(advice) == (
        f"digits-cnn, closed-4: use {FORK.id}: 31 rows/s, p50 10 ms, 500 MiB in 3 trials; of the engines that are maintained, "
        "tensorflow2 was measured"
    )
    first, second, *_ = pages.lines(advice)
    assert first.startswith(f"with tensorflow2: use {FORK.id}: 30.99 rows/s (28.6 - 33.58 at 95 %")
    assert second.startswith(f"with tensorflow1: use {OLD.id}: 501 rows/s (")
    assert second.endswith("tensorflow 1.15.5 is past its end of life: the last release, 1.15.5, is of January 2021")
    (told,) = json.loads(data.as_json([advice]))
    assert [(one["engine"], bool(one["ended"]), one["best"][0]["cell"]) for one in told["engines"]] == [
        ("tensorflow2", False, FORK.id), ("tensorflow1", True, OLD.id)
    ]  # fmt: skip


def test_an_engine_past_its_end_of_life_is_advised_if_no_other_serves_and_says_so(tmp_path: Path) -> None:
    hung, old = (trials(FORK, hung=1), "2.21.0"), (trials(OLD, 500, 501, 502), "1.13.1")
    advice = of_releases(tmp_path, hung, old)
    assert [one.id for one in advice.best] == [OLD.id]
    assert pages.lines(advice)[0] == "with tensorflow2: no configuration can be recommended from these data"
    assert "past its end of life" in pages.lines(advice)[1]
    (tmp_path / "alone").mkdir()
    alone = of_releases(tmp_path / "alone", old)
    assert alone.engines == ()
    assert any(line.startswith("note: tensorflow 1.13.1 is past its end of life") for line in pages.lines(alone))


def test_an_interpreter_past_its_end_of_life_is_noted(tmp_path: Path) -> None:
    run = written(tmp_path / "run", trials(FORK, 30, 31, 32))
    (run / "run.json").write_text(json.dumps({"environments": {"tensorflow2": {"interpreter": "3.7.17"}}}))
    (advice,) = ranking.advise(candidates.read_all([run], ()), ())
    assert "note: Python 3.7 is past its end of life since June 2023" in pages.lines(advice)


def test_no_winner_is_named_if_celerys_overhead_decides(tmp_path: Path) -> None:
    groups = (trials(FORK, 650, 651, 652), trials(SOLO, 160, 161, 162), trials(IMPORT, 1, hung=1))
    known, bounds = measured(tmp_path, *groups, memory="4GiB")
    (advice,) = ranking.advise(map(short, known), bounds)
    assert (advice.best, advice.runner_up, advice.sensitivity, advice.provisional) == ((), None, (), False)
    head = "digits-cnn, closed-4: no pool is the best, Celery's own overhead decides; any of these 2 serves it and keeps memory"
    assert pages.headline(advice).startswith(head)
    said = pages.lines(advice)
    assert said[0].endswith("a call takes 0.1 ms without it, and with it 161 to 651 are served per second")
    assert said[1].startswith("what helps: several rows per request")
    assert [line.partition(": ")[2].partition(":")[0] for line in said if line.startswith("serves, keeps memory")] == [
        FORK.id, SOLO.id
    ]  # fmt: skip
    assert any(line.startswith(f"vetoed: {IMPORT.id}: hung") for line in said)
    (told,) = json.loads(data.as_json([advice]))
    assert (told["best"], told["runner_up"], [one["cell"] for one in told["alike"]]) == ([], None, [FORK.id, SOLO.id])
    assert len(told["what_helps"]) == 3
    page = pages.markdown([advice])
    assert page.startswith("## digits-cnn, closed-4: no pool is the best, Celery's own overhead decides")
    assert f"- {FORK.id}, which takes the least memory of them, starts so:" in page.replace("\\", "")
    assert "--pool prefork" in page
    assert "best: " not in page


def test_no_winner_is_named_if_the_tasks_own_rate_limit_decides(tmp_path: Path) -> None:
    reason = f"all right; its rate limit lets a worker begin 4 per second: {overhead.SETS_THE_PACE}"
    known, bounds = measured(tmp_path, trials(FORK, 2.9, 2.9, 2.9), trials(SOLO, 4.1, 4.1, 4.1))
    (advice,) = ranking.advise([replace(one, reason=reason) for one in known], bounds)
    assert (advice.best, advice.runner_up, {one.id for one in advice.alike}) == ((), None, {FORK.id, SOLO.id})
    assert ": no pool is the best, the task's own rate limit decides; any of these 2 serves it" in pages.headline(advice)
    said = pages.lines(advice)
    assert said[0].endswith("2.9 to 4.1 are served per second")
    assert said[1] == "what helps: raise rate_limit, or start more workers: each has a limit of its own"
    (told,) = json.loads(data.as_json([advice]))
    assert (told["rate_limit"], told["overhead"], len(told["what_helps"])) == (said[0], "", 1)
    (other,) = ranking.advise([replace(known[0], reason=reason), known[1]], bounds)
    assert [one.id for one in other.best] == [SOLO.id], "one that no limit holds back"


def idle(one: Candidate, cores: float | None = 0.04, lacked: float | None = 0.05) -> Candidate:
    """A worker on two cores that used so many of them, and lacked so many."""
    row = {"cpu_saturation": None if cores is None else cores / 2, "cores_available": 2, "run_queue_wait_s_per_s": lacked}
    return replace(one, row={**one.row, **row})


def test_no_winner_is_named_if_requests_are_put_off_and_nobody_works_meanwhile(tmp_path: Path) -> None:
    """Each request retries after 1 s, or has a countdown of 3 s: neither Celery nor the task takes that time."""
    known, bounds = measured(tmp_path, trials(FORK, 3.9, 3.9, 3.9), trials(SOLO, 4.0, 4.0, 4.0))
    (advice,) = ranking.advise([idle(short(one)) for one in known], bounds)
    assert (advice.best, advice.overhead, {one.id for one in advice.alike}) == ((), "", {FORK.id, SOLO.id})
    assert ": no pool is the best, what requests wait for decides; any of these 2 serves it" in pages.headline(advice)
    said = pages.lines(advice)
    assert said[0] == (
        "what requests wait for decides, not the pool: one takes 1026 ms, and 0.1 ms without Celery, and nobody works for most "
        "of that; 3.9 to 4 are served per second"
    )
    assert said[1] == f"what helps: {overhead.AGAINST_WAITING[0]}"
    (told,) = json.loads(data.as_json([advice]))
    assert (told["waiting"], told["overhead"], told["rate_limit"], len(told["what_helps"])) == (said[0], "", "", 1)


@pytest.mark.parametrize(("cores", "lacked"), [(0.6, 0.0), (0.1, 0.3), (None, 0.0)])
def test_who_works_or_lacks_a_core_is_not_said_to_wait(cores: float | None, lacked: float, tmp_path: Path) -> None:
    known, _ = measured(tmp_path, trials(FORK, 100, 101, 102))
    each = [idle(short(one), cores, lacked) for one in known]
    assert (overhead.waited(each), bool(overhead.overhead(each))) == ("", True)


def test_a_task_that_waits_itself_is_no_request_that_was_put_off(tmp_path: Path) -> None:
    """Two processes sleep for 5 s in each request, beside programs that use the cores."""
    (one,), _ = measured(tmp_path, trials(FORK, 0.4, 0.4, 0.4))
    slept = idle(short(one, call_s=5.0))
    row = {**slept.row, "others_cpu_share": 0.8, "cpu_s_per_request": 0.008}
    assert overhead.waited([replace(slept, row=row)]) == ""
    waits = replace(slept, row={**row, "predict_p50_s": 0.001})
    assert overhead.waited([waits]) != ""
    assert overhead.waited([replace(waits, reason=f"worker_max_tasks_per_child {overhead.REPLACES} 1 tasks")]) == ""


def test_nothing_is_said_of_waiting_or_of_celery_if_only_one_of_the_pools_waits(tmp_path: Path) -> None:
    known, _ = measured(tmp_path, trials(FORK, 4.0, 4.0, 4.0), trials(SOLO, 4.0, 4.0, 4.0))
    first, second = map(short, known)
    assert overhead.waited([idle(first), second]) == overhead.overhead([idle(first), second]) == ""


@pytest.mark.parametrize(("slow", "alike"), [(GREEN, [FORK.id, SOLO.id]), (FORK, [])])
def test_a_slower_pool_that_its_tasks_keep_busy_makes_no_winner_of_the_others(
    slow: Cell, alike: list[str], tmp_path: Path
) -> None:
    """Beside other programs, a task of 0.1 ms took 32 ms in greenlets. If it is the fastest that is busy, the task decides."""
    groups = (trials(FORK, 650, 651, 652), trials(SOLO, 560, 561, 562), trials(GREEN, 100, 101, 102))
    known, bounds = measured(tmp_path, *groups)
    each = [short(one) for one in known]
    busy = [replace(one, row={**one.row, "predict_p50_s": 0.032}) if one.cell == slow else one for one in each]
    (advice,) = ranking.advise(busy, bounds)
    assert sorted(one.id for one in advice.alike) == sorted(alike)
    if alike:
        assert [one.id for one in advice.slower] == [GREEN.id]


@pytest.mark.parametrize(
    ("others", "cpu_s", "alike"),
    [(0.8, 0.003, True), (0.1, 0.003, False), (0.8, 0.011, False), (None, 0.003, False), (0.8, None, False)],
)
def test_a_task_that_waits_for_a_core_beside_other_programs_keeps_no_executor_busy(
    others: float | None, cpu_s: float | None, alike: bool, tmp_path: Path
) -> None:
    """A query of 0.4 ms took 12 ms in its worker, with 3 ms of CPU time for all that a request needs."""
    known, bounds = measured(tmp_path, trials(FORK, 100, 101, 102), trials(SOLO, 60, 61, 62))
    row = {"predict_p50_s": 0.012, "others_cpu_share": others, "cpu_s_per_request": cpu_s}
    (advice,) = ranking.advise([replace(one, row={**one.row, **row}) for one in map(short, known)], bounds)
    assert (len(advice.alike), bool(advice.best)) == ((2, False) if alike else (0, True))


def test_one_configuration_that_alone_serves_is_the_answer_though_overhead_decides(tmp_path: Path) -> None:
    known, bounds = measured(tmp_path, trials(FORK, 1, hung=1), trials(SOLO, 160, 161, 162))
    (advice,) = ranking.advise(map(short, known), bounds)
    assert ([one.id for one in advice.best], advice.alike) == ([SOLO.id], ())
    assert pages.headline(advice) == f"digits-cnn, closed-4: use {SOLO.id}: 161 rows/s, p50 24.8 ms, 500 MiB in 3 trials"
    assert advice.overhead.endswith("and with it 161 are served per second")


@pytest.mark.parametrize(
    "changed", ["traffic", "null", "rate limit", "not known", "replaced", "often", "a few long ones", "the task itself"]
)
def test_overhead_does_not_decide_if_something_else_bounds_the_pace(changed: str, tmp_path: Path) -> None:
    known, _ = measured(tmp_path, trials(FORK, 100, 101, 102), trials(SOLO, 50, 51, 52))
    first, second = map(short, known)
    others = {
        "traffic": replace(first, cell=replace(FORK, traffic="poisson-100")),
        "null": short(first, null=0.2),
        "rate limit": replace(first, notes=(f"kept: rate_limit = 100/s: {overhead.RATE_LIMITED}",)),
        "not known": short(first, call_s=None),
        "replaced": replace(first, doubts=("starved: for 63% of the time, and 39 children were replaced",)),
        "often": replace(first, reason=f"all right; worker_max_tasks_per_child {overhead.REPLACES} 1 tasks"),
        "a few long ones": replace(first, row={**first.row, "latency_p50_s": 0.002}),
        "the task itself": replace(first, row={**first.row, "predict_p50_s": 0.015}),
    }
    assert overhead.overhead([first, second]) != ""
    assert overhead.overhead([others[changed], second]) == ""
    assert overhead.overhead([short(first, null=0.9), second]) != ""


def test_a_pool_that_is_far_slower_than_overhead_makes_one_is_told_beside_the_others_and_makes_none_the_best(
    tmp_path: Path,
) -> None:
    slow = replace(FORK, pool="gevent")
    known, bounds = measured(tmp_path, trials(FORK, 500, 501, 502), trials(SOLO, 200, 201, 202), trials(slow, 40, 41, 42))
    (advice,) = ranking.advise([replace(short(one), application={"app": "shop"}) for one in known], bounds)
    assert (advice.best, {one.id for one in advice.alike}) == ((), {FORK.id, SOLO.id})
    assert ([one.id for one in advice.slower], advice.runner_up) == ([slow.id], None)
    assert any(line.startswith(f"slower: {slow.id}: 0.082 x the fastest of these") for line in pages.answer(advice))


def test_a_worker_of_a_mix_is_started_with_all_the_queues_of_its_tasks() -> None:
    told = {"app": "shop:app", "queue": "", "queues": "celery,rare"}
    assert "--queues celery,rare" in settings.of(OWN, told).line
    assert "--queues" not in settings.of(OWN, {**told, "queues": ""}).line
    before = {"app": "shop:app", "queue": "rare"}
    assert "--queues rare" in settings.of(OWN, before).line, "a probe made before there were mixes"


def test_a_note_of_a_rate_limit_is_known_by_its_words() -> None:
    told = [row for row in (*own_settings.KEPT, *own_settings.OPTIONS) if overhead.RATE_LIMITED in row]
    assert [row.name for row in told] == ["task_default_rate_limit", "rate_limit"]


def test_advice_on_an_application_says_how_requests_ended_and_what_decides(tmp_path: Path) -> None:
    doubt = "no consumer: 9 messages of tasks.index wait in queue bulk, which this worker does not consume, count that work in"
    cells = [OWN, *(replace(OWN, pool=pool) for pool in ("threads", "gevent"))]
    first, second, third = (
        trials(cell, rate, 1.01 * rate, 1.02 * rate) for cell, rate in zip(cells, (100, 50, 1), strict=True)
    )
    told = [one.changed(certainty={"doubts": [doubt, "1 trial: how much"]}) for one in first]
    said = pages.lines(of_own(tmp_path / "run", told, second, third))
    assert [line.partition(": ")[0] for line in said if cells[2].id in line][:1] == ["slower"]
    assert f"answers: {OWN.id}: it ok" in said
    assert f"doubt: {OWN.id}: {doubt}" in said
    assert not any("1 trial: how much" in line for line in said)
    uneven = [line for line in said if line.endswith(pages.UNEVEN)]  # 4 in flight and 100 a second are no 10 ms each
    assert [line.split(": ")[1] for line in uneven] == [cell.id for cell in cells]


def test_what_answers_rightly_and_has_no_figures_is_no_hidden_fault(tmp_path: Path) -> None:
    why = "machine too noisy: others used 99% of the cores that we may use"
    silent = [
        one.changed(certainty={"figures": None, "unusable": why, "notes": ["the task's rate_limit '6/m' is kept"]})
        for one in trials(OWN, 10)
    ]
    advice = of_own(tmp_path / "run", silent)
    assert pages.headline(advice).endswith(
        "all answers were right in prefork; the machine was too busy to say which is fastest"
    )
    said = pages.lines(advice)
    assert f"not used: {OWN.id}: ok, it ok; its figures cannot be used: {why}" in said
    again = "measure again, --retry invalid (after harness tune: the same command)"
    assert f"to measure: no configuration ended ok with figures that can be used: {again}" in said
    assert "note: the task's rate_limit '6/m' is kept" in said
    beside = of_own(tmp_path / "beside", silent, trials(replace(OWN, pool="threads"), 20))
    assert beside.shown is not None
    assert beside.shown.cell.pool == "threads"
    assert pages.headline(beside).endswith("; not compared: prefork (all answers right, no figures that can be used)")
    fewer = of_own(tmp_path / "fewer", silent, trials(replace(OWN, concurrency=1), 20))
    assert pages.headline(fewer).endswith(f"; not compared: {OWN.id} (all answers right, no figures that can be used)")


def test_why_a_pool_fails_is_told_with_its_place(tmp_path: Path) -> None:
    hung = [one.changed(ended={"support": ["the child waits for a lock", "the stack ends in load (tasks.py:29)"]})
            for one in trials(OWN, hung=1, cause="fork-held-lock")]  # fmt: skip
    said = pages.lines(of_own(tmp_path / "run", hung, trials(replace(OWN, pool="threads"), 100)))
    assert "why prefork failed: the child waits for a lock; the stack ends in load (tasks.py:29)" in said


def test_what_a_budget_did_not_buy_is_said_in_the_answer(tmp_path: Path) -> None:
    reason = f"{NOT_BOUGHT} of 15 min 00 s: it takes about 5 min 05 s, and 4 min 27 s are left"
    lacking = [
        handmade.record(cell_id=cell.id, cell=cell.as_dict(), outcome=Outcome.SKIPPED, reason=reason)
        for cell in (replace(THREADS, pool="gevent"), replace(THREADS, pool="eventlet"), replace(FORK, concurrency=4))
    ]
    advice = advised(tmp_path, trials(FORK, 100, 101, 99), *([one] for one in lacking))
    lacks = f"not measured within the budget: gevent, eventlet, {lacking[-1].cell_id}"
    assert pages.headline(advice).endswith(f"use {FORK.id}: 100 rows/s, p50 10 ms, 500 MiB in 3 trials; {lacks}")
    assert json.loads(data.as_json([advice]))[0]["not_measured_within_the_budget"] == list(advice.unbought)


def test_a_unit_names_the_application_that_it_starts() -> None:
    own = settings.of(replace(THREADS, backend=OWN_APP, placement=AS_WRITTEN), {"app": "shop:app", "queue": ""})
    assert "Description=Celery worker of shop:app\n" in units.systemd(own)
    assert "Description=Celery worker that serves a model\n" in units.systemd(settings.of(THREADS))


def test_seconds_of_latency_are_no_power_of_ten(tmp_path: Path) -> None:
    slow = [handmade.changed(one, figures=one.certainty.figures.revised(latency_s={"p50": 1.12, "p95": 50.0}))
            for one in trials(FORK, 100, 101, 99) if one.certainty.figures]  # fmt: skip
    said = " ".join(pages.lines(advised(tmp_path, slow)))
    assert "p50 1120 ms" in said
    assert "p95 50 s" in said
    assert "e+0" not in said


def test_what_the_answer_rests_on_is_counted_over_all_engines(tmp_path: Path) -> None:
    old = replace(FORK, backend="theano", environment="theano")
    advice = advised(
        tmp_path, trials(FORK, 100, 101, 99), trials(SPAWN, 60), trials(IMPORT, 1, end=Outcome.HUNG), trials(old, 300, 301)
    )
    assert pages.lines(advice)[-1] == (
        "compared: 4 configurations of tensorflow2, theano in prefork, prefork-spawn; 3 with figures (1 to 3 trials each), "
        "1 not to be used"
    )


def test_what_check_said_stands_in_the_advice_without_its_notes(tmp_path: Path) -> None:
    run = written(tmp_path / "run", trials(OWN, 100, 101, 99))
    rule = {"rule": "lost-pool", "file": "shop.py", "line": 6, "what": "a pool stays behind", "do": "make it later"}
    look = {"answer": "prefork will break it", "findings": [{**rule, "level": "error"}, {**rule, "level": "note"}]}
    told = {"app": "shop:app", "queue": "", "celery": [5, 7], "changes": [], "one_thread": {}, "first_look": look}
    (run / "run.json").write_text(json.dumps({"machine": {"cores_available": 2}, "application": told}))
    (advice,) = ranking.advise(candidates.read_all([run], ()), ())
    assert [line for line in pages.lines(advice) if line.startswith("check: ")] == [
        "check: prefork will break it", "check: error shop.py:6 [lost-pool]: a pool stays behind; do: make it later",
    ]  # fmt: skip
