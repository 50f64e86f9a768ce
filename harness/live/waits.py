"""What each executor of a running worker waits for, and where: the kernel's part, and frames. Native ones only if asked for,
since py-spy stops a process for some milliseconds to read them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.live import blocked_by, loop_calls, measured
from harness.live.attach import Seen
from harness.live.blocked_by import Blocks
from harness.machine import descriptors, file_locks, procfs
from harness.machine.procfs import Thread
from harness.machine.syscalls import FILE_LOCKS
from harness.observe import stacks, waits
from harness.observe.looks import ProcessLook, window
from harness.observe.roles import STANDARD

TRACED = "t"  # the state of a thread that a debugger has stopped, see proc(5)
EXECUTORS = re.compile(STANDARD + r"concurrent/futures/thread\.py\)$")  # as the innermost function of a thread
FUTURES = re.compile(r"\bconcurrent/futures/")
SLEEPS, LISTENS = frozenset({"sleep", "restart"}), "connections to TCP"
Stacks = Sequence[Mapping[str, Any]]  # of a process, as `stacks.dumped` has them


@dataclass(frozen=True, kw_only=True)
class Wait:
    """In words; `owner`: who holds a lock, where the kernel or the lock itself tells."""

    what: str
    owner: str = ""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """By (process, thread): `waits`, and `frames`, innermost first. `lost`: by process, the names of (native, Python) threads
    that its parent has and it lacks; `aloof`: nobody within their process asks these for anything. `deep`: native frames were
    asked for; `natives`: by process, the stacks that these are from; `missing`: the processes of which they could not be had.
    `blocks`: what blocks whom, where one look tells. `measured`: by process that lacks native threads, what the
    atlas has of its engines. `timers`: those of the application's in the main process, beside a pool of processes."""

    waits: Mapping[tuple[int, int], Wait]
    frames: Mapping[tuple[int, int], tuple[str, ...]]
    lost: Mapping[int, tuple[tuple[str, ...], tuple[str, ...]]]
    deep: bool
    aloof: bool = False
    natives: Mapping[int, Stacks] = field(default_factory=dict)
    missing: tuple[int, ...] = ()
    blocks: Blocks = field(default_factory=Blocks)
    measured: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    timers: tuple[str, ...] = ()


def look(seen: Seen, *, deep: bool) -> Evidence:
    """Of every executor that is at something."""
    last = seen.last
    pids = dict.fromkeys(stage.pid for stage in last.stages)
    frozen = {one.pid for one in last.processes if one.frozen}  # these cannot be stopped, and so would be once they are thawed
    natives = {pid: dump for pid in pids if deep and pid not in frozen and (dump := stacks.native(pid))}
    texts = {pid: stacks.text(pid) for pid in pids if pid not in natives}
    frames = {
        (one.pid, one.tid): stacks.frames_in(natives[one.pid], one.tid)
        if one.pid in natives
        else stacks.frames_of(texts[one.pid], one.tid)
        for one in last.stages
    }
    found = {(one.pid, one.tid): _wait(one.pid, one.tid, frames[one.pid, one.tid]) for one in last.stages}
    blocks = blocked_by.look(seen, frames)
    owned = {
        place: replace(wait, owner=blocks.locks[place].holder) if place in blocks.locks and not wait.owner else wait
        for place, wait in found.items()
    }
    futures = {pid: _of_futures(frames, pid) for pid in pids}
    lost = {pid: _lost(seen, pid, futures[pid]) for pid in pids}
    return Evidence(
        waits=owned,
        frames=frames,
        lost=lost,
        deep=deep,
        aloof=any(native or python for native, python in lost.values()) and _are_aloof(seen, any(futures.values())),
        natives=natives,
        missing=tuple(texts) if deep else (),
        blocks=blocks,
        measured={pid: measured.of_process(pid, seen.pool) for pid, (native, _) in lost.items() if native},
        timers=loop_calls.timers(seen.worker.main) if seen.pool == "prefork" and last.stages else (),
    )


def _wait(pid: int, tid: int, frames: tuple[str, ...]) -> Wait:
    call, at = procfs.call(pid, tid), waits.place(frames)
    if any(one.tid == tid and one.state == TRACED for one in procfs.threads(pid)) and (tracer := procfs.tracer(pid)):
        holds = f"{descriptors.named(tracer)}, which debugs it, to let it go on"
        return Wait(what=", ".join(part for part in (holds, at) if part))
    what = ", ".join(part for part in (waits.waits_for(pid, tid), at) if part)
    owner = next((one.owner for one in procfs.threads(pid) if one.tid == tid), 0)
    if owner:
        there = owner in procfs.numbers(f"/proc/{pid}/task")
        return Wait(what=what, owner=f"thread {owner}{'' if there else ', which this process does not have'}")
    if call is not None and call.kind in FILE_LOCKS:
        holder = file_locks.holder(pid, call.arguments[0])
        return Wait(what=what, owner=descriptors.named(holder) if holder else "")
    return Wait(what=what)


def _of_futures(frames: Mapping[tuple[int, int], Sequence[str]], pid: int) -> bool:
    """Whether a thread of this process waits for what an executor should do."""
    return any(FUTURES.search(frame) for place, stack in frames.items() if place[0] == pid for frame in stack)


def _lost(seen: Seen, pid: int, futures: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Threads that its parent has now, and it lacks; none of a process that was not forked by the worker. `futures`: it waits
    for what an executor should do."""
    by_pid = {one.pid: one for one in seen.last.processes}
    main, child = by_pid.get(seen.worker.main), by_pid.get(pid)
    if main is None or child is None or not child.lost_threads:
        return (), ()
    known, others = (main.python_tids or frozenset()) | main.own_tids, _threads_of(main, futures)
    return (
        tuple(thread.name for thread in others if thread.tid not in known),
        tuple(thread.name for thread in others if thread.tid in known),
    )


def _threads_of(main: ProcessLook, futures: bool = False) -> list[Thread]:
    """The threads of a main process that are not Celery's own. An executor's that idle are somebody's, too, for beside children
    Celery has none; only what waits for a future (`futures`) may miss them."""
    pool = {tid for tid, (function, _) in main.functions.items() if EXECUTORS.search(function)}
    own = main.own_tids - (pool if futures else set())
    return [thread for thread in main.threads if thread.tid != main.pid and thread.tid not in own]


def _are_aloof(seen: Seen, futures: bool) -> bool:
    """Whether nobody within the process asks its other threads for anything, as far as the kernel shows: at each look they
    sleep, or wait for somebody to connect."""
    looks = [one for look in window(seen.looks) for one in look.processes if one.pid == seen.worker.main]
    threads = [thread for look in looks for thread in _threads_of(look, futures)]
    asked = {thread.tid for thread in threads if thread.waits_in not in SLEEPS}
    return all(_listens(seen.worker.main, tid) for tid in asked)


def _listens(pid: int, tid: int) -> bool:
    """Whether a thread waits for connections alone."""
    call = procfs.call(pid, tid)
    at = descriptors.waited_at(pid, call) if call is not None else []
    return bool(at) and all(descriptors.leads_to(pid, one).startswith(LISTENS) for one in at)
