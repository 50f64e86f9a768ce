"""Advice looks into the atlas: what failed there in the same combination is never offered, and the atlas is quoted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness import cli
from harness.applications.probe import before
from harness.atlas import answer, entries, stored
from harness.decide.advise import candidates, data, fresh, pages, ranking
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.records.outcomes import ANSWERED, Outcome
from harness.records.record import to_line
from harness.records.store import RunFolder
from harness.summary import summary
from tests import handmade

ROOT = Path(__file__).resolve().parent.parent
QUICK = ROOT / "results" / "reference-quick"
TWO = Cell(backend="theano", pool="threads", concurrency=2)


def lucky(folder: Path, **versions: str) -> Path:
    """The stored quick run, but with Theano in two threads ok, as it sometimes is, and as fast as nothing else."""
    run = RunFolder(QUICK)
    records = [record.changed(asked={"versions": {**record.asked.versions, **versions}}) for record in run.trials()]
    (crashed,) = (record for record in records if record.cell_id == TWO.id)
    assert crashed.outcome is Outcome.CRASHED
    fork = replace(TWO, pool="prefork").id
    (good,) = (record for record in records if record.cell_id == fork)
    figures = good.certainty.figures
    assert figures
    fast = good.changed(
        asked={"cell_id": TWO.id, "cell": TWO.as_dict()},
        certainty={"figures": figures.revised(throughput_per_s=9 * figures.throughput_per_s)},
    )
    folder.mkdir()
    (folder / "trials.jsonl").write_text("".join(to_line(fast if one is crashed else one) for one in records))
    (folder / "run.json").write_text(json.dumps(run.read_json("run.json")))
    return folder


def test_one_lucky_trial_of_what_crashes_elsewhere_is_not_advised_and_the_atlas_is_quoted(tmp_path: Path) -> None:
    (advice,) = ranking.advise(candidates.read_all([lucky(tmp_path / "run")], ()), ())
    quoted = "1 trial ok here; the atlas has 3 of 3 crashed (29 % - 100 %)"
    assert advice.best
    (own,) = (one for one in advice.engines if one.engine == TWO.backend)
    assert own.shown
    assert TWO.id not in {one.id for each in (advice, own) for one in (*each.best, *each.alike, each.runner_up) if one}
    assert f"vetoed: {TWO.id}: {quoted}" in pages.lines(advice)
    assert not any(TWO.id in change.then for change in advice.sensitivity)
    (told,) = json.loads(data.as_json([advice]))
    assert next(one for one in told["vetoed"] if one["cell"] == TWO.id)["reason"] == quoted
    done = CliRunner().invoke(cli.command_line(["recommend"]), ["recommend", str(tmp_path / "run")], catch_exceptions=False)
    assert quoted in done.stdout


def test_with_another_release_of_celery_the_atlas_changes_nothing(tmp_path: Path) -> None:
    (advice,) = ranking.advise(candidates.read_all([lucky(tmp_path / "run", celery="5.9.1")], ()), ())
    (own,) = (one for one in advice.engines if one.engine == TWO.backend)
    assert own.best[0].id == TWO.id
    assert not any(one.atlas for one in advice.vetoed)


def test_a_crash_in_one_of_the_runs_at_hand_is_told_before_what_the_atlas_says(tmp_path: Path) -> None:
    runs = [lucky(tmp_path / "run"), QUICK]
    for order in (runs, runs[::-1]):
        (one,) = (each for each in candidates.read_all(order, ()) if each.id == TWO.id)
        assert (one.outcome, one.atlas, one.run) == (Outcome.CRASHED, "", str(QUICK))


def test_a_configuration_that_failed_nowhere_is_not_vetoed_by_its_own_trials_in_the_atlas() -> None:
    found = candidates.read_all([ROOT / "results" / "full"], ())
    good = [one for one in found if one.outcome is Outcome.OK]
    failing = {one.cell for one in stored.shipped().entries if one.outcomes.keys() - ANSWERED}
    assert len([one for one in good if one.measured]) > 0.9 * len(good)
    assert all(entries.kind(one.cell) in failing for one in good if one.atlas)


def test_where_the_atlas_speaks_against_all_no_outcome_is_blamed() -> None:
    one = candidates.Candidate(
        cell=TWO, row={"throughput_per_s": 5.0, "rows_per_s": 5.0}, paces=(5.0,), run="r", outcome=Outcome.OK, reason="",
        atlas="1 trial ok here; the atlas has 3 of 3 crashed (29 % - 100 %)",
    )  # fmt: skip
    (advice,) = ranking.advise([one], ())
    assert advice.best == advice.measure == ()
    assert advice.vetoed == (one,)


def test_another_way_in_the_same_pool_that_the_atlas_speaks_against_is_named_beside_the_best() -> None:
    row = {**dict.fromkeys(summary.COLUMNS), "rows_per_s": 5.0, "fresh": fresh.of(())}
    good, lucky = (
        candidates.Candidate(cell=cell, row=row, paces=(5.0,), run="r", outcome=Outcome.OK, reason="", atlas=atlas)
        for cell, atlas in ((replace(TWO, placement="import"), ""), (TWO, "1 trial ok here; the atlas has 3 of 3 crashed"))
    )
    (advice,) = ranking.advise([good, lucky], ())
    assert advice.best == (good,)
    assert pages.change(good, advice)[1].endswith(f"it failed in the atlas in {TWO.id}")


@pytest.mark.parametrize(
    ("loaded", "quoted"),
    [
        ({"loaded": ["celery", "redis"]}, []),
        ({"loaded": ["celery", "sklearn"]}, ["scikit-learn 1"]),
        ({"loaded": ["celery", "keras", "torch"]}, ["Keras 3 on PyTorch 2", "PyTorch 2"]),
        ({}, ["PyTorch 2", "scikit-learn 1"]),
    ],
)
def test_the_atlas_is_quoted_for_engines_that_an_application_has_loaded(
    loaded: Mapping[str, Sequence[str]], quoted: list[str], tmp_path: Path
) -> None:
    """Beside an application, more may be installed than it uses; a run of old does not tell, and what it may use counts."""
    installed = {"celery": "5.7.0", "scikit-learn": "1.7.0", "torch": "2.9.0"}
    own = Cell(backend=OWN_APP, pool="prefork", concurrency=2, placement=AS_WRITTEN, call="task", workload="shop.price")
    one = handmade.record(cell_id=own.id, cell=own.as_dict(), versions=installed, outcome=Outcome.HUNG, reason="it hung")
    (tmp_path / "trials.jsonl").write_text(to_line(one))
    (tmp_path / "run.json").write_text(json.dumps({"machine": {}, "application": {"app": "shop:app", **loaded}}))
    (found,) = candidates.read_all([tmp_path], ())
    for lines in (found.notes, before.said(tmp_path)):
        told = [line for line in lines if line.startswith(answer.MEASURED)]
        assert len(told) == len(quoted)
        assert all(name in line for name, line in zip(quoted, sorted(told), strict=True))
