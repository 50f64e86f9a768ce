"""What an open request is held against: in a mix, what those of its own task take; how long a verdict has to stand. Pure.

A task of five seconds beside one of five milliseconds is not overdue by the pace of the other, nor is a short one given as long
as the long one. What is not known of a task is what is known of all.
"""

from __future__ import annotations

from dataclasses import replace

from harness.judge.blocked import How
from harness.judge.watchdog import State, Verdict
from harness.observe.looks import patience_s
from harness.observe.progress import OpenStage, Progress, TaskPace
from harness.trial import worker_log
from harness.trial.assignment import Assignment

#: proofs that are watched for longer: a child that lost threads may pause for tens of seconds; a program may have an alarm; and
#: what computes may do once in a while, for a minute, what no request before it did
LONGER, TIMES = (How.BEREFT, How.PROCESSES, How.SPIN), 4
STALL_TIMES = 4  # of the confirmation, that a stall of somebody's application stands: it may pause its consuming on purpose


def of_stages(work: Assignment, progress: Progress) -> tuple[OpenStage, ...]:
    """The open stages; those of requests with the pace and the time limit of their task, in a mix."""
    stages = tuple(progress.open.values())
    if work.application is None or work.application.mix is None:
        return stages
    limits = work.application.limits_of
    return tuple(
        replace(stage, pace=_pace(work, progress, stage.task), limit_s=limits[stage.task].longest_s)
        if stage.kind == "request" else stage
        for stage in stages
    )  # fmt: skip


def _pace(work: Assignment, progress: Progress, task: int) -> TaskPace | None:
    """The longer of what is known of it; None if nothing is."""
    known = work.paces[task] if work.paces else TaskPace()
    usual = [one for one in (known.usual_s, progress.usual_of(task)) if one is not None]
    slowest = [one for one in (known.slowest_s, progress.slowest_of.get(task)) if one is not None]
    if not usual:
        return None
    return TaskPace(usual_s=max(usual), first_s=known.first_s, slowest_s=max(slowest, default=None))


def soon_s(stage: OpenStage, of_all_s: float, share: float) -> float:
    """After how long a request is looked at; `of_all_s`: of any."""
    return of_all_s if stage.pace is None else share * patience_s(stage.pace.usual_s)


def watched_s(work: Assignment, verdict: Verdict | None) -> float:
    """How long a proof is watched before it goes on record."""
    how = verdict.how if verdict is not None else None
    shown = how is How.BEREFT and work.loss_shown
    return (TIMES if how in LONGER and not shown else 1) * work.settings.confirm_s


def stall_stands_s(work: Assignment) -> float:
    """How long a stall stands before it ends the trial. Our own worker does nothing of its own that could end one."""
    return STALL_TIMES * work.settings.confirm_s if work.application is not None else 0.0


def paused(verdict: Verdict, log: str) -> Verdict | None:
    """The stall, undecided, if the worker's log says that it consumes a queue no longer: a timer may end that at any time."""
    if not (queue := worker_log.paused(log.splitlines())):
        return None
    doubt = f"its log says that the worker no longer consumes the queue {queue!r} (cancel_consumer), which add_consumer ends"
    return replace(verdict, state=State.UNDECIDED, doubt=doubt)
