"""The records of the study: one JSON file per defect, and a short table made of all of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.studies.defects import study
from harness.studies.defects.study import Outcome
from harness.texts import escaped

SHOWN = ("celery", "kombu", "billiard", "redis", "sentry-sdk")  # of what is installed
HEAD = """# Real defects, and what `harness why` says

Made by `python -m harness.studies.defects`, not edited by hand. Each defect is provoked with released versions that have it, up
to 50 times. The *symptom* is seen at the broker, without our tool. *right*: `why` names state and cause, and says the words,
as expected.

| defect | versions | tries | symptom | `why` says | right | seconds |
| --- | --- | --- | --- | --- | --- | --- |
"""


def keep(folder: Path, name: str, outcome: Outcome) -> None:
    """Write what came of a defect, in place of what was there."""
    one = study.defect(name)
    told = {
        "source": one.source, "reported": one.reported, "differs": one.differs,
        "expected": {
            "states": sorted(one.expected.states), "causes": sorted(one.expected.causes), "words": list(one.expected.words),
        },
        "machine": study.machine(),
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps({**told, **dataclasses.asdict(outcome)}, indent=1) + "\n")


def kept(folder: Path) -> list[dict[str, Any]]:
    """All that are there, in the study's order."""
    return [json.loads(path.read_text()) for name in study.NAMES if (path := folder / f"{name}.json").exists()]


def table(records: Sequence[Mapping[str, Any]]) -> str:
    """All of them as Markdown, and under the table what was expected, and what the threads say."""
    rows = "".join(_row(one) for one in records)
    notes = "".join(_note(one) for one in records)
    return f"{HEAD}{rows}\n{notes}"


def _row(one: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {one['versions'][name]}" for name in SHOWN if name in one["versions"])
    answers = one["answers"]
    said = (
        "; ".join(dict.fromkeys(f"{'--deep: ' if each['deep'] else ''}{_short(each['said'])}" for each in answers))
        or "not asked"
    )
    right = "yes" if answers and answers[0]["right"] else "with --deep" if any(each["right"] for each in answers) else "no"
    took = ", ".join(f"{each['took_s']:g}" for each in answers)
    symptom = one["symptom"] or f"did not happen{': ' + one['trouble'] if one.get('trouble') else ''}"
    cells = (f"[{one['name']}](#{one['name']})", versions, one["tries"], escaped(symptom), escaped(said), right, took)
    return f"| {' | '.join(map(str, cells))} |\n"


def _short(said: Mapping[str, Any]) -> str:
    return f"{said['state']}, {said['cause'] or 'no cause'}"


def _note(one: Mapping[str, Any]) -> str:
    expected = one["expected"]
    support = next(
        (" ".join(f"{text}." for text in each["said"]["support"]) for each in one["answers"] if each["said"]["support"]), ""
    )
    words = "".join(f"; it says {word!r}" for word in expected["words"])
    lines = [
        f"## {one['name']}\n",
        f"{escaped(one['source'])}: {escaped(one['reported'])}.",
        f"*Differs from the thread:* {escaped(one['differs'])}.",
        f"*Expected:* {' or '.join(expected['states'])}, {' or '.join(expected['causes'])}{escaped(words)}.",
        *([f"*Support:* {escaped(support)}"] if support else []),
    ]
    return "\n".join(lines) + "\n\n"


def line(outcome: Outcome) -> str:
    """For the terminal."""
    if not outcome.symptom:
        return f"{outcome.name}: did not happen in {outcome.tries} tries {outcome.trouble}".rstrip()
    said = "; ".join(f"{_short(each.said)} in {each.took_s:g} s" for each in outcome.answers)
    return f"{outcome.name}: try {outcome.tries}: {outcome.symptom}. why: {said}; {'right' if outcome.right else 'not right'}"
