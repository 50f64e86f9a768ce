"""What is said of a worker's executors, in sentences: why it is in its state, and what to do now. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.judge.blocked import IN_TURNS, TOO_FEW, How
from harness.live.attach import Seen
from harness.live.executor import DOES, ENDS, Executor, State

RESTART = (
    "{how}, for a warm shutdown waits for what is stuck. What it runs is lost, unless it has acks_late: then it comes back "
    "once the broker's visibility timeout has passed"
)
LOST = (
    "A task there is lost, unless it has acks_late and reject_on_worker_lost. SIGTERM, and so a revoke with terminate, does "
    "not end what waits in native code. What a task has forked lives on"
)
NO_TASK = (ENDS, DOES["start"])  # what a child does that has none
SLEEPS = "it sleeps for "
APART_WAITS = "it runs in greenlets of its own, and what these wait for cannot be read from outside"
GREENLETS_WAIT = "its loop stands still, and what its greenlets wait for cannot be read from outside"


def reason(seen: Seen, executors: Sequence[Executor], worst: Executor | None, state: State) -> str:
    """One sentence: how many, which, since when, what for."""
    if worst is None and state is State.UNKNOWN and not seen.blind and seen.shows_nothing:
        return "nothing of Celery shows in its stacks, though its command line starts a worker: what it does cannot be told"
    if worst is None and state is State.UNKNOWN and not seen.blind:
        return "its loop stands still, and whether its greenlets wait for something cannot be read from outside"
    if worst is None or state is State.WORKS:
        return _works(seen, executors)
    if state is State.UNKNOWN and worst.doubt in (GREENLETS_WAIT, APART_WAITS):
        return f"{_works(seen, [replace(one, doubt='') for one in executors], does='at a task')}; {worst.doubt}"
    if state is State.UNKNOWN:
        return worst.doubt or "its processes may not be looked at"
    like = [one for one in executors if one.state is state]
    total = max(seen.last.executors, len(like))
    what = f"{len(like)} of {total} {seen.last.executor_kind} {'stands' if len(like) == 1 else 'stand'} still"
    who = f"process {worst.pid}" + ("" if worst.tid == worst.pid else f", thread {worst.tid},")
    runs = f"{worst.does}{f': {worst.task}' if worst.task else ''}{f'[{worst.task_id}]' if worst.task_id else ''}"
    waits = f", and waits for {worst.waits_for}" if worst.waits_for else ""
    return f"{what}: {who} {runs} for {duration(worst.since_s)}{waits}"


def _works(seen: Seen, executors: Sequence[Executor], does: str = "at work") -> str:
    if not executors and not seen.blind:
        passed = seen.moved or any(one.tracing for look in seen.looks for one in look.processes)
        return f"no task runs now{'; tasks came and went while it was looked at' if passed else ''}"
    if not executors:
        return "its processes may not be looked at"
    oldest = executors[0]
    runs = f"{len(executors)} of {max(seen.last.executors, len(executors))} {seen.last.executor_kind} {does}"
    named = f", {oldest.task or oldest.does} for {duration(oldest.since_s)}" if oldest.since_s is not None else ""
    if not oldest.doubt:
        return f"{runs}{named}"
    if oldest.doubt.startswith(SLEEPS):
        return f"{runs}{named}: {oldest.doubt}, and goes on by itself"
    if oldest.doubt.endswith(IN_TURNS):
        return f"{runs}{named}: slow, for {oldest.doubt}, and not stuck"
    computes = " computes" in oldest.doubt  # a loop without end does that, too
    return f"{runs}{named}: {'it computes, slowly or without end' if computes else 'slow, perhaps, and not stuck'}"


def now(seen: Seen, state: State, executors: Sequence[Executor], *, ends: bool = False) -> str:
    """What frees the executor at once, and what that costs; measured in `harness contracts`. `ends`: the worker was told to
    end, and starts no child any more."""
    if state is State.WORKS:
        return ""
    if state is State.UNKNOWN and seen.blind:
        return "look again as root, or with CAP_SYS_PTRACE"
    if state is State.UNKNOWN and any(one.doubt in (GREENLETS_WAIT, APART_WAITS) for one in executors):
        return f"if these tasks should have ended by now: {RESTART.format(how=seen.worker.restart)}"
    if state is State.UNKNOWN:
        return "ask the worker what it runs: celery -A … inspect active"
    if state is State.WAITING and any(one.how for one in executors if one.state is state):
        return f"if you know of nothing in the application that would end it: {RESTART.format(how=seen.worker.restart)}"
    if state is State.WAITING:
        if all(one.doubt == TOO_FEW for one in executors if one.state is state):
            return "ask again when the machine is less busy: these looks were too few to tell whether it is stuck"
        return "look at what it waits for; it may still go on by itself"
    stuck = [one for one in executors if one.state is State.STUCK]
    pids = sorted({one.pid for one in stuck})
    if all(one.how is How.STOPPED for one in stuck):
        return f"kill -CONT {' '.join(map(str, pids))}, once it is known who stopped it: it goes on where it was"
    if seen.pool == "prefork" and seen.worker.main not in pids:
        whom, others = ("this child", "another one") if len(pids) == 1 else ("these children", "others")
        then = "and the worker, which was told to end, can do so" if ends else f"and the pool starts {others}"
        return (
            f"kill -9 {' '.join(map(str, pids))}: that ends {whom} alone, {then}. "
            f"{'No task is there' if all(one.does in NO_TASK for one in stuck) else LOST}"
        )
    return RESTART.format(how=seen.worker.restart)


def duration(seconds: float | None) -> str:
    """'12 s', '5 min', '3 h 20 min'; '?' if it is not known.

    >>> duration(12.3), duration(300), duration(12000)
    ('12 s', '5 min', '3 h 20 min')
    """
    if seconds is None:
        return "?"
    minutes = int(seconds // 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
