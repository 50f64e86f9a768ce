"""One cell, run once: start its worker and its load, watch until something ends it, keep evidence, stop everything.

The load generator and the worker are processes of their own; this one only looks. What it leaves is plain (`left.Left`):
nobody behind it sees a live process. `judge.outcome` says from that how the trial ended.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from harness.broker import Backlog, Census
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.measure.monitor import Sample, Watched
from harness.observe import diagnosis
from harness.observe.diagnosis import Evidence
from harness.observe.progress import PUT_OFF, Progress
from harness.trial import worker_log
from harness.trial.assignment import Assignment
from harness.trial.left import INTERRUPTED, Ending, Left, Machine, Signs
from harness.trial.live_site import LiveSite
from harness.trial.seen import Seen
from harness.trial.site import Site
from harness.trial.watcher import Watcher

STANDING = ("verdict", "limit", "ready-limit", "broker-silent", "client-stopped")  # ends in which processes still stand


class OwnSite(Site, Protocol):
    """A site that a trial can also take leave of."""

    def shared(self) -> tuple[str, ...]: ...
    def left_behind(self) -> tuple[str, ...]: ...
    def oom_kills(self) -> int: ...
    def oom_counted(self) -> str: ...
    def backlog(self) -> tuple[Backlog, ...]: ...
    def consumed(self) -> tuple[str, ...] | None: ...
    def evidence(self, pids: tuple[int, ...]) -> Evidence: ...
    def watched(self) -> Watched: ...
    def kernel_cpu_s(self) -> float | None: ...
    def close(self, ended_by: str) -> Sample | None: ...
    def end(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Around:
    """What was asked beside the worker when the trial had ended, and everything still stood; see `left.Ending`."""

    shared: tuple[str, ...] = ()
    left_behind: tuple[str, ...] = ()
    oom_kills: int = 0
    oom_counted: str = ""
    backlog: tuple[Backlog, ...] = ()
    consumed: tuple[str, ...] | None = None
    census: Census | None = None


class Trial:
    """`site` makes the place where it happens: the real one, or a stored one."""

    def __init__(self, work: Assignment, site: Callable[[Assignment], OwnSite] = LiveSite) -> None:
        self.work = work
        self.site = site

    def run(self) -> Left:
        """Start, watch until something ends it, keep evidence, stop everything; what is left."""
        site = self.site(self.work)
        watcher, evidence = Watcher(self.work, site), None
        try:
            seen = watcher.watch()
            self.work.turn.stir()
            around = Around(
                shared=site.shared(),
                left_behind=site.left_behind(),
                oom_kills=site.oom_kills(),
                oom_counted=site.oom_counted(),
                backlog=site.backlog(),
                consumed=site.consumed(),
                census=site.census() if seen.ended_by == "limit" else seen.census,
            )
            if seen.ended_by not in INTERRUPTED:  # then an earlier try at the same trial stays on record, with its evidence
                evidence = keep_evidence(self.work, site, seen)
        finally:
            watcher.seen.last = site.close(watcher.seen.ended_by) or watcher.seen.last
        return left_of(self.work, site, seen, evidence, around)


def keep_evidence(work: Assignment, site: OwnSite, seen: Seen) -> Evidence | None:
    """Stacks while the processes still stand, for whatever did not end by itself; else the log."""
    shutil.rmtree(work.evidence, ignore_errors=True)
    hangs_in_part = seen.ended_by == "done" and seen.partial is not None  # what hangs stands there still
    if seen.ended_by in STANDING or hangs_in_part:
        verdict = seen.partial or seen.verdict
        return site.evidence(verdict.pids if verdict else ())
    return None if seen.ended_by == "done" else Evidence(path=diagnosis.keep_log(work.evidence, work.log))


def left_of(work: Assignment, site: OwnSite, seen: Seen, evidence: Evidence | None, around: Around) -> Left:
    """What the trial leaves, once everything has ended."""
    return Left(
        cell=work.cell,
        trial=work.trial,
        settings=work.settings,
        ended=_ended(work, site, seen, evidence, around),
        signs=_signs(work.cell, site.started_s, site.progress, seen, put_off=work.put_off_s > 0),
        machine=_machine(site, seen),
        result=work.result,
        events=work.events,
        baseline_waits=work.baseline_waits,
        alone_share=work.alone_share,
        usual_s=work.baseline_s,
        rate_interval_s=work.rate_interval_s,
    )


def _ended(work: Assignment, site: OwnSite, seen: Seen, evidence: Evidence | None, around: Around) -> Ending:
    log = worker_log.read(work.log)
    return Ending(
        by=seen.ended_by,
        verdict=seen.verdict,
        partial=seen.partial,
        judged_s=seen.judged_s,
        withdrawn=tuple(seen.withdrawn),
        worker_exit=seen.worker_exit,
        client_exit=seen.client_exit,
        no_consumer=seen.no_consumer,
        unsupported=site.progress.unsupported or "",
        never_struck=work.outside is not None and not work.outside.struck,
        log_line=worker_log.last_line(log),
        log_error=worker_log.last_error(log),
        log_words=worker_log.last_words(log),
        log_unread=worker_log.unread(log),
        log_asked=worker_log.asked(log),
        log_serial=worker_log.serial(log),
        log_paused=worker_log.paused(log),
        end=site.end(),
        left_behind=around.left_behind,
        census=around.census,
        shared=around.shared,
        oom_kills=around.oom_kills,
        oom_counted=around.oom_counted,
        evidence=evidence,
        backlog=around.backlog,
        consumed=around.consumed,
    )


def _copies(cell: Cell, progress: Progress) -> tuple[int, ...]:
    pool = POOLS.get(cell.pool)
    alone = pool is not None and pool.executors != "processes" and progress.ready_pid is not None
    return tuple(sorted(progress.ran_in - {progress.ready_pid})) if alone else ()


def _signs(cell: Cell, started_s: float, progress: Progress, seen: Seen, put_off: bool) -> Signs:
    """`put_off`: whether the messages themselves say when they may be begun."""
    return Signs(
        started_s=started_s,
        ready_at_s=progress.ready_at_s,
        last_event_s=progress.last_event_s,
        phase=progress.phase,
        phase_at_s=dict(progress.phase_at_s),
        published=progress.published,
        waiting=progress.waiting,
        has_put_off=progress.has_put_off or put_off,
        put_off=Counter(PUT_OFF[kind] for kind in progress.put_off.values()),
        again=progress.begun_again(),
        copies=_copies(cell, progress),
        quiet_s=seen.quiet_s,
        longest_silence_s=seen.longest_silence_s,
        load_seconds=dict(progress.load_seconds),
        dead=frozenset(seen.dead),
        lost=frozenset(seen.lost),
    )


def _machine(site: OwnSite, seen: Seen) -> Machine:
    return Machine(
        watched=site.watched(),
        before=seen.before,
        after=seen.after,
        last=seen.last,
        kernel_cpu_s=site.kernel_cpu_s(),
        noise=tuple(seen.noise),
        depths=tuple(seen.depths),
    )
