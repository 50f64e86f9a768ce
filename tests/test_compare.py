"""Two runs side by side: outcome changes first, differences by the rule, and a gate that fails on what it was told to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from harness import cli
from harness.certainty.comparison import ComparisonWord
from harness.decide.compare import changes, gate, pages, sides
from harness.decide.compare.changes import Changes
from harness.decide.compare.sides import Side
from harness.errors import BadInput
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, to_line
from harness.records.sections import Figures
from tests import handmade

SOLO = Cell(backend="theano", pool="solo")
MACHINE = {"processor": "one", "cores_available": 2, "load_average": [0.0]}


def trials(
    *rates: float, cell: Cell = SOLO, outcomes: tuple[Outcome, ...] = (), doubts: tuple[str, ...] = (), reason: str = "why"
) -> list[TrialRecord]:
    """A trial for each rate; the last ones end as `outcomes` say."""
    ends = [Outcome.OK] * (len(rates) - len(outcomes)) + list(outcomes)
    return [
        handmade.record(
            cell_id=cell.id, cell=cell.as_dict(), trial=number, plan_key="k", started="2026-01-01T00:00:00+00:00", seconds=5.0,
            outcome=end, reason=reason, evidence="evidence/one" if end is Outcome.HUNG else "", doubts=list(doubts),
            figures=Figures(requests=500, throughput_per_s=rate, latency_s={"p50": 1 / rate}) if end is Outcome.OK else None,
        )
        for number, (rate, end) in enumerate(zip(rates, ends, strict=True), 1)
    ]  # fmt: skip


def side(*groups: list[TrialRecord], machine: dict[str, object] | None = None, **packages: dict[str, str]) -> Side:
    records = [record for group in groups for record in group]
    cells: dict[str, list[TrialRecord]] = {}
    for record in records:
        cells.setdefault(record.cell_id, []).append(record)
    return Side(
        name="a run",
        cells={name: tuple(one) for name, one in cells.items()},
        figures={(one.cell_id, one.trial): one.certainty.figures for one in records if one.certainty.figures},
        machine=machine or MACHINE,
        packages=packages,
    )


def word_of(found: Changes, metric: str = "throughput") -> ComparisonWord:
    return next(one.found.word for one in found.differences if one.metric.name == metric)


def ended(hung: int, count: int) -> Side:
    """A run of one cell, some of whose trials hung."""
    return side(trials(*[100.0] * count, outcomes=(Outcome.HUNG,) * hung))


def test_a_cell_that_fails_in_every_trial_is_worse_and_one_that_hangs_once_cannot_be_said() -> None:
    other = replace(SOLO, batch=8)
    before = side(trials(100, 101, 99), trials(50, 51, 49, cell=other))
    after = side(trials(100, 101, 99, outcomes=(Outcome.HUNG,)), trials(50, 51, 49, cell=other, outcomes=(Outcome.ERRORS,) * 3))
    found = changes.compare(before, after)
    assert [(one.before, one.after, one.worse) for one in found.outcomes] == [
        (Outcome.OK, Outcome.ERRORS, True),
        (Outcome.OK, Outcome.HUNG, None),
    ]
    every, once = found.outcomes
    assert every.basis.startswith("3 of 3 errors, before 0 of 3: every one of 3 after 3 trials")
    assert every.basis.endswith("in 1.6 % of pairs at the most")
    assert once.counts == "ok 3 -> ok 2, hung 1"
    assert once.basis.startswith("1 of 3 hung, before 0 of 3: 3 and 3 trials cannot tell a change from chance")
    judged = gate.judge(gate.parse("outcome"), found)
    assert len(judged.failures) == len(judged.warnings) == 1
    assert "1 of 3 hung, before 0 of 3" in judged.warnings[0]


def test_that_a_fault_is_gone_takes_more_trials_than_that_it_came() -> None:
    assert [one.worse for one in changes.compare(ended(3, 3), ended(0, 3)).outcomes] == [None]
    assert [one.worse for one in changes.compare(ended(5, 5), ended(0, 5)).outcomes] == [False]


def test_one_hang_in_thirty_is_no_change_and_fifteen_are() -> None:
    for pair in ((0, 1), (1, 0)):
        found = changes.compare(*(ended(hung, 30) for hung in pair))
        assert found.outcomes == ()
        assert [one.worse for one in found.unshown] == [None]
    found = changes.compare(ended(0, 30), ended(1, 30))
    assert found.unshown[0].basis == "1 of 30 hung, before 0 of 30: no change shown (p = 1)"
    assert "1 of 30 hung" in gate.judge(gate.parse("outcome"), found).warnings[0]
    often = changes.compare(ended(0, 30), ended(15, 30))
    assert [one.worse for one in often.outcomes] == [True]
    assert often.outcomes[0].basis.startswith("15 of 30 hung, before 0 of 30 (p = ")


def test_single_trials_claim_no_outcome() -> None:
    for count in (1, 2):
        (one,) = changes.compare(ended(0, count), ended(count, count)).outcomes
        assert (one.before, one.after, one.worse) == (Outcome.OK, Outcome.HUNG, None)
        assert "--repeat 5 can" in one.basis


def test_a_new_kind_of_end_is_worse_by_the_graver_counts() -> None:
    """A crash in one of thirty hides no hang in half of them: graver ends count with graver ones."""
    before = side(trials(*[100.0] * 30, outcomes=(Outcome.CRASHED,)))
    found = changes.compare(before, ended(15, 30))
    assert [one.worse for one in found.outcomes] == [True]
    assert found.outcomes[0].basis.startswith("15 of 30 hung or worse, before 1 of 30")


def test_outcomes_are_corrected_for_the_cells_that_are_compared_at_once() -> None:
    """Eight of thirty are a change on their own (p = 0.005), and not as one of three cells that ended otherwise."""
    cells = [replace(SOLO, batch=number) for number in (1, 2, 3)]

    def run(*hung: int) -> Side:
        return side(
            *(
                trials(*[9.0] * 30, cell=cell, outcomes=(Outcome.HUNG,) * count)
                for cell, count in zip(cells, hung, strict=False)
            )
        )

    alone = changes.compare(run(0), run(8))
    assert [one.worse for one in alone.outcomes] == [True]
    assert changes.compare(run(0, 0, 0), run(8, 1, 1)).outcomes == ()
    steady = changes.compare(run(0, 0, 0), run(8, 0, 0))
    assert [one.worse for one in steady.outcomes] == [True], "cells that ended alike cannot be claimed, and do not count"


def test_figures_are_corrected_for_their_number() -> None:
    """At the edge of the level, a difference stands on its own, and not as one of a hundred figures."""
    cells = [replace(SOLO, batch=number) for number in range(1, 51)]

    def run(count: int, factor: float) -> Side:
        first = trials(100 * factor, 103 * factor, 97 * factor, cell=cells[0])
        return side(first, *(trials(100, 101, 99, cell=cell) for cell in cells[1:count]))

    alone = changes.compare(run(1, 1.0), run(1, 1.25))
    assert word_of(alone) is ComparisonWord.DIFFER
    among = changes.compare(run(50, 1.0), run(50, 1.25))
    first = among.differences[0]
    assert first.found.word is ComparisonWord.CANNOT_SAY
    assert "one of 100 figures that are compared at once" in first.found.reason
    assert first.found.p == alone.differences[0].found.p


@pytest.mark.parametrize("end", [Outcome.SKIPPED, Outcome.INVALID])
def test_an_outcome_that_says_nothing_is_neither_better_nor_worse(end: Outcome) -> None:
    found = changes.compare(side(trials(100, 101, 99)), side(trials(100, 101, 99, outcomes=(end,) * 3)))
    assert [one.worse for one in found.outcomes] == [None]
    judged = gate.judge(gate.parse("outcome"), found)
    lines = (
        judged.failures if end is Outcome.SKIPPED else judged.warnings
    )  # what is not measured any more fails, as if it was gone
    assert f"ok 3 -> {end} 3" in lines[0]
    assert len(judged.failures) + len(judged.warnings) == 1


@pytest.mark.parametrize("end", [Outcome.SKIPPED, Outcome.INVALID])
def test_a_trial_that_says_nothing_hides_no_hang(end: Outcome) -> None:
    before = side(trials(100, 101, 99, 100, outcomes=(end,)))
    found = changes.compare(before, side(trials(1, 1, 1, outcomes=(Outcome.HUNG,) * 3)))
    assert [(one.before, one.after, one.worse) for one in found.outcomes] == [(Outcome.OK, Outcome.HUNG, True)]
    assert len(gate.judge(gate.parse("outcome"), found).failures) == 1


def test_a_worker_that_hangs_more_often_is_worse_and_a_few_trials_cannot_tell() -> None:
    rare, often = (side(trials(*[100.0] * 20, outcomes=(Outcome.HUNG,) * count)) for count in (1, 18))
    found = changes.compare(rare, often)
    assert [(one.before, one.after, one.worse) for one in found.outcomes] == [(Outcome.HUNG, Outcome.HUNG, True)]
    assert gate.judge(gate.parse("outcome"), found).failures == (f"{SOLO.id}: ok 19, hung 1 -> ok 2, hung 18",)
    assert [one.worse for one in changes.compare(often, rare).outcomes] == [False]
    few = (side(trials(*[100.0] * 3, outcomes=(Outcome.HUNG,) * count)) for count in (1, 2))
    assert changes.compare(*few).outcomes == ()


def test_a_difference_of_one_run_on_a_noisy_machine_cannot_be_said() -> None:
    noisy = trials(80, 81, 79, doubts=("others: other programs used 40% of the cores, end them",))
    found = changes.compare(side(trials(100, 101, 99)), side(noisy))
    assert word_of(found) is ComparisonWord.CANNOT_SAY
    assert "too noisy: others in 3 of 3 trials of the second run" in found.differences[0].found.reason
    like = trials(100, 101, 99, doubts=("others: other programs used 40% of the cores, end them",))
    assert word_of(changes.compare(side(like), side(noisy))) is ComparisonWord.DIFFER, "both met the same machine"


def test_what_was_asked_for_otherwise_is_said(tmp_path: Path) -> None:
    for name, limit, model in (("a", 60.0, "x"), ("b", 10.0, "y")):
        header = {"experiment": {"settings": {"limit_s": limit, "repeat": limit}}, "workloads": {"user-model": model}}
        (tmp_path / name).mkdir()
        (tmp_path / name / "trials.jsonl").write_text("".join(map(to_line, trials(100, 101, 99))))
        (tmp_path / name / "run.json").write_text(json.dumps({"machine": MACHINE, **header}))
    said = sides.plans_differ(*(sides.read(tmp_path / name) for name in "ab"))
    assert said == ["limit_s 60.0 -> 10.0", "model user-model: another one"]
    told = CliRunner().invoke(cli.command_line(), ["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert "asked for otherwise: limit_s 60.0 -> 10.0" in told.stdout


PROBE = {"app": "shop:app", "task": "shop.price", "queue": "", "rows": 3, "consumed": "celery", "checked": "pass the check"}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"task": "shop.tax"}, "task shop.price -> shop.tax"),
        ({"rows": 4}, "rows 3 -> 4"),
        ({"queue": "rare", "consumed": "rare"}, "consumed celery -> rare"),
        ({"checked": "match those of serial calls"}, "checked pass the check -> match those of serial calls"),
        ({"app": "shop.v2:app", "said": ["other settings"], "changes": []}, ""),
        ({"queue": "celery"}, ""),  # the default, named
        ({"checked": "came"}, ""),  # nothing could be compared: the check may have been the same
        ({"rows_digest": "x"}, ""),  # the first one says nothing of that
    ],
)
def test_a_probe_that_asks_something_else_is_not_compared(other: dict[str, object], told: str, tmp_path: Path) -> None:
    runs = [written(tmp_path / name, trials(100, 101, 99)) for name in "ab"]
    for run, application in zip(runs, (PROBE, PROBE | other), strict=True):
        (run / "run.json").write_text(json.dumps({"machine": MACHINE, "application": application}))
    assert sides.probes_differ(*map(sides.read, runs)) == told
    done = CliRunner().invoke(cli.command_line(), ["compare", *map(str, runs)])
    assert (done.exit_code == 0) is (told == "")
    if told:
        assert isinstance(done.exception, BadInput)
        assert told in str(done.exception)


def test_a_digest_of_the_rows_tells_probes_apart() -> None:
    first, second = (replace(side(trials(100)), application=PROBE | {"rows_digest": name}) for name in "ab")
    assert sides.probes_differ(first, second) == "rows_digest a -> b"


def test_a_kernel_that_keeps_a_little_memory_makes_no_other_machine() -> None:
    sizes = ({**MACHINE, "memory_bytes": size << 20} for size in (16000, 15900, 8000))
    first, second, third = (side(trials(100, 101, 99), machine=one) for one in sizes)
    assert sides.machines_differ(first, second) == ""
    assert "memory_bytes" in sides.machines_differ(first, third)


def test_a_real_difference_says_which_way_is_worse() -> None:
    found = changes.compare(side(trials(100, 101, 99)), side(trials(80, 81, 79)))
    differing = {one.metric.name: one for one in found.words(ComparisonWord.DIFFER)}
    assert {name: one.worse for name, one in differing.items()} == {"throughput": True, "p50": True}
    assert differing["throughput"].before == pytest.approx(100, rel=0.01)
    assert [
        one.worse for one in changes.compare(side(trials(80, 81, 79)), side(trials(100, 101, 99))).words(ComparisonWord.DIFFER)
    ] == [
        False,
        False,
    ]


def test_equal_runs_tie_and_single_trials_cannot_say() -> None:
    assert word_of(changes.compare(side(trials(100, 101, 99)), side(trials(100, 101, 99)))) is ComparisonWord.TIE
    assert word_of(changes.compare(side(trials(100)), side(trials(50)))) is ComparisonWord.CANNOT_SAY


def test_another_machine_leaves_outcomes_to_compare_and_no_figures() -> None:
    there = side(trials(50, 51, 49, outcomes=(Outcome.HUNG,)), machine={**MACHINE, "cores_available": 8})
    found = changes.compare(side(trials(100, 101, 99)), there)
    assert found.outcomes
    assert {one.found.word for one in found.differences} == {ComparisonWord.CANNOT_SAY}
    assert "cores_available 2 -> 8" in found.differences[0].found.reason


def test_another_cpu_quota_makes_another_machine_and_none_is_none() -> None:
    here = side(trials(100, 101, 99))
    bound = changes.compare(here, side(trials(100, 101, 99), machine={**MACHINE, "cpu_quota_cores": 1.5}))
    assert word_of(bound) is ComparisonWord.CANNOT_SAY
    assert "cpu_quota_cores None -> 1.5" in bound.differences[0].found.reason
    free = changes.compare(here, side(trials(100, 101, 99), machine={**MACHINE, "cpu_quota_cores": None}))
    assert word_of(free) is ComparisonWord.TIE


def test_a_load_average_makes_no_other_machine() -> None:
    there = side(trials(100, 101, 99), machine={**MACHINE, "load_average": [5.0]})
    assert word_of(changes.compare(side(trials(100, 101, 99)), there)) is ComparisonWord.TIE


def test_noise_is_named_where_nothing_can_be_said() -> None:
    noisy = trials(100, 140, 70, doubts=("others: other programs used 30% of the cores, end them",))
    found = changes.compare(side(trials(100, 101, 99)), side(noisy))
    assert word_of(found) is ComparisonWord.CANNOT_SAY
    assert "the machine was noisy: others in 3 of 6 trials" in found.differences[0].found.reason


def test_a_figure_that_one_run_lacks_is_explained() -> None:
    found = changes.compare(side(trials(100, 101, 99)), side(trials(1, 1, 1, outcomes=(Outcome.HUNG,) * 3)))
    assert "no such figure in the second run: its trials ended hung 3" in found.differences[0].found.reason
    p95 = next(one for one in found.differences if one.metric.name == "p95")
    assert "too few requests support it" in p95.found.reason


def test_cells_are_the_same_whatever_the_versions_of_their_dependencies(tmp_path: Path) -> None:
    for name, version in (("a", "5.4.0"), ("b", "5.7.0")):
        cell = replace(SOLO, environment=f"theano+celery=={version}")
        (tmp_path / name).mkdir()
        (tmp_path / name / "trials.jsonl").write_text("".join(map(to_line, trials(100, 101, 99, cell=cell))))
        installed = {f"theano+celery=={version}": {"installed": {"celery": version, "numpy": "1"}}}
        (tmp_path / name / "run.json").write_text(json.dumps({"machine": MACHINE, "environments": installed}))
    first, second = (sides.read(tmp_path / name) for name in "ab")
    assert changes.compare(first, second).compared == 1
    assert sides.versions_differ(first, second) == ["theano: celery 5.4.0 -> 5.7.0"]
    assert sides.versions_differ(first, second, but="celery") == []


def test_two_versions_in_one_run_stay_apart() -> None:
    both = [one for version in ("1", "2") for one in trials(9.0, cell=replace(SOLO, environment=f"theano+celery=={version}"))]
    assert len(sides._cells(both)) == 2


@given(percent=st.floats(0.5, 60), worse=st.booleans())
def test_a_limit_fails_on_what_is_beyond_it_and_only_on_that(percent: float, worse: bool) -> None:
    limits = gate.parse(f"throughput:{percent:.6f}%")
    rate = 100 * (1 - percent / 100) * (0.98 if worse else 1.01)
    found = changes.compare(side(trials(100, 100.01, 99.99)), side(trials(rate, rate, rate * 1.0001)), factors=limits.factors)
    assert bool(gate.judge(limits, found).failures) is worse


def test_better_never_fails() -> None:
    limits = gate.parse("outcome,throughput:5%,p50:5%")
    found = changes.compare(side(trials(100, 101, 99)), side(trials(200, 201, 199)), factors=limits.factors)
    assert gate.judge(limits, found).failures == ()


def test_a_cell_that_is_gone_fails_the_gate_of_outcomes_and_what_cannot_be_said_is_a_warning() -> None:
    found = changes.compare(side(trials(100), trials(9, cell=replace(SOLO, batch=8))), side(trials(100)))
    judged = gate.judge(gate.parse("outcome,throughput"), found)
    assert judged.failures == ("theano-solo-c1-first-task-predict-b8: not in the second run",)
    assert judged.warnings == ("throughput: for 1 of 1 cells nothing can be said, so they cannot fail the check",)


@pytest.mark.parametrize("text", ["speed:5%", "throughput:0%", "throughput:-5%", "p50:100%", "outcome:5%", "throughput:x"])
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        gate.parse(text)


def test_words_of_others_stay_words_in_markdown() -> None:
    reason = "ValueError: <script>alert(1)</script> | [a](b)\nsecond `line`"
    before, after = side(trials(100, 101, 99)), side(trials(1, 1, 1, outcomes=(Outcome.ERRORS,) * 3, reason=reason))
    found = changes.compare(before, after)
    page = pages.markdown(
        pages.Compared(first=before, second=after, changes=found, judgement=gate.judge(gate.parse("outcome"), found))
    )
    row = next(line for line in page.splitlines() if "ok → errors" in line)
    assert "<script>" not in row
    assert row.replace("\\|", "").count("|") == 5
    assert "\\`line\\`" in row
    assert "The check fails" in page


def written(folder: Path, *groups: list[TrialRecord]) -> Path:
    folder.mkdir()
    (folder / "trials.jsonl").write_text("".join(to_line(record) for group in groups for record in group))
    (folder / "run.json").write_text(json.dumps({"machine": MACHINE}))
    return folder


def test_the_command_prints_the_loudest_line_first_writes_both_files_and_fails_when_it_should(tmp_path: Path) -> None:
    before = written(tmp_path / "before", trials(100, 101, 99), trials(50, 51, 49, cell=replace(SOLO, batch=8)))
    after = written(
        tmp_path / "after", trials(80, 81, 79), trials(9, 9, 9, cell=replace(SOLO, batch=8), outcomes=(Outcome.HUNG,) * 3)
    )
    plain = CliRunner().invoke(cli.command_line(), ["compare", str(before), str(after)])
    assert plain.exit_code == 0
    assert plain.stdout.startswith(" ok -> hung   theano-solo-c1-first-task-predict-b8")
    assert "worse   theano-solo-c1-first-task-predict: throughput 100/s -> 80/s" in plain.stdout
    files = ["--json", str(tmp_path / "c.json"), "--markdown", str(tmp_path / "c.md")]
    held = ["--fail-on", "outcome,throughput:5%"]
    gated = CliRunner().invoke(cli.command_line(), ["compare", str(before), str(after), *held, *files])
    assert gated.exit_code == 1
    data = json.loads((tmp_path / "c.json").read_text())
    assert len(data["failures"]) == 2
    assert data["outcomes"][0]["after"] == "hung"
    assert "**ok → hung**" in (tmp_path / "c.md").read_text()
    again = CliRunner().invoke(cli.command_line(), ["compare", str(before), str(before), *held])
    assert again.exit_code == 0


def test_a_folder_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there are no records in"):
        sides.read(tmp_path)
