"""How every verb that runs trials or workers begins and ends: the same looks, locks and clean-up, in the same order.

May we, and is there room; the folder held against a second driver; made on this machine; a scratch folder; sight of our own
processes; Ctrl-C. At the end the scratch folder goes, and a run that was stopped says so. What is done in between is the
verb's own: a run or a probe (`workflow`), a survey of contracts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import Interrupted
from harness.records import store
from harness.records.store import RunFolder
from harness.run import preflight
from harness.run.interrupt import GO_ON, STOPPED, STOPPING, interruptible
from harness.trial import supervisor


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A folder that is ours until the end. `stopped`: set once the user has asked to stop."""

    folder: RunFolder
    scratch: Path
    stopped: threading.Event


def _anything(folder: RunFolder) -> None:
    """Whatever the folder holds is welcome."""


@contextmanager
def opened(
    path: Path,
    what: str,
    say: Callable[[str], None],
    *,
    broker_url: str = "",
    fresh: bool = False,
    sight: bool = True,
    stopping: str = STOPPING,
    admit: Callable[[RunFolder], None] = _anything,
) -> Iterator[Opened]:
    """Begin work in `path`, end it in good order. Raises Interrupted at the end if the user asked to stop meanwhile.

    `what`: how an earlier one is called that `fresh` moves away. `sight`: whether threads of our processes must be seen.
    `admit` raises where the folder holds something else than is asked for.
    """
    preflight.check(path, broker_url)
    with store.room(path), RunFolder(path).opened(fresh=fresh) as folder, interruptible(say, stopping) as stopped:
        if folder.moved_to:
            say(f"the earlier {what} was moved to {folder.moved_to}")
        store.check_machine(folder)
        admit(folder)
        scratch = supervisor.fresh_folder(path / "scratch")
        if sight:
            preflight.check_sight(scratch)
        try:
            yield Opened(folder=folder, scratch=scratch, stopped=stopped)
        except Interrupted:  # of an error, what lies there may be its evidence
            supervisor.fresh_folder(scratch).rmdir()
            raise
        supervisor.fresh_folder(scratch).rmdir()
    if stopped.is_set():
        raise Interrupted(STOPPED, remedy=GO_ON)
