"""Records of every earlier version read like today's; those of a later one are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import BadInput
from harness.records import store
from harness.records.record import from_line, to_line
from harness.records.upgrades import RENAMED, SAME, SCHEMA, UPGRADES
from tests.test_doubts import CPU
from tests.test_store import CELL, record

FLAT = {
    "cell_id": CELL.id, "cell": CELL.as_dict(), "trial": 1, "plan_key": "k", "started": "2026-01-01T00:00:00+00:00",
    "seconds": 1.0, "outcome": "ok", "reason": "fine",
}  # fmt: skip
EARLIER = Path(__file__).parent / "records"  # one of each outcome that the records of a version had, as it wrote them


def test_there_is_a_step_from_each_earlier_version_to_the_next() -> None:
    assert sorted(UPGRADES) == list(range(1, SCHEMA))


@pytest.mark.parametrize("version", [1, 2])
def test_records_of_an_earlier_version_read(version: int, tmp_path: Path) -> None:
    lines = (EARLIER / f"schema-{version}.jsonl").read_text().splitlines()
    (tmp_path / "trials.jsonl").write_text("\n".join(lines) + "\n")
    records = store.RunFolder(tmp_path).records()
    assert len(records) == len(lines) > 0
    for line, one in zip(lines, records, strict=True):
        before = json.loads(line)
        assert before["schema_version"] == version
        assert one.schema_version == SCHEMA
        assert (one.cell_id, one.outcome, one.pace.measured_requests) == (
            before["cell_id"], before["outcome"], before["measured_requests"],
        )  # fmt: skip


def test_a_record_of_the_first_version_has_nothing_in_the_fields_it_did_not_know() -> None:
    read = from_line(json.dumps({**FLAT, "schema_version": 1}))
    assert read == record()


def test_a_flat_record_finds_its_sections() -> None:
    flat = {**FLAT, "schema_version": 2, "cpu": CPU.model_dump(), "cpu_verdict": "saturated", "ready_s": 1.5, "ok": 3}
    read = from_line(json.dumps(flat))
    assert read == record(cpu=CPU, cpu_verdict="saturated", ready_s=1.5, ok=3)
    assert read.cpu.use == CPU
    assert (read.cpu.verdict, read.pace.ready_s, read.answers.ok) == ("saturated", 1.5, 3)


def test_every_field_of_a_flat_record_has_its_place() -> None:
    flat = json.loads((EARLIER / "schema-2.jsonl").read_text().splitlines()[-1])
    placed = {name for names in (*SAME.values(), *RENAMED.values()) for name in names}
    assert set(flat) - {"schema_version"} == placed
    parts = from_line(json.dumps(flat)).model_dump()  # type: ignore[union-attr]
    assert {name: list(parts[name]) for name in parts if name != "schema_version"}.keys() == set(SAME)


def test_a_record_of_a_later_version_is_refused_with_a_remedy() -> None:
    later = json.loads(to_line(record())) | {"schema_version": SCHEMA + 1}
    with pytest.raises(BadInput, match=f"version {SCHEMA + 1}") as caught:
        from_line(json.dumps(later))
    assert "harness that wrote it" in caught.value.remedy


def test_what_would_act_on_a_terminal_is_written_out() -> None:
    told = {**FLAT, "schema_version": 2, "reason": "\x1b]0;title\x07 and \u202e\nmore", "errors": {"\x1b[2J": 1}}
    read = from_line(json.dumps(told))
    assert read
    assert read.reason == "\\x1b]0;title\\x07 and \\x202e\nmore"
    assert read.answers.errors == {"\\x1b[2J": 1}


@pytest.mark.parametrize("line", ["", "{", "[]", "3", '{"schema_version":2,', '{"schema_version":1}'])
def test_what_is_no_whole_record_is_left_out(line: str) -> None:
    assert from_line(line) is None
