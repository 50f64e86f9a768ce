"""The record of one trial: what is kept, and its text form. Raw facts; statistics come later.

One JSON object a line in `trials.jsonl`. Its sections are in `sections`; older schema versions are read by `upgrades`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from harness.experiment.matrix import Cell
from harness.records.cpu import Cpu
from harness.records.outcomes import Outcome
from harness.records.sections import Answers, Asked, Certainty, Client, Ended, Frozen, Memory, Pace
from harness.records.silent import Silent
from harness.records.upgrades import SCHEMA, upgraded


class TrialRecord(Frozen):
    """One trial: one cell, run once. What names it and how it ended can be asked of the record itself."""

    schema_version: int = SCHEMA
    asked: Asked
    ended: Ended
    answers: Answers = Answers()
    pace: Pace = Pace()
    cpu: Cpu = Cpu()
    memory: Memory = Memory()
    client: Client = Client()
    silent: Silent = Silent()
    certainty: Certainty = Certainty()

    def changed(self, **sections: Mapping[str, Any]) -> TrialRecord:
        """A copy with other values of some fields: `changed(ended={"cause": "deadlock"})`."""
        return self.model_copy(update={name: getattr(self, name).revised(**new) for name, new in sections.items()})

    @property
    def spoiled(self) -> bool:
        """Whether it is worth a second try: our own instrument failed, or something took the figures away."""
        return self.outcome is Outcome.INVALID or bool(self.certainty.unusable)

    @property
    def cell_id(self) -> str:
        return self.asked.cell_id

    @property
    def trial(self) -> int:
        return self.asked.trial

    @property
    def as_cell(self) -> Cell:
        return self.asked.as_cell

    @property
    def outcome(self) -> Outcome:
        return self.ended.outcome

    @property
    def reason(self) -> str:
        return self.ended.reason


def by_cell(records: Iterable[TrialRecord]) -> dict[str, list[TrialRecord]]:
    """Records by their cell's id, in the order in which cells first appear."""
    found: dict[str, list[TrialRecord]] = {}
    for record in records:
        found.setdefault(record.cell_id, []).append(record)
    return found


def to_line(record: TrialRecord) -> str:
    return record.model_dump_json() + "\n"


def from_line(line: str) -> TrialRecord | None:
    """The record of a line, None for a torn one (a run was killed while it wrote). Raises BadInput for a later schema."""
    try:
        return TrialRecord.model_validate_json(line) if line.startswith(CURRENT) else _from_other(json.loads(line))
    except ValueError:  # pydantic's and json's own are among them
        return None


def _from_other(data: Any) -> TrialRecord | None:
    """A record of another version, or one whose fields stand in another order."""
    if not isinstance(data, dict):
        return None
    return TrialRecord.model_validate(upgraded(data))


CURRENT = f'{{"schema_version":{SCHEMA},'  # how `to_line` begins
