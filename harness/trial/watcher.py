"""Watch a trial until something ends it. Starts and stops nothing; whether progress can come, `judge.watchdog` says.

What is looked at, the clock and the sleep among it, is a `Site`: a real one (`trial.live_site`), or a stored history.
"""

from __future__ import annotations

from harness.client.plan import EXIT_BROKER_LOST
from harness.judge.blocked import How
from harness.judge.watchdog import STALL_S, State, Verdict, judge
from harness.machine.processes import signal_name
from harness.measure.monitor import Sample
from harness.observe.looks import Look, any_runs, patience_s
from harness.trial import paces, standing
from harness.trial.assignment import Assignment
from harness.trial.seen import Seen
from harness.trial.site import Site
from harness.trial.worker_log import UNRECOVERABLE

LOOK_EVERY_S = 0.1
SAMPLE_EVERY_S = 0.5
JUDGE_EVERY_S = 0.2
OVERDUE_SHARE = 0.4  # of the watchdog's patience, after which threads are looked at
SETTLE_LIMIT_S = 2.0  # after READY; a child that still loads computes for longer
UNSEEN_S = 2.0  # a proof that is not seen again for so long lapses: its confirmation begins anew, if it is seen again
KEPT_LOOKS = 60  # more than the watchdog's window holds
DEAD_CHILD_S = 13.0  # billiard answers WorkerLostError for a dead child's request within 10 s (LOST_WORKER_TIMEOUT)
LET_GO_S = 5.0  # calls without a worker may end so long after all was answered: a thread may keep their process for ever
STOPPING_S = 40.0  # billiard's children wait 30 s for their last answer to be taken (GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT)


class Watcher:
    """`watch` does it all; the rest are its steps."""

    def __init__(self, work: Assignment, site: Site) -> None:
        self.work, self.site, self.seen = work, site, Seen(withdrawn=[*work.turn.withdrawn])
        self.looks: list[Look] = []
        self.furniture: dict[int, str] = {}
        self._has_children = not work.cell.is_baseline and work.cell.executors == "processes"
        self._shown: Verdict | None = None  # the proof that stands, or has lapsed
        self._lapse = ""  # why it is not seen any more
        self._stood_s: float | None = None  # the `shown_s` of the proof that was confirmed beside another trial
        self._answers = self._dead_before = 0  # answers so far, and the children that had died by the last of them
        self._sampled_s = self._judged_s = self._first_s = self._proved_s = self._stalled_s = 0.0
        self._done_s: float | None = None  # when calls without a worker were seen to be done

    def watch(self) -> Seen:
        """Look again and again; what was seen, once something has ended the trial."""
        while not self.seen.ended_by:
            self._step()
            shown_s = self.seen.shown_s
            if not self.seen.ended_by and shown_s not in (None, self._stood_s) and standing.may_stand(self):
                self._stand(shown_s)
            self.site.sleep(LOOK_EVERY_S)
        if self._lapse:
            self._withdraw(f"then it was not seen any more: {self._lapse}")
        return self.seen

    def _step(self) -> None:
        """Look once, and note whatever ends the trial."""
        progress, seen = self.site.progress, self.seen
        was_ready, phase = progress.ready_at_s is not None, progress.phase
        progress.read()
        if self._has_children:
            progress.child_pids |= self.site.children()
        now = self.site.now()
        seen.quiet_s, seen.longest_silence_s = progress.quiet_s(now), progress.longest_silence_s
        if progress.phase != phase or now - self._sampled_s >= SAMPLE_EVERY_S:
            self._sample(phase)
        if not was_ready and progress.ready_at_s is not None:
            self._ready()
        if self.work.outside is not None and progress.phase == "measure":
            self.work.outside(progress, self.site.main)
        seen.ended_by = self._ended(now)

    def _stand(self, shown_s: float) -> None:
        """Leave the machine to the next trial for most of the time for which the proof has to stand."""
        self._stood_s = shown_s
        if went_on := standing.stand(self, shown_s + paces.watched_s(self.work, self._shown)):
            self._withdraw(went_on)
            self.work.turn.disturbed, self.work.turn.withdrawn = went_on, tuple(self.seen.withdrawn)
            self.seen.ended_by = "withdrawn"
        self.looks.clear()
        self._proved_s = self.site.now() + UNSEEN_S

    def _sample(self, phase_before: str) -> None:
        """Read CPU times; the measured window is from the first sample in its phase to the first one after it."""
        progress, seen = self.site.progress, self.seen
        edge = "measure" in (progress.phase, phase_before) and progress.phase != phase_before
        seen.last = sample = self.site.sample(progress.phase, edge=edge)
        self._sampled_s = sample.at_s
        if "measure" in (progress.phase, phase_before):
            seen.before = seen.before or sample
            seen.after = sample
            seen.noise.append(self.site.noise())
            seen.depths += filter(None, [self.site.depth()])
        self._bury(sample)

    def _bury(self, sample: Sample) -> None:
        """Note which children have died, and the requests that they held."""
        progress, seen = self.site.progress, self.seen
        gone = {pid for pid in progress.child_pids if pid not in sample.pids and pid != self.site.main}
        if gone - seen.dead:  # or only new: a child of another thread than the main one is found a little later
            gone -= self.site.pids()
        seen.dead |= gone
        seen.lost |= {stage.number for stage in progress.forget(gone) if stage.kind == "request"}

    def _ready(self) -> None:
        """The worker consumes: remember what its threads wait in once they are idle, and let the load begin."""
        until = self.site.now() + (0.0 if self.work.waits_for_nobody else SETTLE_LIMIT_S)
        processes = self.site.look(closely=frozenset())
        while any_runs(processes) and self.site.now() < until:
            self.site.sleep(LOOK_EVERY_S)
            processes = self.site.look(closely=frozenset())
        self.site.settled(processes)
        self.furniture = {thread.tid: thread.waits_in for process in processes for thread in process.threads}
        self.seen.no_consumer = self.site.no_consumer() if self.site.has_client() else ""
        if not self.seen.no_consumer:
            self.work.turn.measure()
            self.site.go()

    def _ended(self, now: float) -> str:
        """What ends the trial now; '' to go on."""
        progress, site = self.site.progress, self.site
        if self.seen.no_consumer:
            return "no-consumer"
        if site.broker_ended():
            return "broker-exit"
        if progress.unsupported:
            return "unsupported"
        code = site.client_code()
        if code is not None:
            progress.read()  # it may have ended since the last look
        if progress.phase == "done" and not site.has_client():
            self._done_s = self._done_s or now
            return "done" if code is not None or now - self._done_s >= LET_GO_S else ""
        if code == 0 and progress.phase == "done":  # another code: what it saw was not saved
            return "done"
        return self._early_exit(code) or ("interrupted" if self.work.interrupted() else "") or self._overdue(now)

    def _early_exit(self, code: int | None) -> str:
        """Whose process is gone too soon. `code`: of the load generator."""
        if self.site.has_client() and code is not None:
            self.seen.client_exit = signal_name(code)
            return self._broken_off() if code == EXIT_BROKER_LOST else "client-exit"
        if (worker := self.site.worker_code()) is not None:
            self.seen.worker_exit = signal_name(worker)
            return "worker-exit"
        return ""

    def _broken_off(self) -> str:
        """The load generator has lost its connection: has the broker ended, or does it go on without it?"""
        if self.site.broker_ended():
            return "broker-exit"
        self.seen.census = self.site.census()
        return "broker-cut" if self.seen.census.answers else "broker-silent"

    def _overdue(self, now: float) -> str:
        progress, settings = self.site.progress, self.work.settings
        if verdict := self._judged(now):
            return verdict
        if progress.ready_at_s is None:
            return "ready-limit" if now - self.site.started_s > settings.ready_limit_s else ""
        at_work = self.seen.verdict is not None and self.seen.verdict.computing
        late = now - progress.ready_at_s > max(settings.limit_s, self.work.at_work_s if at_work else 0.0)
        if late and self.seen.partial and now - (self.seen.judged_s or now) < settings.confirm_s:
            self.seen.partial = self.seen.judged_s = None  # it has not stood for long enough
        if late and self.looks and self._stalled_s == self._judged_s:
            return "verdict"  # a stall stands
        return "limit" if late and self.seen.shown_s is None else ""  # a proof that stands is watched to its end

    @property
    def pace_s(self) -> float | None:
        """What a request usually takes: in the baseline or in this worker, whichever is longer; None while unknown."""
        known = [value for value in (self.work.baseline_s, self.site.progress.usual_s) if value is not None]
        return max(known) if known else None

    @property
    def slowest_s(self) -> float | None:
        """What the slowest answer took, in the baseline or in this worker; None while there is none."""
        known = [one for one in (self.work.baseline_slowest_s, self.site.progress.slowest_s or None) if one is not None]
        return max(known, default=None)

    def _judged(self, now: float) -> str:
        progress, seen = self.site.progress, self.seen
        soon_s = OVERDUE_SHARE * patience_s(self.pace_s)
        open_ = paces.of_stages(self.work, progress)
        suspects = frozenset(stage.pid for stage in open_ if now - stage.since_s >= paces.soon_s(stage, soon_s, OVERDUE_SHARE))
        if progress.waiting and not progress.open and seen.quiet_s >= OVERDUE_SHARE * STALL_S and self.looks:
            suspects = frozenset(process.pid for process in self.looks[-1].processes)  # who should take what waits?
        answers = progress.ended + progress.received
        if answers != self._answers:
            self._answers, self._dead_before = answers, len(seen.dead)
            self._withdraw("then an answer came")
        respawning = len(seen.dead) > self._dead_before
        if seen.partial and all(stage.since_s != seen.partial.since_s for stage in progress.open.values()):
            seen.partial = seen.judged_s = None  # what was thought to hang has gone on
        if not suspects and seen.quiet_s < soon_s and not respawning:
            self.looks.clear()
            self._withdraw("then requests moved on")
            return ""
        if now - self._judged_s < JUDGE_EVERY_S:
            return ""
        self._judged_s = now
        self.looks = [*self.looks[-KEPT_LOOKS:], self._look(now, suspects)]
        seen.verdict = judge(self.looks)
        return self._act_on(seen.verdict, now)

    def _act_on(self, verdict: Verdict, now: float) -> str:
        progress, seen = self.site.progress, self.seen
        if verdict.state is State.HUNG and seen.partial is None and seen.shown_s is None:
            seen.judged_s = now
        if verdict.partial:
            seen.partial = seen.partial or verdict
            return ""
        if verdict.state in (State.WORKING, State.UNDECIDED):
            if self._shown and now - self._proved_s > UNSEEN_S:
                seen.shown_s, self._lapse = None, verdict.doubt or verdict.reason or "it works"
            return ""
        if verdict.state is State.STALLED or verdict.how is How.LOST:
            return self._whose_fault(verdict, now)
        before_s = progress.last_event_s
        progress.read()  # what was looked at may have moved on while it was looked at
        return self._confirmed(verdict, now) if progress.last_event_s == before_s else ""

    def _confirmed(self, verdict: Verdict, now: float) -> str:
        """A proof is shown at once, and goes on record once it has stood; any progress withdraws it."""
        self._proved_s, self._lapse = now, ""
        watched_s = paces.watched_s(self.work, verdict)
        if self._shown is None:
            self._first_s, told = now, f"{verdict.state.value}: {verdict.reason}"
            if watched_s:
                self.work.say(f"{told}. This is proved, and goes on record if it stands for {watched_s:.0f} s")
        self._shown = verdict
        if self.seen.shown_s is None:
            self.seen.shown_s = now
        return "verdict" if now - self.seen.shown_s >= watched_s else ""

    def _withdraw(self, why: str) -> None:
        """The proof, if there was one, is none; it is kept as what we were wrong about."""
        if self._shown is not None:
            stood_s = self._proved_s - self._first_s
            self.seen.withdrawn.append(f"for {stood_s:.1f} s it was held proved: {self._shown.reason}; {why}")
            self.work.say(f"the proof does not stand: {why.removeprefix('then ')}")
        self.seen.shown_s = self._shown = None
        self._lapse = ""

    def _whose_fault(self, verdict: Verdict, now: float) -> str:
        """Nothing moves, and nobody holds a request: before the worker is blamed, look at the broker and at our client."""
        progress, before_s, seen = self.site.progress, self.site.progress.last_event_s, self.seen
        if verdict.how is How.LOST and seen.dead and seen.quiet_s < DEAD_CHILD_S:
            return ""  # the worker will answer in a dead child's place
        if seen.quiet_s < STOPPING_S and UNRECOVERABLE in self.site.log_tail():
            return ""  # the worker is about to end, and then has crashed
        seen.census = self.site.census()
        progress.read()
        if progress.last_event_s != before_s:
            return ""
        if not seen.census.answers:
            return "broker-silent"
        if verdict.how is How.LOST and seen.census.messages != 0:
            return ""  # the worker has been given it, or may have: a retry that waits for its time
        state = self.site.client_state()
        if state == "R":
            return ""  # it may be late to take the answers that came
        if state in ("T", "t"):
            return "client-stopped"
        return self._confirmed(verdict, now) if verdict.state is State.HUNG else self._stalled(verdict)

    def _stalled(self, verdict: Verdict) -> str:
        """Free executors leave work alone: it counts once it has stood, or at the limit; not while a timer may end it."""
        if self.work.application is not None and (paused := paces.paused(verdict, self.site.log_tail())):
            self.seen.verdict = paused
            return ""
        self._stalled_s = self._judged_s
        return "verdict" if self.seen.quiet_s >= STALL_S + self.work.put_off_s + paces.stall_stands_s(self.work) else ""

    def _look(self, now: float, suspects: frozenset[int]) -> Look:
        progress, cell = self.site.progress, self.work.cell
        kind = cell.executors
        return Look(
            at_s=now,
            ready=progress.ready_at_s is not None,
            last_progress_s=progress.last_event_s or self.site.started_s,
            waiting=0 if cell.is_baseline else progress.waiting,
            unanswered=0 if cell.is_baseline else progress.unanswered,
            ended=progress.ended,
            stages=paces.of_stages(self.work, progress),
            processes=self.site.look(closely=suspects),
            pace_s=self.pace_s,
            cold_s=self.work.baseline_first_s,
            slowest_s=self.slowest_s,
            limit_s=self.work.limit_s,
            rate_limited=self.work.rate_interval_s > 0,
            put_off_s=self.work.put_off_s,
            furniture=self.furniture,
            dead_children=len(self.seen.dead) - self._dead_before,
            executors=1 if kind == "main" else cell.concurrency,
            executor_kind="threads" if kind == "main" else kind,
        )
