"""The serial calls once more, after a trial: whether they still answer as before it.

A minute of the clock, or what a request leaves in a file or a database, is the same in all serial calls and another one later.
What a trial left stays as it is if nothing runs; what hangs on the clock goes on changing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.applications.probe import learn, results
from harness.applications.probe.expected import Expected
from harness.applications.probe.sizing import Sizing
from harness.machine.processes import OwnedProcess
from harness.records.answers import Requests
from harness.trial.application import Application
from harness.trial.left import Left
from harness.worker import contract, witness

LINES, LOG = "again.jsonl", "again.log"
LIMIT_S = 60.0  # of an import and of the last call, beside the time for the others
STILL_S = 10.0  # in which nothing runs, to see what changes by itself
AS_BEFORE = 0  # the order of the calls (`witness.turns`)


Lines = Sequence[Mapping[str, Any]]  # of calls, one each


@dataclass(frozen=True, kw_only=True)
class Calls:
    """`now`: makes the serial calls in a trial's folder, none after so many seconds, for so many at least; `later`: likewise,
    after a while in which nothing runs, None if that cannot be afforded."""

    now: Callable[[Path, float, float], Lines]
    later: Callable[[Path, float], Lines] | None

    def after(self, left: Left, requests: Requests | None, expected: Expected, sizing: Sizing) -> Requests | None:
        """The requests of a trial, by what the serial calls answer now. They are made if they are quick, or if the trial did
        badly in a way that they could do, too; one that did not end by itself may have left what nobody comes back from."""
        otherwise = requests is not None and bool(requests.wrong.any() or requests.raised.any())
        if not otherwise and (left.ended.by != "done" or not sizing.is_quick(expected.rows)):
            expected.unseen += (left.cell.id,)
            return requests
        folder, most_s = left.result.parent, sizing.again_s(expected.rows)
        least_s = witness.LEAST_S if otherwise else 0.0
        wait = partial(self.later, folder, most_s) if self.later else None
        found = expected.compared_again(left, partial(self.now, folder, most_s, least_s), wait)
        return requests if found is None else found


def calls(
    application: Application, broker_url: str, interrupted: Callable[[], bool], folder: Path, most_s: float,
    least_s: float = witness.LEAST_S,
) -> list[dict[str, Any]]:  # fmt: skip
    """Call the rows as a witness does, for `least_s`; its lines. `folder`: the trial's, with its spec; `most_s`: after which no
    call is begun. Raises Interrupted.
    """
    path = folder / LINES
    variables = {**application.variables(broker_url), contract.SPEC: str(folder / contract.SPEC_FILE)}
    least_s = 0.0 if application.most_calls else least_s
    argv = [str(application.python), "-m", "harness.worker.witness", str(path), str(AS_BEFORE), str(least_s), str(most_s)]
    with OwnedProcess(argv, log=folder / LOG, env=variables, cwd=application.folder) as process:
        learn.ended(process, interrupted, LIMIT_S + most_s)
    return results.calls(path)


def later(
    application: Application, broker_url: str, interrupted: Callable[[], bool], folder: Path, most_s: float
) -> list[dict[str, Any]]:
    """The same, after a while in which nothing runs. Raises Interrupted."""
    until = time.monotonic() + STILL_S
    while time.monotonic() < until and not interrupted():
        time.sleep(learn.LOOK_EVERY_S)
    return calls(application, broker_url, interrupted, folder, most_s)
