"""Records made by hand: fields are named as a flat record names them (`records.upgrades`), and find their sections."""

from __future__ import annotations

from typing import Any

from harness.records.record import TrialRecord
from harness.records.upgrades import PLACES, sections

LEAST: dict[str, Any] = {"trial": 1, "plan_key": "", "started": "", "cell": {}, "reason": ""}


def record(**fields: Any) -> TrialRecord:
    """A record of today's schema."""
    return TrialRecord.model_validate(in_sections({**LEAST, **fields}))


def changed(one: TrialRecord, **fields: Any) -> TrialRecord:
    """A copy with other values of these fields; an error if there is no such field."""
    return one.changed(**in_sections(fields))


def in_sections(fields: dict[str, Any]) -> dict[str, dict[str, Any]]:
    assert set(fields) <= set(PLACES), set(fields) - set(PLACES)
    return sections(fields)
