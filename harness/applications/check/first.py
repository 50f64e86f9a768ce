"""What `check` says of an application that is about to be probed: the first answer, before any worker is started."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check import check, screen
from harness.applications.check.asked import Question
from harness.errors import HarnessError

LIMIT_S = 30.0


def look(app: str, python: Path, folder: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """As `screen.as_json`; {} if there is none within LIMIT_S. What is wrong with the application is the probe's to tell."""
    question = Question(app=app, python=python, folder=folder, variables=variables, limit_s=LIMIT_S)
    try:
        return screen.as_json(check.whole(question, _silently))
    except HarnessError:
        return {}


def _silently(told: str) -> None:
    """A probe says for itself what it does."""
