"""What a reader has to know beside the figures is on record, and every page of a run tells it."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness import cli, display
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, from_line, to_line
from harness.records.store import RunFolder
from harness.report import content, exports, page
from harness.run import written
from harness.summary import notes, summary
from tests.test_advise import FORK, SOLO, trials
from tests.test_advise import written as run_of

NOTE = "worker_concurrency is 8 in the settings, overridden in the trial: <b>each</b> pool has what --concurrency says"
ONCE = "not compared, for it differs from call to call: result.receipt"


def noted(group: list[TrialRecord], *said: str) -> list[TrialRecord]:
    return [record.changed(certainty={"notes": list(said)}) for record in group]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return run_of(tmp_path / "run", noted(trials(FORK, 50, hung=1), NOTE), noted(trials(SOLO, 20, 21), NOTE, ONCE))


def printed(*argv: object) -> str:
    return CliRunner().invoke(cli.command_line(), list(map(str, argv)), env={"COLUMNS": "400"}).output


def test_a_note_is_kept_with_its_record_and_stands_in_the_row() -> None:
    (one,) = noted(trials(SOLO, 20), NOTE, ONCE)
    assert from_line(to_line(one)) == one
    assert notes.parts(summary.row([one], {}, Path())["notes"]) == [NOTE, ONCE]


def test_the_table_tells_each_note_once(run: Path) -> None:
    said = printed("show", run)
    assert said.count("note: worker_concurrency is 8") == 1
    assert f"note: {ONCE} (1 of 2 cells)" in said


def test_the_advice_tells_notes(run: Path) -> None:
    assert f"note: {ONCE} (1 of 2 cells)" in printed("recommend", run, "--json", run / "a.json", "--markdown", run / "a.md")
    assert f"note: {NOTE}" in json.loads((run / "a.json").read_text())[0]["notes"]
    assert r"\<b\>each" in (run / "a.md").read_text()


def test_the_report_tells_notes_as_text(run: Path) -> None:
    found = content.read(run)
    assert found.notes == [NOTE, f"{ONCE} (1 of 2 cells)"]
    html = page.render(found)
    assert "&lt;b&gt;each&lt;/b&gt;" in html
    assert "<b>each" not in html
    assert r"\<b\>each" in exports.markdown(found)


def test_the_diagnoses_tell_notes(run: Path) -> None:
    written.tables(RunFolder(run), [])
    said = (run / "diagnoses.md").read_text()
    assert r"* worker\_concurrency is 8" in said
    assert "receipt" not in said, "that note is of a cell that did not hang"
    assert notes.parts(str(pd.read_csv(run / "cells.csv")["notes"][1])) == [NOTE, ONCE]


def test_a_comparison_tells_the_notes_of_each_run(run: Path, tmp_path: Path) -> None:
    other = run_of(tmp_path / "other", noted(trials(FORK, 50, hung=1), NOTE, "new"), trials(SOLO, 20, 21))
    said = printed("compare", run, other, "--json", tmp_path / "c.json", "--markdown", tmp_path / "c.md")
    assert f"note on both runs: {NOTE}" in said
    assert f"note on the first run: {ONCE}" in said
    assert "note on the second run: new" in said
    assert {"of": "the second run", "note": "new"} in json.loads((tmp_path / "c.json").read_text())["notes"]
    assert "Note on the second run: new" in (tmp_path / "c.md").read_text()


def test_a_record_without_notes_is_told_without(tmp_path: Path) -> None:
    plain = run_of(tmp_path / "run", trials(replace(SOLO, pool="threads"), 20, 21, end=Outcome.WRONG))
    out = io.StringIO()
    display.noted(Console(file=out), pd.DataFrame({"notes": ["", None]}))
    assert out.getvalue() == ""
    assert "note: " not in printed("show", plain)
