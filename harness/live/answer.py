"""What is said of a running worker: its state, why, since when, what to do now and for good.

Made of what was seen (`live.attach`) by the judge of the trials: nothing counts as proved here that does not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.judge.blocked import IN_TURNS, How, blocked
from harness.judge.blocked import Answer as Blocked
from harness.judge.causes import LOST_THREADS, Cause, Facts, cause_of
from harness.judge.remedies import THEIRS
from harness.live import blocked_by, sight, wording
from harness.live import rests as rested
from harness.live.attach import Seen
from harness.live.blocked_by import Named
from harness.live.executor import DOES, ENDS, HALTED, RUNS, WORST, Executor, State
from harness.live.tasks import Task
from harness.live.waits import TRACED, Evidence, Wait
from harness.machine.procfs import Thread
from harness.observe.looks import IDLE_CPU, Look, window
from harness.observe.progress import OpenStage
from harness.observe.roles import INSTALLED, Role
from harness.observe.waits import place
from harness.records.outcomes import Outcome
from harness.texts import counted

#: beside a wait that only the worker's own loop could end, as far as anybody can see, if nobody has read what that calls
OWN_LOOP = (
    "nothing else in the process can end this wait, but Celery's own loop turns in it, and may call code of the application's "
    "(a timer, a reader, a command of the remote control)"
)
#: packages that are known to wait for native threads which a fork has taken from them; a wait of anybody else's may be for a
#: thread that it has started since
ENGINES = re.compile(
    INSTALLED + r"(tensorflow\w*|keras|theano|torch|jax\w*|onnxruntime|openvino|sklearn|lightgbm|xgboost|faiss|_?polars\w*)/"
)
OWN_POLLER = (
    "it lacks threads that its parent has, and does not stand in an engine that is known to wait for such: a native thread of "
    "its own, which waits on a timer, may end its wait"
)
APART = "its thread runs another greenlet meanwhile, such as the hub of gevent or the dispatcher of Playwright"
ALOOF = (
    "it waits for another thread to do something; those that its parent has and it lacks sleep there, or wait for connections, "
    "so that it may well wait for something of its own"
)
HANDLERS = "process_destructor (celery/concurrency/prefork.py"
END_HANDLERS = "let each handler of worker_process_shutdown wait with a time limit: a join, a flush, a lock"
TURNS_CPU = 0.005  # cores of a thread that is stopped and continued in turns; going on with one wait each time takes far less
BEREFT_S = 60.0  # so long a child that lost threads has to stand still, see `trial.paces.LONGER`


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that is said of one worker. `hides`: it may run tasks in greenlets that could not be read."""

    pid: int
    app: str
    hostname: str
    pool: str
    concurrency: int
    state: State
    reason: str
    cause: str
    support: tuple[str, ...]
    since_s: float | None
    now: str
    for_good: str
    executors: tuple[Executor, ...]
    idle: int
    unseen: tuple[str, ...]
    broker: dict[str, Any]
    hides: bool = False


def report(seen: Seen, evidence: Evidence, broker: dict[str, Any], *, ends: bool = False) -> Report:
    """What the looks allow to say of this worker. `ends`: it was told to end."""
    executors = tuple(_executors(seen, evidence, broker))
    executors = (*executors, *_others(seen, executors))
    state = min((one.state for one in executors), key=WORST.index, default=State.WORKS)
    unseen = _unseen(seen, evidence)
    hides = not executors and (seen.shows_nothing or _may_hide_greenlets(seen))
    if state is State.WORKS and not seen.moved and (seen.blind or hides):
        state = State.UNKNOWN
    worst = next((one for one in executors if one.state is state), None)
    cause = _named(seen, evidence, worst, broker)
    worker, busy, now = seen.worker, {one.pid for one in executors}, wording.now(seen, state, executors, ends=ends)
    many = len(seen.children) or (1 if seen.pool == "solo" else worker.concurrency)
    return Report(
        pid=worker.main, app=worker.app, hostname=worker.hostname, pool=seen.pool,
        concurrency=many, state=state, reason=wording.reason(seen, executors, worst, state),
        cause=cause.cause if cause else "", support=cause.support if cause else (), since_s=worst.since_s if worst else None,
        now=(cause.now if cause else "") or now, for_good=cause.for_good if cause else "",
        executors=executors,
        idle=sum(one.role is Role.IDLE and one.pid not in busy for one in seen.children), unseen=unseen, broker=broker,
        hides=seen.last.executor_kind == "greenlets" and seen.greenlets is None,
    )  # fmt: skip


def _executors(seen: Seen, evidence: Evidence, broker: Mapping[str, Any]) -> list[Executor]:
    """Each executor that is at something, the oldest first."""
    now, running = seen.last, {(task.pid, task.tid): task for task in seen.tasks}
    overdue = [stage for stage in now.stages if now.overdue(stage) or (stage.kind == "main" and seen.held)]
    answers, aside = _answers(seen.looks, overdue), _answers(seen.own_loop_aside, overdue)
    if broker.get("others") is False:  # nobody else is there to whom the broker could hand out what they wait for
        closed = {place for place, one in evidence.blocks.subtasks.items() if one.closed}
        answers |= {stage: Blocked(How.SUBTASK) for stage in answers if (stage.pid, stage.tid) in closed}
    return [
        _executor(seen, evidence, stage, answers.get(stage), aside.get(stage), running.get((stage.pid, stage.tid)))
        for stage in sorted(now.stages, key=lambda stage: stage.since_s)
    ]


def _others(seen: Seen, known: Sequence[Executor]) -> list[Executor]:
    """Those at a task that began meanwhile, or that no thread's stack shows: greenlets."""
    rests = not seen.moved and not known and _stands(seen)
    ids = {one.task_id for one in known}
    stood = frozenset() if known else seen.stood
    green = seen.last.executor_kind == "greenlets"
    greenlets = [
        (task, *(rested.greenlet(task, rests=rests, stood=task.id in stood) if green else rested.apart(_stands(seen))))
        for task in seen.greenlets or ()
        if task.id not in ids
    ]
    ids |= {task.id for task in seen.greenlets or ()}
    begun = [(task, State.WORKS, "") for task in seen.begun if task.id not in ids or not task.id]
    return [
        Executor(
            pid=task.pid, tid=task.tid, state=each, does=RUNS, task_id=task.id, task=task.name,
            since_s=_age_s(seen, task), doubt=why,
            waits_for=task.stand.what if task.stand and (rests or each is State.WAITING) else "",
        )
        for task, each, why in (*greenlets, *begun)
    ]  # fmt: skip


def _age_s(seen: Seen, task: Task) -> float | None:
    return None if task.since_s is None else max(0.0, seen.last.at_s - task.since_s)


def _answers(looks: Sequence[Look], stages: Sequence[OpenStage]) -> dict[OpenStage, Blocked]:
    """What the judge says of each. Beside one that is open, another wait of the same process is not closed either."""
    found = {stage: blocked(looks, stage) for stage in stages} if looks else {}
    open_elsewhere = {stage.pid for stage, answer in found.items() if answer.how is None}
    beside = Blocked(None, "another task of its process may end its wait")
    return {
        stage: beside if answer.how not in (None, How.SPIN) and stage.pid in open_elsewhere else answer
        for stage, answer in found.items()
    }


def _executor(
    seen: Seen, evidence: Evidence, stage: OpenStage, answer: Blocked | None, aside: Blocked | None, task: Task | None
) -> Executor:
    """`aside`: what the judge says if the worker's own loop is left out."""
    since_s = seen.last.at_s - stage.since_s
    state, doubt = _state(seen, stage, answer)
    how = answer.how if answer and state is State.STUCK else None
    if state is State.WAITING and aside and aside.how and answer and answer.how is None:
        how, doubt = aside.how, answer.doubt if any(one.hooks for one in seen.last.processes) else OWN_LOOP
    told = evidence.waits.get((stage.pid, stage.tid))
    if how in HALTED:
        at = place(evidence.frames.get((stage.pid, stage.tid), ()))
        told = Wait(what=", ".join(part for part in (HALTED[how], at) if part))
    return Executor(
        pid=stage.pid, tid=stage.tid, state=state, does=DOES.get(stage.kind, RUNS), task_id=task.id if task else "",
        task=task.name if task else "", since_s=since_s, waits_for=told.what if told and state is not State.WORKS else "",
        owner=told.owner if told else "", how=how, doubt=doubt,
    )  # fmt: skip


def _state(seen: Seen, stage: OpenStage, answer: Blocked | None) -> tuple[State, str]:
    if answer is None:
        return State.WORKS, ""
    if answer.how is How.BEREFT and not _in_engine(seen, stage):
        return State.WAITING, OWN_POLLER
    if answer.how is How.BEREFT and (stands_s := _stands_s(seen, stage)) < BEREFT_S:
        return State.WAITING, f"it has stood for {stands_s:.0f} s; a child that lost threads is believed after {BEREFT_S:g} s"
    if answer.how is not None:
        return State.STUCK, ""
    history = _history(seen, stage)
    if len(history) < 2:
        return State.UNKNOWN, answer.doubt
    if all(one.state == TRACED for one in history):
        return State.WAITING, answer.doubt
    least = TURNS_CPU if answer.doubt.endswith(IN_TURNS) else IDLE_CPU
    return (State.WORKS if _moves(history, seen, least) else State.WAITING), answer.doubt


def _stands_s(seen: Seen, stage: OpenStage) -> float:
    """For how long its thread has not run, as far as that is known: at least while it was watched."""
    begin_s = window(seen.looks)[0].at_s
    return seen.last.at_s - (begin_s if stage.ran_s is None else min(begin_s, max(stage.ran_s, stage.since_s)))


def _in_engine(seen: Seen, stage: OpenStage) -> bool:
    """Whether the innermost Python function of its thread is an engine's."""
    process = next((one for one in seen.last.processes if one.pid == stage.pid), None)
    function, _ = process.functions.get(stage.tid, ("", 0)) if process else ("", 0)
    return bool(ENGINES.search(function))


def _history(seen: Seen, stage: OpenStage) -> list[Thread]:
    """The thread of a stage over the last window."""
    return [
        thread for look in window(seen.looks) for process in look.processes if process.pid == stage.pid
        for thread in process.threads if thread.tid == stage.tid
    ]  # fmt: skip


def _moves(history: Sequence[Thread], seen: Seen, least: float) -> bool:
    """Whether a thread computes (on more than `least` cores), or would if it had a core, or sleeps through one long wait that
    ends by itself; what polls, waits: on a full machine it may be met at one look as it wakes."""
    seconds = window(seen.looks)[-1].at_s - window(seen.looks)[0].at_s
    ready = sum(one.waits_in == "running" for one in history)
    if history[-1].cpu_s - history[0].cpu_s > least * seconds or 2 * ready > len(history):
        return True
    sleeps = all(one.timed and one.waits_in in ("sleep", "restart") for one in history)
    return sleeps and history[-1].switches == history[0].switches


def _named(seen: Seen, evidence: Evidence, worst: Executor | None, broker: dict[str, Any]) -> Named | None:
    """The cause: what one look at the executor tells (`blocked_by`), else what the judge makes of a proof."""
    if worst is None or worst.state not in (State.STUCK, State.WAITING):
        return None
    at, lost = (worst.pid, worst.tid), evidence.lost.get(worst.pid, ((), ()))
    frames = evidence.frames.get(at, ())
    found = (
        blocked_by.named(seen, evidence.blocks, at, how=worst.how, frames=frames, lost=(*lost[1], *lost[0]), broker=broker)
        if worst.how not in HALTED else None
    )  # fmt: skip
    if worst.how is How.FROZEN:
        return blocked_by.frozen(seen, worst.pid)
    if found is None and worst.how is not None and (cause := _cause(seen, evidence, worst)):
        before = evidence.measured.get(worst.pid, ()) if cause.name in (LOST_THREADS, "unknown") else ()
        found = Named(cause=cause.name, support=(*cause.support, *before))
    if found and worst.does == ENDS and worst.how not in HALTED and any(HANDLERS in frame for frame in frames):
        return replace(found, for_good=END_HANDLERS)
    return replace(found, for_good=found.for_good or THEIRS.get(found.cause, "")) if found else None


def _cause(seen: Seen, evidence: Evidence, worst: Executor) -> Cause | None:
    """Without native frames a wait for an engine's threads and one for a lock look alike: then a fork is no named cause."""
    lost = evidence.lost.get(worst.pid, ((), ()))
    frames = evidence.frames.get((worst.pid, worst.tid), ())
    found = cause_of(
        Facts(
            outcome=Outcome.HUNG,
            pool=seen.pool,
            how=worst.how,
            frames=frames,
            lost_native=lost[0],
            lost_python=lost[1],
            kept=False,
        )
    )
    if found and found.name == LOST_THREADS and not lost[0] and evidence.aloof:
        return Cause(name="unknown", support=(f"{ALOOF}: {', '.join(counted(lost[1]))}", *found.support[1:]))
    unread = not evidence.deep or worst.pid in evidence.missing
    if found and found.name.startswith("fork-") and worst.how is not How.OWNER and unread:
        lacks = "it lacks threads that its parent has: a fork may be the cause"
        says = "its native stacks would say" if worst.pid in evidence.missing else "--deep looks at native stacks, and says"
        return Cause(name="unknown", support=(f"{lacks}; {says}",))
    return (
        Cause(name=found.name, support=tuple(text for text in found.support if "when it was ready" not in text))
        if found
        else None
    )


def _may_hide_greenlets(seen: Seen) -> bool:
    """Whether all is still in a green pool's process, and nobody knows what it runs: it may be idle, or all of that waits."""
    return seen.last.executor_kind == "greenlets" and seen.greenlets is None and _stands(seen)


def _stands(seen: Seen) -> bool:
    """Whether the main process used next to no CPU."""
    looks = window(seen.looks)
    used = [sum(one.cpu_s for one in look.processes if one.pid == seen.worker.main) for look in (looks[0], looks[-1])]
    return used[1] - used[0] <= IDLE_CPU * (looks[-1].at_s - looks[0].at_s)


def _unseen(seen: Seen, evidence: Evidence) -> tuple[str, ...]:
    found = list(sight.unseen(seen.blind, seen.looks))
    frozen = {one.pid for one in seen.last.processes if one.frozen}
    reasons = {pid: "it is frozen" if pid in frozen else sight.no_native(pid) for pid in evidence.missing}
    found += (f"the native stacks of process {pid}, which --deep asks for: {why}" for pid, why in reasons.items())
    found += (f"where the task of process {one.pid} stands: {APART}" for one in seen.tasks if one.apart)
    found += (f"whether {one}, in the worker's own loop, ends a task by a signal" for one in evidence.timers)
    if seen.last.executor_kind == "greenlets" and (seen.greenlets is None or any(one.stand is None for one in seen.greenlets)):
        found.append("which greenlet waits for what: that cannot be read from outside")
    return tuple(found)
