"""The serial calls once more, after a trial that answers otherwise: whether it is the trial, or the time that has passed.

A minute of the clock, or what a request leaves in a file or a database, is the same in all serial calls and another one later.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.applications.probe import learn, results
from harness.machine.processes import OwnedProcess
from harness.trial.application import Application
from harness.worker import contract, witness

LINES, LOG = "again.jsonl", "again.log"
LIMIT_S = 60.0  # of an import and of the last call, beside the time for the others
AS_BEFORE = 0  # the order of the calls (`witness.turns`)


def calls(
    application: Application, broker_url: str, interrupted: Callable[[], bool], folder: Path, most_s: float
) -> list[dict[str, Any]]:
    """Call the rows as a witness does; its lines. `folder`: the trial's, with its spec; `most_s`: after which no call is begun.
    Raises Interrupted.
    """
    path = folder / LINES
    variables = {**application.variables(broker_url), contract.SPEC: str(folder / contract.SPEC_FILE)}
    least_s = 0.0 if application.most_calls else witness.LEAST_S
    argv = [str(application.python), "-m", "harness.worker.witness", str(path), str(AS_BEFORE), str(least_s), str(most_s)]
    with OwnedProcess(argv, log=folder / LOG, env=variables, cwd=application.folder) as process:
        learn.ended(process, interrupted, LIMIT_S + most_s)
    return results.whole_lines(path)
