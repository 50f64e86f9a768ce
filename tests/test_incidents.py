"""Incidents: data and cells agree, and what was seen is set beside what the thread reports, without guessing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import environments, workloads
from harness.experiment import experiment
from harness.records import store
from harness.records.outcomes import Outcome
from harness.run import plan
from harness.studies.claims import incidents, incidents_page
from harness.studies.claims.dossier import Dossier
from harness.studies.claims.incidents import INCIDENTS, IncidentCheck, Ratio
from harness.studies.claims.incidents_page import Seen
from tests.test_store import record

CELLS = experiment.read("incidents", backends=list(environments.descriptions()), workloads=list(workloads.NAMES)).expand()
BY_ID = {cell.id: cell for cell in CELLS}
OK = {"outcome": Outcome.OK, "requests": 9, "ok": 9}


def test_the_experiment_holds_the_cells_of_the_incidents_and_no_others() -> None:
    named = {name for incident in INCIDENTS for name in incidents.cell_ids(incident)}
    assert named == set(BY_ID)


def test_every_cell_of_the_incidents_and_claims_can_exist() -> None:
    other = experiment.read("claims", backends=list(environments.descriptions()), workloads=list(workloads.NAMES)).expand()
    assert {cell.id: reason for cell in [*CELLS, *other] if (reason := plan.why_skipped(cell))} == {}


def test_every_incident_says_how_it_differs_from_its_thread() -> None:
    assert all(incident.differences and incident.symptom and incident.helped for incident in INCIDENTS)


def dossier(folder: Path, **by_outcome: list[str]) -> Dossier:
    """A run in which the named cells ended so."""
    for outcome, names in by_outcome.items():
        for name in names:
            changes = OK if outcome == "ok" else {"outcome": Outcome(outcome)}
            store.RunFolder(folder).append(record(BY_ID[name], **changes))
    return Dossier.of(folder, CELLS)


def seen(source: str, found: Dossier) -> list[Seen]:
    return incidents_page.judge(next(one for one in INCIDENTS if one.source.startswith(source)), found)


def checks(source: str) -> list[IncidentCheck]:
    incident = next(one for one in INCIDENTS if one.source.startswith(source))
    return [check for check in incident.checks if isinstance(check, IncidentCheck)]


def test_a_check_is_as_reported_or_not_or_open(tmp_path: Path) -> None:
    hangs, helps, ours = checks("tensorflow#27074")
    assert [one.result for one in seen("tensorflow#27074", dossier(tmp_path))] == ["cannot say"] * 3
    found = dossier(tmp_path, hung=[hangs.cell, ours.cell], ok=[helps.cell])
    assert [one.result for one in seen("tensorflow#27074", found)] == ["as reported", "as reported", "not in the thread"]
    found = dossier(tmp_path, ok=[hangs.cell], invalid=[helps.cell])
    assert [one.result for one in seen("tensorflow#27074", found)][:2] == ["not as reported", "cannot say"]


@pytest.mark.parametrize(("fast_per_s", "result"), [(1000, "as reported"), (20, "not as reported"), (None, "cannot say")])
def test_a_ratio_of_two_paces_is_set_beside_the_threads(tmp_path: Path, fast_per_s: int | None, result: str) -> None:
    ratio = next(check for one in INCIDENTS for check in one.checks if isinstance(check, Ratio))
    run = store.RunFolder(tmp_path)
    run.append(record(BY_ID[ratio.slow], **OK, measured_s=1.0, measured_requests=20))
    if fast_per_s:
        run.append(record(BY_ID[ratio.fast], **OK, measured_s=1.0, measured_requests=fast_per_s))
    (one,) = seen("tensorflow#40261", Dossier.of(tmp_path, CELLS))
    assert one.result == result
    if fast_per_s == 1000:
        assert "50.00 ms and 1.00 ms per request: 50.0 times (the thread: 269 times)" in one.seen


def test_pings_come_from_the_pool_contracts_or_are_not_measured_yet(tmp_path: Path) -> None:
    run = tmp_path / "incidents"
    run.mkdir()
    (one,) = seen("celery#7240", Dossier.of(run, CELLS))
    assert (one.seen, one.result) == ("not measured yet", "cannot say")
    (tmp_path / "contracts").mkdir()
    head = "backend,pool,contract,verdict,detail"
    lines = "\n".join([head, "a,solo,ping-spin,silent,0 of 9", "b,solo,ping-spin,late,9 of 9", "a,solo,revoke,kept,x"])
    (tmp_path / "contracts" / "contracts.csv").write_text(lines)
    (one,) = seen("celery#7240", Dossier.of(run, CELLS))
    assert (one.told, one.seen, one.result) == ("ping-spin in solo", "a: silent, 0 of 9; b: late, 9 of 9", "silent or late")
    assert one.evidence == ("../contracts/contracts.csv",)


def test_the_page_has_every_incident_and_the_table_every_check(tmp_path: Path) -> None:
    found = dossier(tmp_path, hung=[CELLS[-1].id])
    results = incidents_page.judge_all(found)
    page, table = incidents_page.page(results, found), incidents_page.table(results, found)
    assert page.count("\n## ") == len(INCIDENTS)
    assert page.count("*Differs from the thread:*") == len(INCIDENTS)
    assert len(table) == len(results)
    assert set(table["source"]) == {incident.source for incident in INCIDENTS}
