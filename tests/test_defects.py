"""The defects of released versions: each is whole, and what came of it is told as it was, also if it did not happen."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from harness.studies.defects import page, study
from harness.studies.defects.study import Answer, Outcome

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS, REFERENCE = CHECKOUT / "results" / "defects", CHECKOUT / "docs" / "reference" / "causes.md"
#: causes beside which the reference says which state they have
WITH_A_STATE = ("consumer-lost", "half-open", "poison-unacked", "redelivery-loop", "control-plane-dead")

every_defect = pytest.mark.parametrize("name", study.NAMES)


@every_defect
def test_every_defect_has_an_application_exact_versions_and_what_why_should_say(name: str) -> None:
    one, folder = study.defect(name), study.HERE / name
    assert one.name == name.replace("_", "-")
    assert one.source
    assert one.reported
    assert one.differs
    assert one.expected.states <= {"works", "stuck", "waiting", "cannot-say"}
    assert one.expected.causes
    assert "--concurrency" in one.options
    lines = (folder / "requirements.txt").read_text().split()
    assert lines
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line) for line in lines)
    assert '@app.task(name="app.note"' in (folder / "app.py").read_text()


def test_every_folder_is_a_defect_that_is_tried() -> None:
    assert {path.parent.name for path in study.HERE.glob("*/defect.py")} == set(study.NAMES)


def said(**more: Any) -> dict[str, Any]:
    return {"state": "stuck", "cause": "fork-held-lock", "support": ["it waits in _batcher.py"], **more}


@pytest.mark.parametrize(
    ("changed", "right"),
    [({}, True), ({"state": "waiting"}, False), ({"cause": "deadlock"}, False), ({"support": ["it waits"]}, False)],
)
def test_an_answer_is_right_if_state_cause_and_words_are(changed: dict[str, Any], right: bool) -> None:
    assert study.is_right(study.defect("lock_at_fork").expected, said(**changed)) is right


def outcome(*answers: Answer, symptom: str = "nothing was run | for 20 s", tries: int = 3, trouble: str = "") -> Outcome:
    return Outcome(
        name="lock-at-fork", versions={"celery": "5.6.3", "six": "1.0"}, tries=tries, symptom=symptom, trouble=trouble,
        answers=answers, seen={},
    )  # fmt: skip


def test_the_table_tells_what_happened_and_what_why_said(tmp_path: Path) -> None:
    shallow = Answer(deep=False, took_s=4.5, said=said(cause="", support=[]), right=False)
    deep = Answer(deep=True, took_s=5.0, said=said(), right=True)
    page.keep(tmp_path, "lock_at_fork", outcome(shallow, deep))
    text = page.table(page.kept(tmp_path))
    row = next(line for line in text.splitlines() if line.startswith("| [lock-at-fork]"))
    assert "| celery 5.6.3 | 3 | nothing was run \\| for 20 s |" in row
    assert "stuck, no cause; --deep: stuck, fork-held-lock | with --deep | 4.5, 5 |" in row
    assert "it waits in \\_batcher.py." in text


def test_a_defect_that_did_not_happen_is_told_with_its_tries(tmp_path: Path) -> None:
    none = outcome(symptom="", tries=50, trouble="the worker did not start")
    page.keep(tmp_path, "lock_at_fork", none)
    assert "| 50 | did not happen: the worker did not start | not asked | no |" in page.table(page.kept(tmp_path))
    assert page.line(none) == "lock-at-fork: did not happen in 50 tries the worker did not start"


def test_the_table_on_record_is_the_one_that_the_records_make() -> None:
    records = page.kept(RESULTS)
    assert (RESULTS / "defects.md").read_text() == page.table(records)
    assert [one["name"].replace("-", "_") for one in records] == list(study.NAMES)
    assert sum(bool(one["symptom"]) for one in records) >= 6


@every_defect
def test_what_is_expected_is_what_the_reference_promises(name: str) -> None:
    expected = study.defect(name).expected
    (cause,) = expected.causes
    rows = [line.strip("| ").split(" | ") for line in REFERENCE.read_text().splitlines() if line.startswith(f"| `{cause}` |")]
    assert len(rows) == 1
    if cause in WITH_A_STATE:
        (state,) = expected.states
        assert state in re.findall(r"stuck|waiting|cannot-say|works", rows[0][2])


@every_defect
def test_what_is_on_record_is_judged_as_the_defect_says_now(name: str) -> None:
    (record,) = [one for one in page.kept(RESULTS) if one["name"] == study.defect(name).name]
    for answer in record["answers"]:
        assert answer["right"] is study.is_right(study.defect(name).expected, answer["said"])


@every_defect
def test_the_reference_tells_what_why_says_of_it_on_record(name: str) -> None:
    (record,) = [one for one in page.kept(RESULTS) if one["name"] == study.defect(name).name]
    said, thread = record["answers"][0]["said"], re.split(r"[ ,]", record["source"])[0]
    end = f" | `{said['cause']}` | {said['state']} |"
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith(f"| {thread}: ") and line.endswith(end)]
    assert len(rows) == 1
