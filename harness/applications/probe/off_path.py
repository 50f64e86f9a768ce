"""What a worker that the script `celery` starts cannot import, and one of `python -m celery` can. It looks into the folder."""

from __future__ import annotations

import re

from harness.records.record import TrialRecord
from harness.texts import few
from harness.trial.application import Application

MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


def said(record: TrialRecord, application: Application) -> list[str]:
    """Whether a task imports what lies in the worker's folder, where the script `celery` does not let it."""
    missing = [found[1] for text in record.answers.errors if (found := MISSING.search(text))]
    own = [one for one in missing if any((application.folder / name).exists() for name in (f"{one}.py", one))]
    if record.as_cell.is_baseline or not application.script or not own:
        return []
    return [
        f"{few(own)} lies in the worker's folder, which the script celery takes off the path once the application is loaded: "
        "start the worker as python -m celery, or put the folder into PYTHONPATH"
    ]
