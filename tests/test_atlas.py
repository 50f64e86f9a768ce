"""The atlas: what records become in it, what it holds against a configuration, and that the shipped file is made of records."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli
from harness.atlas import against, answer, engines, entries, making, pages, stored
from harness.atlas.entries import Entry
from harness.atlas.making import Found
from harness.errors import BadInput, Exit, NothingMatches
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, PARENT_DEEDS, PLACEMENTS, Cell
from harness.experiment.pools import IN_PROCESS
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from tests import handmade

ROOT = Path(__file__).resolve().parent.parent
QUICK = ROOT / "results" / "reference-quick"
MOST_BYTES = 700_000
THEANO = {"keras": "2.3.1", "theano": "1.0.5", "celery": "5.5.3", "kombu": "5.5.4", "gevent": "24.2.1", "numpy": "1.19.5"}
RELEASES = (("celery", "5.5"), ("keras", "2.3"), ("theano", "1.0"))
TWO = Cell(backend="theano", pool="threads", concurrency=2)


def trial(
    cell: Cell, outcome: Outcome, *, number: int = 1, cause: str = "", errors: dict[str, int] | None = None
) -> TrialRecord:
    return handmade.record(
        cell_id=cell.id, cell=cell.as_dict(), outcome=outcome, cause=cause, errors=errors or {}, versions=THEANO
    )


def built(records: list[TrialRecord]) -> list[Entry]:
    """As of runs that hold them."""
    return making.build(Found(record=one, run="results/a") for one in records if making.counts(one))


def entry(cell: Cell = TWO, **outcomes: int) -> Entry:
    counts = {Outcome(name): count for name, count in outcomes.items()}
    return Entry(cell=entries.kind(cell), releases=RELEASES, outcomes=counts, causes={})


def told(known: list[Entry], cell: Cell = TWO, **versions: str) -> list[str]:
    return [str(one) for one in against.failures(known, cell, {**THEANO, **versions})]


def invoked(*words: str) -> str:
    done = CliRunner().invoke(cli.command_line(["atlas"]), ["atlas", *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


# the shipped file


def test_the_shipped_file_is_what_the_runs_on_record_give_today() -> None:
    ignored = (ROOT / ".gitignore").read_text()
    kept = [ROOT / "results" / name for name in re.findall(r"^!results/([^/\n]+)/$", ignored, re.MULTILINE)]
    runs = [folder for folder in kept if any(RunFolder(path.parent).has_trials for path in folder.rglob("trials.jsonl.xz"))]
    assert len(runs) > 5
    fresh = stored.text(making.of_runs(runs))
    assert fresh == stored.SHIPPED.read_text(), "build it anew, see CONTRIBUTING"
    assert len(fresh.encode()) < MOST_BYTES
    assert str(ROOT) not in fresh


def test_the_shipped_file_counts_each_trial_that_could_be_judged_once() -> None:
    atlas = stored.shipped()
    records = [record for name in atlas.runs for record in RunFolder(ROOT / name).trials()]
    real = [record for record in records if not (record.as_cell.is_control or record.as_cell.is_baseline)]
    ended = Counter(record.outcome for record in real if record.outcome not in NOT_JUDGED)
    assert atlas.trials == sum(atlas.runs.values()) == ended.total() > 900
    total = Counter[Outcome]()
    for one in atlas.entries:
        total.update(one.outcomes)
    assert total == ended
    assert invoked().startswith(
        f"the atlas: {atlas.trials} trials of {len(atlas.runs)} runs, {len(atlas.entries)} combinations"
    )


def test_what_is_written_is_read_back_and_the_order_of_records_does_not_matter(tmp_path: Path) -> None:
    ends = [Outcome.OK, Outcome.CRASHED, Outcome.ERRORS]
    records = [trial(replace(TWO, workload=name), end) for name in ("lstm", "digits-cnn") for end in ends]
    one, other = (stored.Atlas(runs={"a": 6}, entries=tuple(built(each))) for each in (records, records[::-1]))
    assert stored.text(one) == stored.text(other)
    path = tmp_path / "atlas.json"
    path.write_text(stored.text(one))
    assert stored.read(path) == one
    for broken in ("{", "[]", '{"entries": [{}], "runs": {}}', stored.text(one).replace("crashed", "vanished")):
        path.write_text(broken)
        with pytest.raises(BadInput, match=r"atlas\.json is no atlas"):
            stored.read(path)


def test_an_empty_atlas_can_be_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "atlas.json"
    path.write_text(stored.text(stored.Atlas(runs={}, entries=())))
    assert stored.read(path) == stored.Atlas(runs={}, entries=())


# from records to entries


def test_what_says_nothing_of_a_real_configuration_is_left_out() -> None:
    left_out = [
        trial(replace(TWO, backend="null", environment="theano"), Outcome.OK),
        trial(replace(TWO, backend="faulty", environment="theano", fault="error"), Outcome.ERRORS),
        trial(replace(TWO, pool=IN_PROCESS), Outcome.OK),
        trial(replace(TWO, backend=OWN_APP, placement=AS_WRITTEN), Outcome.HUNG),
        trial(TWO, Outcome.SKIPPED),
        trial(TWO, Outcome.INVALID),
    ]
    assert built(left_out) == []
    assert [one.outcomes for one in built([*left_out, trial(TWO, Outcome.CRASHED)])] == [{Outcome.CRASHED: 1}]


def test_numbers_above_one_are_of_a_kind_and_all_else_is_not() -> None:
    alike = [TWO, replace(TWO, concurrency=4), replace(TWO, environment="theano+celery==5.5.3")]
    (one,) = built([trial(cell, Outcome.OK) for cell in alike])
    assert one.judged == len(alike)
    apart = [
        replace(TWO, **{name: value})
        for name, value in {
            "backend": "tensorflow1", "pool": "prefork", "concurrency": 1, "placement": "import", "call": "direct",
            "parent": "load", "workload": "lstm", "batch": 8, "engine_threads": "1x1", "prefetch": 1, "traffic": "single",
        }.items()
    ]  # fmt: skip
    assert len(built([trial(cell, Outcome.OK) for cell in [TWO, *apart]])) == 1 + len(apart)


def test_an_entry_says_when_on_which_python_and_where_the_records_are() -> None:
    early, late = (
        trial(TWO, Outcome.CRASHED).changed(asked={"started": day}) for day in ("2026-11-23T01:00", "2026-11-26T02:00")
    )
    good = trial(TWO, Outcome.OK).changed(asked={"started": "2026-11-25T02:00"})
    found = [
        Found(record=late, run="results/b", python="3.9.1", evidence="results/b/evidence.md#late"),
        Found(record=early, run="results/a", python="3.9.0", evidence="results/a/evidence.md#early"),
        Found(record=good, run="results/c", python="3.9.1"),
    ]
    (one,) = making.build(found)
    assert (one.python, one.days, one.runs) == ("3.9", ("2026-11-23", "2026-11-26"), ("results/a", "results/b", "results/c"))
    assert one.evidence == "results/a/evidence.md#early"
    assert making.build(found[::-1]) == [one]


def test_another_python_is_another_entry() -> None:
    found = [Found(record=trial(TWO, Outcome.OK), run="a", python=version) for version in ("3.9.1", "3.11.2")]
    assert [one.python for one in making.build(found)] == ["3.11", "3.9"]


def test_what_it_costs_is_of_good_trials_alone_by_run_and_number_at_once() -> None:
    known = [one for one in RunFolder(QUICK).trials() if one.certainty.figures and not one.certainty.unusable]
    good = next(
        one for one in known if one.outcome is Outcome.OK and not one.as_cell.is_control and not one.as_cell.is_baseline
    )
    figures = good.certainty.figures
    assert figures is not None
    pace = [good.changed(certainty={"figures": figures.revised(throughput_per_s=value)}) for value in (10.0, 20.0, 60.0)]
    spoiled = good.changed(certainty={"unusable": "machine too noisy"})
    (one,) = making.build([*(Found(record=each, run="a") for each in pace), Found(record=pace[0], run="b"),
                           Found(record=spoiled, run="a")])  # fmt: skip
    assert [(cost.run, cost.trials, cost.throughput_per_s) for cost in one.costs] == [("a", 3, 20.0), ("b", 1, 10.0)]
    assert one.judged == 5
    assert one.costs[0].peak_pss_bytes == good.memory.peak_pss_bytes


def test_an_engine_of_which_nothing_could_be_measured_says_why(tmp_path: Path) -> None:
    torch = Cell(backend="torch", pool="prefork")
    found = [
        Found(record=trial(torch, Outcome.SKIPPED).changed(ended={"reason": why}), run="a") for why in ("no wheel", "b", "b")
    ]
    assert making._skipped(found, ()) == {"torch": "b"}
    assert making._skipped(found, making.build([Found(record=trial(torch, Outcome.OK), run="a")])) == {}
    known = stored.Atlas(runs={}, entries=(), skipped={"torch": "no wheel"})
    assert answer.headline("torch", known) == "PyTorch 2: not measured: no wheel"
    path = tmp_path / "atlas.json"
    path.write_text(stored.text(known))
    assert stored.read(path) == known


def test_a_cause_is_counted_where_a_trial_failed_and_of_errors_it_is_the_commonest_exception() -> None:
    (one,) = built(
        [
            trial(TWO, Outcome.HUNG, cause="deadlock"),
            trial(TWO, Outcome.HUNG, cause="deadlock"),
            trial(TWO, Outcome.ERRORS, errors={"KeyError: 'x'": 1, "ValueError: an array: of objects": 7}),
            trial(TWO, Outcome.OK),
        ]
    )
    assert one.causes == {"deadlock": 2, "ValueError": 1}
    assert one.outcomes == {Outcome.HUNG: 2, Outcome.ERRORS: 1, Outcome.OK: 1}


# what it holds against a configuration


def test_a_count_is_quoted_with_the_exact_interval_gravest_first() -> None:
    known = [entry(ok=8, errors=1), entry(replace(TWO, prefetch=1), crashed=3)]
    assert told(known) == ["3 of 12 crashed (5 % - 57 %)", "1 of 12 raised errors (0 % - 38 %)"]


def test_without_an_entry_of_its_kind_nothing_is_held_against_it() -> None:
    known = [entry(crashed=3, hung=1, stalled=1)]
    assert told(known)
    for other in (
        replace(TWO, pool="prefork"), replace(TWO, concurrency=1), replace(TWO, placement="import"),
        replace(TWO, call="direct"), replace(TWO, parent="load"), replace(TWO, max_tasks=10),
    ):  # fmt: skip
        assert told(known, other) == []
    assert told(known, celery="5.6.0") == told(known, keras="2.2.5") == told(known, theano="1.1.0") == []
    assert told(known, celery="5.5.4", numpy="1.20.0", gevent="25.0.0") == told(known)


def test_what_was_ok_there_is_nothing_against_it() -> None:
    assert told([entry(ok=3, unchecked=1, slow=1, refused=1)]) == []


def test_engine_threads_decide_a_hang_and_not_a_crash() -> None:
    known = [entry(hung=1, crashed=1)]
    assert told(known, replace(TWO, engine_threads="1x1")) == ["1 of 2 crashed (1 % - 99 %)"]


@pytest.mark.parametrize(
    "change", [{"prefetch": 1}, {"workload": "lstm"}, {"traffic": "single"}, {"engine_threads": "1x1"}, {"batch": 8}]
)
def test_a_stall_counts_only_if_everything_is_the_same(change: dict[str, object]) -> None:
    known = [entry(stalled=2)]
    assert told(known) == told(known, replace(TWO, concurrency=4)) == ["2 of 2 stalled (16 % - 100 %)"]
    assert told(known, replace(TWO, **change)) == []  # type: ignore[arg-type]


def test_a_model_that_it_does_not_have_is_held_against_the_others_and_a_known_one_against_itself() -> None:
    known = [entry(hung=1), entry(replace(TWO, workload="tiny-dense"), ok=1)]
    assert told(known, replace(TWO, workload="tiny-dense")) == []
    assert told(known, replace(TWO, workload="mine")) == ["1 of 2 hung (1 % - 99 %) with other models"]


def test_a_batch_that_it_does_not_have_is_held_against_others_and_a_known_one_against_itself() -> None:
    known = [entry(hung=1), entry(replace(TWO, batch=64), ok=1), entry(replace(TWO, workload="lstm"), hung=5)]
    assert told(known, replace(TWO, batch=64)) == []
    assert told(known, replace(TWO, batch=8)) == ["1 of 2 hung (1 % - 99 %) with other batches"]
    assert told([entry(crashed=1)], replace(TWO, batch=64)) == ["1 of 1 crashed (3 % - 100 %)"]


# what an engine is called, and what is said of it


def test_an_engine_is_found_by_its_name_its_package_and_the_beginning_of_either() -> None:
    assert engines.named(["torch", "prefork"], ()) == (["torch"], ["prefork"])
    assert engines.named(["PyTorch"], ())[0][-1:] == ["torch"]
    assert engines.named(["scikit-learn"], ())[0] == ["sklearn"]
    assert {"tensorflow1", "tensorflow1_15", "tensorflow2"} <= set(engines.named(["tensorflow"], ())[0])
    assert engines.named(["mine"], [entry(replace(TWO, backend="mine"), ok=1)])[0] == ["mine"]
    with pytest.raises(NothingMatches, match="'theanos' is neither an engine, a pool, nor the folder of a run") as raised:
        engines.named(["theanos"], ())
    assert "tensorflow2, theano, torch" in raised.value.remedy
    assert "prefork-spawn" in raised.value.remedy


def test_every_placement_and_parent_has_words() -> None:
    for placement in PLACEMENTS:
        assert "placement" not in engines.loaded(replace(TWO, placement=placement))
    assert len({engines.loaded(replace(TWO, parent=deed)) for deed in PARENT_DEEDS}) == len(PARENT_DEEDS)


def test_the_sentence_counts_by_where_the_model_was_loaded_and_leaves_other_parents_out() -> None:
    fork = replace(TWO, pool="prefork")
    known = [
        entry(replace(fork, placement="import"), hung=9, errors=1),
        entry(replace(fork, placement="import", call="direct"), ok=2),
        entry(fork, ok=12), entry(replace(fork, parent="predict"), hung=5), entry(TWO, crashed=3),
    ]  # fmt: skip
    atlas = stored.Atlas(runs={}, entries=tuple(known))
    said = "loaded at import: 9 of 12 hung, 1 of 12 raised errors; loaded in the first task: 0 of 12"
    assert answer.headline("theano", atlas) == f"Theano 1.0.5, prefork, {said}"
    assert answer.headline("theano", atlas, "threads") == "Theano 1.0.5, threads, loaded in the first task: 3 of 3 crashed"
    assert answer.headline("theano", atlas, "solo") == "Theano 1.0.5, solo: no trial on record yet"
    assert answer.headline("torch", atlas) == "PyTorch 2, prefork: no trial on record yet"
    alone = stored.Atlas(runs={}, entries=(entry(fork, ok=12),))
    assert answer.headline("theano", alone).endswith("loaded in the first task: 0 of 12 failed")


def test_what_is_quoted_to_others_says_that_it_was_not_measured_there() -> None:
    atlas = stored.Atlas(runs={}, entries=(entry(replace(TWO, pool="prefork"), ok=1),))
    (said,) = answer.quoted(atlas, {"theano": "1.0.5", "celery": "5.7.0"})
    assert said.startswith("the atlas (measured before, on our models; not here): Theano 1.0.5, prefork, ")
    assert answer.quoted(atlas, {"theano": "1.2.0"})[0].endswith("; measured with 1.0, here it is theano 1.2.0")
    for versions, pool, used in (
        ({"theano": "2.0.0"}, "prefork", None), ({"celery": "5.5.3"}, "prefork", None), ({"theano": "1.0.5"}, "solo", None),
        ({"theano": "1.0.5"}, "prefork", {"numpy"}),
    ):  # fmt: skip
        assert answer.quoted(atlas, versions, pool, used) == ()
    assert answer.quoted(atlas, {"theano": "1.0.5"}, "prefork", {"theano"}) == (said,)


# the verb


def test_the_verb_lists_what_is_known_in_lines_that_fit() -> None:
    listed = invoked("theano", "threads").splitlines()
    assert listed[0].startswith("Theano 1.0.5, threads, loaded at import: ")
    assert "       3     0  threads-c2+-first-task-predict" in listed
    assert listed[listed.index("       3     0  threads-c2+-first-task-predict") + 1].strip() == "3 of 3 crashed (29 % - 100 %)"
    lost = invoked("--call", "graph", "--placement", "import", "--failed")
    assert "hung" in lost
    assert "cause: fork-lost-threads" in lost
    whole = [invoked("theano").partition("\n")[2], invoked("threads"), "\n".join(pages.details(stored.shipped().entries))]
    for told in (invoked(), invoked("--failed"), *whole):
        assert max(map(len, told.splitlines())) <= pages.WIDTH


def test_the_first_line_counts_what_was_asked_for() -> None:
    known = stored.shipped()
    asked = [one for one in known.entries if one.cell.backend == "theano"]
    told = invoked("theano").splitlines()[1]
    assert told == invoked("--backend", "theano").splitlines()[1]
    trials, kinds = sum(one.judged for one in asked), len(asked)
    assert told.startswith(f"the atlas, as asked: {trials} of {known.trials} trials of ")
    assert told.endswith(f", {kinds} of {len(known.entries)} combinations")
    assert invoked().startswith(f"the atlas: {known.trials} trials of ")


def test_if_nothing_failed_the_sentence_stands_and_so_many_combinations_are_told() -> None:
    said = invoked("tensorflow2", "solo", "--failed").splitlines()
    assert said[0].startswith("TensorFlow 2, solo, loaded in the first task: 0 of ")
    assert re.fullmatch(r"none of \d+ such combinations failed", said[-1])


def test_the_verb_builds_a_file_of_the_runs_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "atlas.json"
    assert "33 trials of 1 run" in invoked(str(QUICK), "--build", "--out", str(path))
    assert stored.read(path).runs == {"results/reference-quick": 33}
    assert "33 trials of 1 run" in invoked(str(QUICK))


def test_as_json_it_has_all_of_an_entry_with_intervals() -> None:
    told = json.loads(invoked("theano", "threads", "--failed", "--json"))
    assert told["schema"] == pages.JSON_SCHEMA
    assert told["said"][0].startswith("Theano 1.0.5, threads, ")
    one = next(each for each in told["entries"] if each["cell"]["workload"] == "digits-cnn" and "crashed" in each["outcomes"])
    assert {"cell", "releases", "outcomes", "python", "days", "runs", "judged", "failed"} <= one.keys()
    (crashed, *_) = one["failed"]
    assert crashed["outcome"] == "crashed"
    assert 0.0 < crashed["interval"][0] < crashed["failed"] / crashed["judged"] <= crashed["interval"][1] <= 1.0


def test_an_engine_without_a_trial_is_said_to_have_none_and_a_folder_of_that_name_is_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "torch").mkdir()
    monkeypatch.setattr(stored, "shipped", lambda: stored.Atlas(runs={}, entries=()))
    said = invoked("torch").splitlines()
    assert said[0] == "PyTorch 2, prefork: no trial on record yet"
    assert "'harness run engines' measures what this machine can have of it" in " ".join(said)
    assert json.loads(invoked("torch", "--json"))["entries"] == []


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["tensorflow9"], Exit.NOTHING_MATCHES),
        (["theano", "--call", "run"], Exit.NOTHING_MATCHES),
        (["--backend", "tensorflow9"], Exit.NOTHING_MATCHES),
        (["--build"], Exit.BAD_INPUT),
        (["."], Exit.BAD_INPUT),
    ],
)
def test_the_verb_says_what_it_cannot_do(words: list[str], code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.command_line(["atlas"]), ["atlas", *words])
    assert getattr(done.exception, "exit_code", None) == code
    assert getattr(done.exception, "remedy", "")
