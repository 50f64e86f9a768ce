"""What a worker under test is started with, and what it replies to remote control. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.environments import Environment
from harness.experiment.matrix import Cell
from harness.trial import supervisor

MINGLE = "--with-mingle"  # not an option of Celery's: its own default


def command(cell: Cell, environment: Environment, arguments: Sequence[str]) -> list[str]:
    """As for a trial; `--with-mingle` among the arguments takes `--without-mingle` out, as a user's worker has it."""
    wanted = [*supervisor.worker_command(cell, environment), *arguments]
    return [part for part in wanted if part not in (MINGLE, "--without-mingle" if MINGLE in arguments else "")]


def said(reply: Mapping[str, str]) -> str:
    """A worker's reply to a control command: 'ok', or its error.

    >>> said({"ok": "terminate: 309ca3b7"})
    'ok'
    >>> said({"error": "NotImplementedError('no kill_job')"})
    "NotImplementedError('no kill_job')"
    """
    return str(reply["error"]) if "error" in reply else "ok" if "ok" in reply else str(reply)
