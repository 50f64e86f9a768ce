"""Judge, from outside, whether a trial still makes progress, and whether any can come. A pure function.

The clock alone proves nothing: a deadlock, a lock wait that will end, a sleep, a long computation and a starved queue
look alike by it. So silence only opens the question, and the answer comes from what the threads wait in. A process
that holds a request is *blocked* if, over the whole window,

* the thread that runs the request waits in a private futex without a time limit, and was not switched to once: only
  another thread of the same process could wake it;
* no other thread of that process computes, nor waits in something that may still end by itself and lead to a wake-up:
  a timer, a file lock, a child, a pipe, a socket. Threads that already waited just so when the worker was ready and
  idle (an event loop, say) are furniture. A *native* thread (no Python frame) on a timer is an engine's housekeeping
  if it wakes and sleeps again without effect, or once the silence has lasted longer still (a hung TensorFlow 2 child
  has one that wakes every few tens of seconds). A Python thread on a timer may be somebody's loop that holds a lock,
  and keeps the question open however often it wakes;
* the process has no child process that lives (a compiler).

All open stages blocked: *hung*. No stage open, requests waiting, nobody computing: *stalled*. Whatever cannot be read
or explained stays *undecided*; it never becomes a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from harness.procfs import Thread
from harness.progress import OpenStage

QUIET_S = 4.0  # silence after which the question is asked
WINDOW_S = 2.5  # every look over this long must agree
STALL_S = 7.0  # a queue may be late by a poll or two (kombu polls once a second) before it counts as stalled
IDLE_CPU = 0.03  # cores; a hung TensorFlow child with its periodic sleeper was seen at 0.00
NATIVE_TIMER_S = 7.0  # silence after which a native thread's timer counts as housekeeping, even unseen to wake
HELPER_CPU_S = 0.05  # seconds in a window that housekeeping may use
MIN_LOOKS = 4
RESPAWNS = 3  # generations of children that died before one request was answered
MAY_END = frozenset({"sleep", "flock", "fcntl", "wait-child", "read", "recv", "poll", "select", "epoll", "accept"})


class State(Enum):
    WORKING = "working"
    HUNG = "hung"
    STALLED = "stalled"
    RESPAWNING = "respawning"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    state: State
    reason: str = ""
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ProcessLook:
    """One process of the worker's tree at one moment. `cpu_s` includes the children it has waited for.

    `python_tids` are its Python threads that run other code than Celery's own, None while nobody has looked.
    """

    pid: int
    cpu_s: float
    children: tuple[int, ...]
    threads: tuple[Thread, ...]
    python_tids: frozenset[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Look:
    """Everything the judge sees at one moment; times are CLOCK_MONOTONIC seconds.

    `furniture` maps a thread to what it waited in when the worker was ready and idle.
    """

    at_s: float
    ready: bool
    last_progress_s: float
    waiting: int
    ended: int
    stages: tuple[OpenStage, ...]
    processes: tuple[ProcessLook, ...]
    furniture: Mapping[int, str] = field(default_factory=dict)
    dead_children: int = 0
    executors: int = 1  # processes that run requests


def judge(looks: Sequence[Look]) -> Verdict:
    """What the looks, oldest first, allow to say now. Only those since the last progress count."""
    now = looks[-1]
    if now.ended == 0 and now.dead_children >= RESPAWNS * now.executors:
        reason = f"{now.dead_children} children died, and no request was answered"
        return Verdict(state=State.RESPAWNING, reason=reason)
    quiet_s = now.at_s - now.last_progress_s
    recent = [look for look in looks if look.at_s > now.last_progress_s and look.at_s >= now.at_s - WINDOW_S - 0.5]
    if not now.ready or quiet_s < QUIET_S or not (now.stages or now.waiting):
        return Verdict(state=State.WORKING)
    if len(recent) < MIN_LOOKS or recent[-1].at_s - recent[0].at_s < WINDOW_S - 0.5:
        return Verdict(state=State.WORKING)
    if now.stages:
        return _judge_stages(recent, quiet_s)
    return _judge_queue(recent, quiet_s)


def _judge_stages(recent: Sequence[Look], quiet_s: float) -> Verdict:
    now = recent[-1]
    holders = sorted({stage.pid for stage in now.stages})
    doubts = [doubt for pid in holders if (doubt := why_not_blocked(recent, pid, quiet_s))]
    if doubts:
        return Verdict(state=State.UNDECIDED, reason=f"no progress for {quiet_s:.0f} s, but {doubts[0]}")
    kinds = " and ".join(sorted({stage.kind for stage in now.stages}))
    reason = (
        f"{len(holders)} of {max(len(holders), now.executors)} processes that run requests made no progress inside "
        f"{kinds} for {quiet_s:.0f} s, used no CPU, and wait in a private futex that no thread of theirs will release"
    )
    return Verdict(state=State.HUNG, reason=reason, pids=tuple(holders))


def _judge_queue(recent: Sequence[Look], quiet_s: float) -> Verdict:
    now = recent[-1]
    spent = _cores_used(recent)
    if spent > IDLE_CPU * 2 * max(1, len(now.processes)):
        return Verdict(state=State.UNDECIDED, reason=f"requests wait and the worker computes ({spent:.2f} cores)")
    if quiet_s < STALL_S:
        return Verdict(state=State.WORKING)
    reason = f"{now.waiting} requests wait, no executor holds one, and the worker has been idle for {quiet_s:.0f} s"
    return Verdict(state=State.STALLED, reason=reason, pids=tuple(process.pid for process in now.processes))


def why_not_blocked(recent: Sequence[Look], pid: int, quiet_s: float) -> str | None:
    """Why it cannot be said that nothing will come from process `pid`; None if it can: it is blocked."""
    views = [next((process for process in look.processes if process.pid == pid), None) for look in recent]
    if any(view is None for view in views):
        return f"process {pid} was not seen all the time"
    seen = [view for view in views if view is not None]
    used = (seen[-1].cpu_s - seen[0].cpu_s) / (recent[-1].at_s - recent[0].at_s)
    if used > IDLE_CPU:
        return f"process {pid} computes ({used:.2f} cores)"
    tids = {stage.tid for stage in recent[-1].stages if stage.pid == pid}
    histories: dict[int, list[Thread]] = {}
    for view in seen:
        for thread in view.threads:
            histories.setdefault(thread.tid, []).append(thread)
    for tid in sorted(tids):
        doubt = _task_thread_doubt(histories.get(tid, []), tid, len(seen))
        if doubt:
            return doubt
    if any(len(history) != len(seen) for history in histories.values()):
        return f"threads of process {pid} came or went in between"
    if seen[-1].children:
        return f"process {pid} waits beside a child process of its own"
    furniture = recent[-1].furniture
    for tid, history in sorted(histories.items()):
        foreign = seen[-1].python_tids is None or tid in seen[-1].python_tids
        patient = foreign or quiet_s < NATIVE_TIMER_S
        if tid not in tids and (doubt := _helper_doubt(history, furniture.get(tid), python=foreign, patient=patient)):
            return doubt
    return None


def _task_thread_doubt(history: Sequence[Thread], tid: int, looks: int) -> str | None:
    if len(history) < looks:
        return f"thread {tid}, which runs the request, was not seen all the time"
    if any(thread.waits_in == "unknown" for thread in history):
        return f"what thread {tid} waits in may not be read"
    last = history[-1]
    if any(thread.waits_in != "futex" or thread.timed or not thread.private for thread in history):
        return f"thread {tid}, which runs the request, waits in {last.waits_in}{' with a time limit' if last.timed else ''}"
    if last.switches != history[0].switches:
        return f"thread {tid}, which runs the request, was woken in between"
    return None


def _helper_doubt(history: Sequence[Thread], furniture: str | None, *, python: bool, patient: bool) -> str | None:
    """Why another thread of the process may still wake the one that runs the request."""
    last = history[-1]
    if last.cpu_s - history[0].cpu_s > HELPER_CPU_S or last.waits_in in ("running", "unknown"):
        return f"thread {last.tid} ({last.name}) computes"
    ends_by_itself = last.waits_in in MAY_END or last.timed
    if last.waits_in == furniture or not ends_by_itself:
        return None
    on_timer = last.timed or last.waits_in == "sleep"
    if on_timer and not python and (last.switches > history[0].switches or not patient):
        return None
    return f"thread {last.tid} ({last.name}) waits in {last.waits_in}, which may still end"


def _cores_used(recent: Sequence[Look]) -> float:
    first, last = recent[0], recent[-1]
    before = {process.pid: process.cpu_s for process in first.processes}
    spent = sum(process.cpu_s - before.get(process.pid, 0.0) for process in last.processes)
    return spent / (last.at_s - first.at_s)
