"""What each open request is to be held against: in a mix, what those of its own task take, before and in this worker. Pure.

A task of five seconds beside one of five milliseconds is not overdue by the pace of the other, nor is a short one given as long
as the long one. What is not known of a task is what is known of all.
"""

from __future__ import annotations

from dataclasses import replace

from harness.observe.looks import patience_s
from harness.observe.progress import OpenStage, Progress, TaskPace
from harness.trial.assignment import Assignment


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
