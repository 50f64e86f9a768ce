"""Which processes alone could end a thread's wait, as far as the kernel tells: of a closed set, nobody outside may be one.

Whoever may not be looked at (another user's process that was given a descriptor of ours) is not seen, here or anywhere. But
if nobody is seen who has the other end of what is waited at, somebody hidden has it, and nobody knows who could end the wait.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness.machine import descriptors, file_locks, procfs, shared_memory
from harness.machine.procfs import Thread
from harness.machine.syscalls import FILE_LOCKS, Call
from harness.observe.looks import ProcessLook

LOOK_UP_EVERY_S = 0.9  # shorter than the judge's window, so that each window has one
AT_DESCRIPTORS = ("read", "recv", "write", "send", "poll", "epoll", "select")  # for pipes and sockets


def wakers(pid: int, thread: Thread, children: Sequence[int]) -> frozenset[int]:
    """The processes that could end this wait; none if others could, if it ends by itself, and if that is not known."""
    if thread.timed:
        return frozenset()
    if thread.waits_in == "futex" and thread.private:
        return frozenset({pid})
    call = procfs.call(pid, thread.tid)
    return _of_call(pid, call, children) if call is not None and call.kind == thread.waits_in else frozenset()


def _of_call(pid: int, call: Call, children: Sequence[int]) -> frozenset[int]:
    if call.kind == "futex":
        return shared_memory.sharers(pid, call.arguments[0])
    if call.kind == "wait-child":
        return frozenset(children)
    if call.kind in FILE_LOCKS:
        return file_locks.releasers(pid, call.arguments[0]) if not descriptors.in_flight() else frozenset()
    return descriptors.holders_of(pid, call) if call.kind in AT_DESCRIPTORS else frozenset()


@dataclass
class Wakers:
    """The wakers of a process's threads, looked up now and then. They hold for a thread as long as it is not switched to."""

    at_s: float = -math.inf
    of: Mapping[int, tuple[int, frozenset[int]]] = field(default_factory=dict)  # thread -> (its switches then, its wakers)

    def told(self, look: ProcessLook) -> tuple[Thread, ...]:
        """The threads of a process, with the wakers of each that are known now."""
        if (now := time.monotonic()) - self.at_s >= LOOK_UP_EVERY_S:
            self.at_s = now
            self.of = {one.tid: (one.switches, wakers(look.pid, one, look.children)) for one in look.threads}
        return tuple(replace(one, wakers=self._now(one)) for one in look.threads)

    def _now(self, thread: Thread) -> frozenset[int]:
        switches, found = self.of.get(thread.tid, (-1, frozenset[int]()))
        return found if switches == thread.switches and not thread.timed else frozenset()
