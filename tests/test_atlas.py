"""The atlas: what records become in it, what it holds against a configuration, and that the shipped file is made of records."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli
from harness.atlas import against, entries, pages, stored
from harness.atlas.entries import Entry
from harness.errors import BadInput, Exit
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import IN_PROCESS
from harness.records.outcomes import NOT_JUDGED, Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from tests import handmade

ROOT = Path(__file__).resolve().parent.parent
QUICK = ROOT / "results" / "reference-quick"
MOST_BYTES = 300_000
THEANO = {"keras": "2.3.1", "theano": "1.0.5", "celery": "5.5.3", "kombu": "5.5.4", "gevent": "24.2.1", "numpy": "1.19.5"}
RELEASES = (("celery", "5.5"), ("keras", "2.3"), ("theano", "1.0"))
TWO = Cell(backend="theano", pool="threads", concurrency=2)


def trial(
    cell: Cell, outcome: Outcome, *, number: int = 1, cause: str = "", errors: dict[str, int] | None = None
) -> TrialRecord:
    return handmade.record(
        cell_id=cell.id, cell=cell.as_dict(), outcome=outcome, cause=cause, errors=errors or {}, versions=THEANO
    )


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
    runs = [folder for folder in kept if any(RunFolder(path.parent).has_trials for path in folder.rglob("trials.jsonl.gz"))]
    assert len(runs) > 5
    fresh = stored.text(stored.of_runs(runs))
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
    one, other = (stored.Atlas(runs={"a": 6}, entries=tuple(entries.build(each))) for each in (records, records[::-1]))
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
    assert entries.build(left_out) == []
    assert [one.outcomes for one in entries.build([*left_out, trial(TWO, Outcome.CRASHED)])] == [{Outcome.CRASHED: 1}]


def test_batches_and_numbers_above_one_are_of_a_kind_and_all_else_is_not() -> None:
    alike = [TWO, replace(TWO, concurrency=4), replace(TWO, batch=8), replace(TWO, environment="theano+celery==5.5.3")]
    (one,) = entries.build([trial(cell, Outcome.OK) for cell in alike])
    assert one.judged == len(alike)
    apart = [
        replace(TWO, **{name: value})
        for name, value in {
            "backend": "tensorflow1", "pool": "prefork", "concurrency": 1, "placement": "import", "call": "direct",
            "parent": "load", "workload": "lstm", "engine_threads": "1x1", "prefetch": 1, "traffic": "single",
        }.items()
    ]  # fmt: skip
    assert len(entries.build([trial(cell, Outcome.OK) for cell in [TWO, *apart]])) == 1 + len(apart)


def test_a_cause_is_counted_where_a_trial_failed_and_of_errors_it_is_the_commonest_exception() -> None:
    (one,) = entries.build(
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


@pytest.mark.parametrize("change", [{"prefetch": 1}, {"workload": "lstm"}, {"traffic": "single"}, {"engine_threads": "1x1"}])
def test_a_stall_counts_only_if_everything_is_the_same(change: dict[str, object]) -> None:
    known = [entry(stalled=2)]
    assert told(known) == told(known, replace(TWO, concurrency=4, batch=8)) == ["2 of 2 stalled (16 % - 100 %)"]
    assert told(known, replace(TWO, **change)) == []  # type: ignore[arg-type]


def test_a_model_that_it_does_not_have_is_held_against_the_others_and_a_known_one_against_itself() -> None:
    known = [entry(hung=1), entry(replace(TWO, workload="tiny-dense"), ok=1)]
    assert told(known, replace(TWO, workload="tiny-dense")) == []
    assert told(known, replace(TWO, workload="mine")) == ["1 of 2 hung (1 % - 99 %) with other models"]


# the verb


def test_the_verb_lists_what_is_known_in_lines_that_fit() -> None:
    listed = invoked("--backend", "theano", "--pool", "threads").splitlines()
    assert "       3     0  threads-c2+-first-task-predict" in listed
    assert listed[listed.index("       3     0  threads-c2+-first-task-predict") + 1].strip() == "3 of 3 crashed (29 % - 100 %)"
    lost = invoked("--call", "graph", "--placement", "import", "--failed")
    assert "hung" in lost
    assert "cause: fork-lost-threads" in lost
    for told in (invoked(), invoked("--failed"), "\n".join(pages.details(stored.shipped().entries))):
        assert max(map(len, told.splitlines())) <= pages.WIDTH


def test_the_first_line_counts_what_was_asked_for() -> None:
    known = stored.shipped()
    asked = [one for one in known.entries if one.cell.backend == "theano"]
    told = invoked("--backend", "theano").splitlines()[0]
    trials, kinds = sum(one.judged for one in asked), len(asked)
    assert told.startswith(f"the atlas, as asked: {trials} of {known.trials} trials of ")
    assert told.endswith(f", {kinds} of {len(known.entries)} combinations")
    assert invoked().startswith(f"the atlas: {known.trials} trials of ")


def test_the_verb_builds_a_file_of_the_runs_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "atlas.json"
    assert "33 trials of 1 run" in invoked(str(QUICK), "--build", "--out", str(path))
    assert stored.read(path).runs == {"results/reference-quick": 33}
    assert "33 trials of 1 run" in invoked(str(QUICK))


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--backend", "tensorflow9"], Exit.NOTHING_MATCHES), (["--build"], Exit.BAD_INPUT), (["."], Exit.BAD_INPUT)],
)
def test_the_verb_says_what_it_cannot_do(words: list[str], code: Exit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.command_line(["atlas"]), ["atlas", *words])
    assert getattr(done.exception, "exit_code", None) == code
    assert getattr(done.exception, "remedy", "")
