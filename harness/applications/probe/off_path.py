"""What a worker that the script `celery` starts cannot import, and one of `python -m celery` can. It looks into the folder."""

from __future__ import annotations

import re
from pathlib import Path

from harness.applications.probe import results
from harness.records.record import TrialRecord
from harness.texts import few
from harness.trial.application import Application

TAKES = "the script celery takes off the path once the application is loaded"
MISSING = re.compile(r"ModuleNotFoundError: No module named '(\w+)")


def said(record: TrialRecord, application: Application) -> list[str]:
    """Whether a task imports what lies in the worker's folder, where the script `celery` does not let it."""
    missing = [found[1] for text in record.answers.errors if (found := MISSING.search(text))]
    own = [one for one in missing if any((application.folder / name).exists() for name in (f"{one}.py", one))]
    if record.as_cell.is_baseline or not application.script or not own:
        return []
    return [
        f"{few(own)} lies in the worker's folder, which {TAKES}: start the worker as python -m celery, or put the folder into "
        "PYTHONPATH"
    ]


def late(serial: Path, application: Application) -> list[str]:
    """What its owner has to know of a task that imports what lies in the worker's folder only as it runs, if its worker is
    started here by `python -m celery`, and so finds it. `serial`: the result of the serial calls."""
    modules = sorted(results.loaded(serial, "of_folder"))
    if application.script or not modules:
        return []
    return [
        f"a task imports {few(modules)} from the worker's folder only as it runs: {TAKES}, and the import fails; here the "
        "worker is started as python -m celery, which keeps it: start it so, or put the folder into PYTHONPATH"
    ]
