"""Judge, from outside, whether a trial still makes progress, and whether any can come. A pure function.

The clock alone proves nothing: a deadlock, a lock wait that will end, a sleep, a long computation and a starved queue
look alike by it. Two kinds of evidence support each other. *Pace* opens the question: a request that has been open for
longer than `looks.patience_s` (which depends on what the same request takes in the in-process baseline, or took in this
trial) is overdue. *Structure* answers it: `blocked` looks at what its thread waits in, and who could still end that.

All open requests blocked and nothing else to come: *hung*. Some blocked while others go on: hung in part, `k of n`.
Nothing open, requests waiting, nobody computing: *stalled*. Whatever cannot be read or explained stays *undecided*.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from harness.judge.blocked import How, blocked
from harness.machine.procfs import Thread
from harness.observe.looks import IDLE_CPU, READY_SHARE, Look, agree_long_enough, computes, window
from harness.observe.progress import OpenStage
from harness.observe.roles import Role

STALL_S = 7.0  # a queue may be late by a poll or two (kombu polls once a second) before it counts as stalled
REPLY_S = 3.0  # an answer may be on its way this long
WORKING_CORES = 0.3  # of a core, that a thread at work gets at least, also beside others
RESPAWNS = 3  # generations of children that died without one answer among them


class State(Enum):
    WORKING = "working"
    HUNG = "hung"
    STALLED = "stalled"
    RESPAWNING = "respawning"
    UNDECIDED = "undecided"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`partial`: others still make progress. `since_s`: when the oldest request concerned was begun."""

    state: State
    reason: str = ""
    pids: tuple[int, ...] = ()
    how: How | None = None
    hung: int = 0  # executors
    executors: int = 0
    partial: bool = False
    since_s: float | None = None
    doubt: str = ""  # why it is not decided
    computing: bool = False  # then: whatever is overdue is at work, or would be if it had a core


def judge(looks: Sequence[Look]) -> Verdict:
    """What the looks, oldest first, allow to say now."""
    now = looks[-1]
    if now.dead_children >= RESPAWNS * now.executors:
        before = f" after the first {now.ended}" if now.ended else ""
        reason = f"{now.dead_children} children died, and no request was answered{before}"
        return Verdict(state=State.RESPAWNING, reason=reason)
    quiet_s = now.at_s - now.last_progress_s
    if now.stages:
        return _judge_stages(looks, quiet_s)
    if not now.ready:
        return Verdict(state=State.WORKING)
    since = [look for look in looks if look.at_s > now.last_progress_s]
    if not agree_long_enough(since, now.at_s):
        return Verdict(state=State.WORKING)
    if now.waiting:
        unannounced = () if _is_free(now) else _unannounced(window(since))
        if unannounced:
            return _judge_stages([*looks[:-1], replace(now, stages=unannounced)], quiet_s)
        return _judge_queue(window(since), quiet_s)
    if now.unanswered and quiet_s >= max(REPLY_S, now.patience_s):
        doubt = _computes(window(since))
        if doubt:
            return Verdict(state=State.UNDECIDED, reason=f"answers are missing and {doubt}")
        reason = f"{now.unanswered} requests {How.LOST.value}"
        return Verdict(state=State.HUNG, reason=reason, how=How.LOST, executors=now.executors, since_s=now.last_progress_s)
    return Verdict(state=State.WORKING)


def _judge_stages(looks: Sequence[Look], quiet_s: float) -> Verdict:
    now = looks[-1]
    overdue = [stage for stage in now.stages if now.overdue(stage)]
    answers = [(stage, blocked(looks, stage)) for stage in overdue]
    found = [(stage, answer.how) for stage, answer in answers if answer.how is not None]
    doubts = [answer.doubt for _, answer in answers if answer.how is None]
    overdue_elsewhere = {stage.pid for stage, answer in answers if answer.how is None}
    # a request that is overdue and not blocked may hold what a blocked one of its process waits for
    found = [(stage, how) for stage, how in found if stage.pid not in overdue_elsewhere or how is How.SPIN]
    if not found:
        undecided = bool(doubts) and quiet_s >= now.patience_s
        if not undecided:
            return Verdict(state=State.WORKING)
        reason = f"no progress for {quiet_s:.0f} s, but {doubts[0]}"
        pids = tuple(dict.fromkeys(stage.pid for stage in overdue))
        computing = all(_is_at_work(looks, stage) for stage in overdue)
        return Verdict(state=State.UNDECIDED, reason=reason, doubt=doubts[0], pids=pids, computing=computing)
    rest_goes_on = len(found) < len(now.stages) or quiet_s < now.patience_s
    may_still_be_taken = now.waiting > 0 and not _all_stand(now, found) and quiet_s < STALL_S
    others = frozenset(pid for _, answer in answers for pid in answer.others)
    return _hang(now, found, others, partial=rest_goes_on or may_still_be_taken)


def _is_at_work(looks: Sequence[Look], stage: OpenStage) -> bool:
    """Whether the thread of this stage has computed since it began, or would have if it had had a core; or programs that its
    process has started have, such as a compiler. Over all looks: in a short window a process that only tells of its greenlets
    looks alike.

    On a full machine a compiler may get a tenth of a core; then it is ready to run whenever one looks.
    """
    since = [look for look in looks if look.at_s > stage.since_s]
    if len(since) < 2:
        return False
    seen = [thread for look in since for process in look.processes for thread in process.threads if thread.tid == stage.tid]
    seconds = since[-1].at_s - since[0].at_s
    below_s = _below_s(since[-1], stage.pid) - _below_s(since[0], stage.pid)
    if (len(seen) >= 2 and computes(seen, seconds, WORKING_CORES)) or below_s >= WORKING_CORES * seconds:
        return True
    return below_s >= IDLE_CPU * seconds and sum(_is_ready(look, stage) for look in since) >= READY_SHARE * len(since)


def _is_ready(look: Look, stage: OpenStage) -> bool:
    """Whether this thread, or one of the programs below its process, runs or would if it had a core."""
    own = any(thread.tid == stage.tid for thread in _running(look, [stage.pid]))
    return own or bool(_running(look, _below(look, stage.pid)))


def _running(look: Look, pids: Sequence[int]) -> list[Thread]:
    return [thread for one in look.processes if one.pid in pids for thread in one.threads if thread.waits_in == "running"]


def _below_s(look: Look, pid: int) -> float:
    """CPU seconds of a process but for its own threads: of children that it has waited for, and of all below it that live."""
    by_pid = {process.pid: process for process in look.processes}
    if pid not in by_pid:
        return 0.0
    waited_for_s = by_pid[pid].cpu_s - sum(thread.cpu_s for thread in by_pid[pid].threads)
    return waited_for_s + sum(by_pid[each].cpu_s for each in _below(look, pid))


def _below(look: Look, pid: int) -> list[int]:
    """The processes below this one that live."""
    by_pid = {process.pid: process for process in look.processes}
    found, left = [], list(by_pid[pid].children) if pid in by_pid else []
    while left:
        if (process := by_pid.get(left.pop())) is not None:
            found.append(process.pid)
            left += process.children
    return found


def _all_stand(now: Look, found: Sequence[tuple[OpenStage, How]]) -> bool:
    """Whether no executor is left that could take what waits. A stopped process, a held GIL and a blocked hub stop all."""
    hows = {how for _, how in found}
    whole = {"threads": {How.GIL, How.STOPPED, How.FROZEN}, "greenlets": set(How) - {How.GREENLET, How.LOST}}
    return _count(now, found) >= now.executors or bool(hows & whole.get(now.executor_kind, set()))


def _count(now: Look, found: Sequence[tuple[OpenStage, How]]) -> int:
    """How many executors these stages occupy; a load stands inside a request."""
    if now.executor_kind == "greenlets":
        return len({stage.number for stage, _ in found if stage.kind == "request"}) or 1
    return len({stage.pid if now.executor_kind == "processes" else stage.tid for stage, _ in found})


#: Kinds of stages that are no word for a reader.
INSIDE = {
    "start": "start-up", "end": "the end of a child", "other": "another task", "main": "a handler of the main process",
    "task": "a task",
}  # fmt: skip
#: What the main thread of another process waits in, in words.
WAITS_IN = {
    "write": "writes to a full pipe or socket", "send": "writes to a full pipe or socket",
    "read": "reads from an empty pipe or socket", "recv": "reads from an empty pipe or socket",
    "wait-child": "waits for a child", "futex": "waits for a lock", "flock": "waits for a lock on a file",
    "fcntl": "waits for a lock on a file",
}  # fmt: skip


def _where(now: Look, pid: int) -> str:
    """'process 7, which writes to a full pipe or socket of process 5'."""
    threads = [thread for process in now.processes if process.pid == pid for thread in process.threads if thread.tid == pid]
    words = WAITS_IN.get(threads[0].waits_in, "") if threads else ""
    if not words:
        return f"process {pid}"
    of = sorted(threads[0].wakers - {pid}) if "socket" in words else []
    return f"process {pid}, which {words}" + (f" of process {' or '.join(map(str, of))}" if of else "")


def _hang(now: Look, found: Sequence[tuple[OpenStage, How]], others: frozenset[int], *, partial: bool) -> Verdict:
    pids = tuple(dict.fromkeys(stage.pid for stage, _ in found))
    count = _count(now, found)
    total = max(count, now.executors)
    since_s = min(stage.since_s for stage, _ in found)
    kinds = " and ".join(sorted({INSIDE.get(stage.kind, stage.kind) for stage, _ in found}))
    hows = " or ".join(dict.fromkeys(how.value for _, how in found))
    if others := others - set(pids):
        hows += f" ({'; '.join(_where(now, pid) for pid in sorted(others))})"
    rest = "; the others go on" if partial else ""
    reason = (
        f"{count} of {total} {now.executor_kind} that run requests made no progress inside {kinds} for "
        f"{now.at_s - since_s:.1f} s: they {hows}{rest}"
    )
    return Verdict(
        state=State.HUNG, reason=reason, pids=tuple(dict.fromkeys((*pids, *sorted(others)))), how=found[0][1], hung=count,
        executors=total, partial=partial, since_s=since_s,
    )  # fmt: skip


#: What a process does that announced nothing, as a stage: it does not serve yet, or stands in somebody's handler of a signal
UNANNOUNCED = {Role.STARTING: "start", Role.ENDING: "end", Role.RUNNING: "task", Role.HELD: "main"}


def _is_free(look: Look) -> bool:
    """Whether an executor is seen that could take what waits."""
    free = Role.IDLE if look.executor_kind == "processes" else Role.MAIN
    return any(process.role is free for process in look.processes)


def _unannounced(recent: Sequence[Look]) -> tuple[OpenStage, ...]:
    """What keeps processes busy, in every look of the window, that left no event of it. It is older than the last progress."""
    now = recent[-1]
    roles = [{process.pid: process.role for process in look.processes} for look in recent]
    return tuple(
        OpenStage(
            kind=UNANNOUNCED[one.role],
            pid=one.pid,
            tid=min(one.tracing, default=one.pid),
            number=-1,
            since_s=now.last_progress_s,
        )
        for one in now.processes
        if one.role in UNANNOUNCED and all(known.get(one.pid) is one.role for known in roles)
    )


def _judge_queue(recent: Sequence[Look], quiet_s: float) -> Verdict:
    now, doubt = recent[-1], _computes(recent)
    if now.rate_limited:
        return Verdict(state=State.WORKING)  # it waits on purpose
    if doubt:
        return Verdict(state=State.UNDECIDED, reason=f"requests wait and {doubt}")
    if quiet_s < STALL_S + now.put_off_s:
        return Verdict(state=State.WORKING)
    if not all(map(_is_free, recent)):
        doubt = "no executor was seen idle"
        return Verdict(state=State.UNDECIDED, reason=f"{now.waiting} requests wait, but {doubt}", doubt=doubt)
    reason = f"{now.waiting} requests wait, no executor holds one, and the worker has been idle for {quiet_s:.0f} s"
    return Verdict(
        state=State.STALLED, reason=reason, pids=tuple(process.pid for process in now.processes), executors=now.executors,
        since_s=now.last_progress_s,
    )  # fmt: skip


def _computes(recent: Sequence[Look]) -> str:
    """'the worker computes …', or a thread of it would and gets no core; '' if it is idle."""
    spent = _cores_used(recent)
    if spent > IDLE_CPU * 2 * max(1, len(recent[-1].processes)):
        return f"the worker computes ({spent:.2f} cores)"
    running = [{thread.tid for process in look.processes for thread in process.threads if thread.waits_in == "running"}
               for look in recent]  # fmt: skip
    always = set.intersection(*running)
    return f"thread {min(always)} of the worker is ready to run all the time" if always else ""


def _cores_used(recent: Sequence[Look]) -> float:
    first, last = recent[0], recent[-1]
    before = {process.pid: process.cpu_s for process in first.processes}
    spent = sum(process.cpu_s - before.get(process.pid, 0.0) for process in last.processes)
    return spent / (last.at_s - first.at_s)
