"""Eyes that never stop what they look at, and know what is billiard's without having seen the worker begin.

Before Python 3.11 an interpreter does not keep the native ids of its threads, and `observe.stacks.glance` lets py-spy stop the
process for a moment to find them. Such a stop wakes each thread that waits, so that nobody can tell any more since when it
did. Here they are read from memory instead; a process of which that cannot be done is not looked into. Only a thread that
begins between two readings still makes `glance` stop a process of such a Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.live.libraries import installed
from harness.machine.native_ids import native_ids
from harness.observe import eyes, stacks
from harness.observe.looks import ProcessLook
from harness.observe.stacks import Glance

NOTHING = Glance(foreign=frozenset(), gil_owner=None, functions={}, own=frozenset(), ids={})


class Eyes(eyes.Eyes):
    """Like those of a trial. `ids`: by process, Python's ids of threads to native ones, where Python does not keep these."""

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self.ids: dict[int, Mapping[int, int]] = {}
        self._asked: dict[int, frozenset[int]] = {}  # the threads that a process had when it was asked
        self._billiard = ""  # its version

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        """Billiard 3 gives each child a handler of SIGUSR2, which ends it; a trial sees that when its worker is ready."""
        looks = super().look(closely=closely)
        billiards = eyes.set_by_billiard(self.main, looks) if self._billiard.startswith("3.") else frozenset()
        return tuple(one if one.pid == self.main else replace(one, caught=one.caught - billiards) for one in looks)

    def _stacks(self, look: ProcessLook) -> dict[str, Any]:
        """Nothing, if the threads cannot be told."""
        tids = frozenset(thread.tid for thread in look.threads)
        if self.ids.get(look.pid) != {} and not tids <= self._asked.get(look.pid, frozenset()):  # {}: Python keeps them
            threads = stacks.dumped(look.pid, "--nonblocking") or []
            if not threads or (found := told(look.pid, threads)) is None:
                return {}
            self.ids[look.pid], self._asked[look.pid] = found, tids
            files = (frame["filename"] for thread in threads for frame in thread["frames"])
            self._billiard = self._billiard or installed(look.pid, files).get("billiard", "")
        known = self._glances.setdefault(look.pid, eyes._Glances())
        before = known.last
        if self.ids[look.pid]:  # a glance takes over those of the one before it
            known.last = replace(before or NOTHING, ids=dict(self.ids[look.pid]))
        seen = super()._stacks(look)
        return {} if before is None and known.last is not None and not known.last.own | known.last.foreign else seen


def told(pid: int, threads: Iterable[Mapping[str, Any]]) -> dict[int, int] | None:
    """The native ids of a process's Python threads, by Python's; {} if Python keeps them; None if nobody can tell."""
    unknown = [thread["thread_id"] for thread in threads if not thread.get("os_thread_id")]
    return (native_ids(pid, unknown) or None) if unknown else {}
