"""A proof of a hang that is confirmed beside the next trial: nobody looks, so that nothing disturbs what is measured there.

That is only done where the kernel shows at the end that nothing happened: the threads that hang were not switched to once, and
no event of theirs came. What cannot be shown so is watched as ever. If it did go on, the trial ends here, and is run again for
itself, as is whatever was measured at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from harness.observe.looks import ProcessLook, window
from harness.observe.progress import Progress

if TYPE_CHECKING:
    from harness.trial.watcher import Watcher

LOOK_S = 0.5
LOOK_AGAIN_S = 2.0  # before the end: so long it takes until the proof is seen again
Switches = Mapping[int, int]


def may_stand(watcher: Watcher) -> bool:
    """Whether the threads that hang stood still in all of the watchdog's window: then they can be held to it."""
    turn, held = watcher.work.turn, _held(watcher)
    seen = [switches(look.processes, held) for look in window(watcher.looks)] if watcher.looks else []
    return turn.may_stand and bool(seen) and len(seen[0]) == len(held) > 0 and all(one == seen[0] for one in seen)


def stand(watcher: Watcher, until_s: float) -> str:
    """Stand until shortly before this moment; '' if nothing happened, else what did."""
    site, work = watcher.site, watcher.work
    progress, held = site.progress, _held(watcher)
    before, moved = switches(watcher.looks[-1].processes, held), _moved(progress)
    work.turn.stand()
    while site.now() < until_s - LOOK_AGAIN_S and _moved(progress) == moved and _goes_on(watcher):
        site.sleep(LOOK_S)
        progress.read()
    went_on = "then it went on beside another trial" if _moved(progress) != moved else ""
    if went_on:
        work.turn.disturb(f"{work.cell.id}, which was held to hang, went on meanwhile")
    work.turn.stir()
    if not went_on and _goes_on(watcher) and switches(site.look(closely=frozenset()), held) != before:
        went_on = "then its threads ran while nobody looked"
    return went_on


def switches(processes: Iterable[ProcessLook], held: frozenset[int]) -> Switches:
    """How often the kernel has switched to each of these threads."""
    return {thread.tid: thread.switches for process in processes for thread in process.threads if thread.tid in held}


def _moved(progress: Progress) -> tuple[object, ...]:
    """What changes as soon as the worker does anything; the load generator may still say that its next phase begins."""
    return progress.begun, progress.ended, progress.received, frozenset(progress.open)


def _held(watcher: Watcher) -> frozenset[int]:
    return frozenset(stage.tid for stage in watcher.site.progress.open.values())


def _goes_on(watcher: Watcher) -> bool:
    site = watcher.site
    return site.worker_code() is None and site.client_code() is None and not watcher.work.interrupted()
