"""The runs on record: each reads by every verb that reads one, every link of theirs leads somewhere, and they are light."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.decide.advise import candidates, pages, ranking
from harness.decide.compare import changes, sides
from harness.records import evidence
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from harness.report import content, exports, waterfall_view
from harness.run import packing
from harness.studies.claims import claims, claims_page
from harness.studies.claims.dossier import Dossier
from harness.summary import summary
from tests.links import dead

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"


def committed() -> list[Path]:
    """The files here that git knows; none if this is no checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return []
    listed = subprocess.run(["git", "ls-files", "-z", "results"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


KEPT = {path.relative_to(RESULTS).parts[0] for path in committed()} or {path.name for path in RESULTS.iterdir()}
#: beside them may lie runs of one's own, such as that of `make run`
OTHERS = [path.name for path in RESULTS.iterdir() if path.name not in KEPT]
RUNS = sorted(
    folder for folder in packing.runs(RESULTS) if folder.relative_to(RESULTS).parts[0] in KEPT and RunFolder(folder).has_trials
)
MOST_FILES, MOST_BYTES = 160, 5_120_000  # as many as the runs behind the atlas need, and the studies of searches and gates
SHOW_EVIDENCE = (Outcome.HUNG, Outcome.CRASHED, Outcome.STALLED, Outcome.RESPAWNING)

over_all_runs = pytest.mark.parametrize("folder", RUNS, ids=lambda folder: str(folder.relative_to(RESULTS)))


def records(folder: Path) -> list[TrialRecord]:
    return list(RunFolder(folder).current().values())


def evidence_ways() -> Iterator[tuple[Path, str]]:
    for folder in RUNS:
        yield from ((folder, record.ended.evidence) for record in RunFolder(folder).records() if record.ended.evidence)


def test_the_runs_are_there() -> None:
    assert {"claims", "full", "grid", "incidents", "reference-quick", "keras-2.3.0"} <= {folder.name for folder in RUNS}


@over_all_runs
def test_show_reads_it_and_every_cell_that_answered_has_its_pace(folder: Path) -> None:
    found = records(folder)
    table = summary.table(found, folder)
    assert len(table) == len({record.cell_id for record in found}) > 0
    ok = table[table["outcome"] == "ok"]
    assert ok["throughput_per_s"].gt(0).all()
    assert ok["latency_p50_s"].isna().sum() <= 0.1 * len(ok)


@over_all_runs
def test_compare_finds_no_difference_between_it_and_itself(folder: Path) -> None:
    side = sides.read(folder)
    found = changes.compare(side, side)
    assert found.compared == len(side.cells) > 0
    assert [change for change in found.outcomes if change.before is not change.after] == []
    assert not any(difference.worse for difference in found.differences)


@over_all_runs
def test_recommend_reads_it(folder: Path) -> None:
    for advice in ranking.advise(candidates.read_all([folder], ()), ()):
        assert pages.headline(advice)


@pytest.mark.parametrize("name", ["bisect-keras/keras-2.3.0", "claims", "reference-quick"])
def test_report_reads_a_small_and_a_large_one(name: str, tmp_path: Path) -> None:
    found = content.read(RESULTS / name)
    (page,) = exports.write(found, "html", tmp_path / "report.html")
    text = page.read_text()
    assert all(one.id in text for one in found.cells)
    assert "requests not kept" in text or not found.not_kept
    shown = [one for one in found.cells if one.worst.ended.evidence]
    assert all(one.excerpts for one in shown)


@over_all_runs
def test_waterfall_reads_it_and_says_where_requests_are_not_kept(folder: Path) -> None:
    for view in waterfall_view.views(records(folder), folder, ["*"]):
        assert view.why_not or len(view.lengths)


def test_claims_are_judged_from_the_records_as_the_page_says() -> None:
    from harness import environments, workloads
    from harness.experiment import experiment
    from harness.run import plan

    spec = experiment.read("claims", backends=list(environments.descriptions()), workloads=list(workloads.NAMES))
    dossier = Dossier.of(RESULTS / "claims", plan.chosen_cells(spec, [], workload=""))
    found = claims.judge_all(dossier.cells, [one for trials in dossier.trials.values() for one in trials])
    page = claims_page.page(found, dossier)
    kept = (RESULTS / "claims" / "claims.md").read_text()
    assert [line for line in page.splitlines() if line.startswith("**")] == [
        line for line in kept.splitlines() if line.startswith("**")
    ]
    assert "missing" not in page.partition("## C6")[2].partition("## C7")[0], "the stacks are read from the archive"


def test_every_link_leads_to_a_file_and_to_an_anchor_in_it() -> None:
    assert list(dead(RESULTS)) == []


def test_every_table_names_evidence_that_is_there() -> None:
    named = [(path.parent, way) for path in sorted(RESULTS.rglob("*.csv")) for way in ways_in(path)]
    assert len(named) > 500
    assert [way for folder, way in named if not evidence.exists(folder, way)] == []


def ways_in(table: Path) -> set[str]:
    frame = pd.read_csv(table, dtype=str, keep_default_na=False)
    return {way for cell in frame.get("evidence", ()) for way in cell.split()}


def test_every_record_names_evidence_that_is_there() -> None:
    ways = list(evidence_ways())
    assert len(ways) > 100
    assert [way for folder, way in ways if not evidence.exists(folder, way)] == []


@over_all_runs
def test_what_hung_or_crashed_has_evidence(folder: Path) -> None:
    bad = [record for record in records(folder) if record.outcome in SHOW_EVIDENCE and record.ended.evidence]
    for record in bad:
        assert f"**{record.outcome.value}**" in (evidence.section(folder, record.ended.evidence) or "")


def test_they_are_packed_and_packing_them_again_changes_nothing(tmp_path: Path) -> None:
    small = tmp_path / "results"
    shutil.copytree(RESULTS, small, ignore=shutil.ignore_patterns(".lock", "report*", *OTHERS))
    assert all(saved.before == saved.after for saved in packing.pack(small))


def test_they_are_light() -> None:
    if not (paths := committed()):
        pytest.skip("no checkout of git")
    assert 0 < len(paths) <= MOST_FILES
    assert sum(path.stat().st_size for path in paths if path.exists()) <= MOST_BYTES
