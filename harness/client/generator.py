"""The phases of a trial, as the client drives them.

    first     what a cold worker takes: one request; of an application of somebody's own, one for each executor, at once, since
              its tasks may load what they need when they are first called, and then meet a model that is half loaded
    warmup    bursts until every executor has answered, then steady traffic until its pace is stable (`certainty.stability`)
    search    `peak` traffic only: which rate
    measure   the traffic that was asked for
    drain     what is still in flight is awaited

Requests that are so slow that the first two would cost more than they tell (`plan.few`) are measured from the first one on: the
loop is full at once, exactly as many are sent as were asked for, and all of them are awaited. `certainty.few` says what so few
tell, and which were the first ones of their executors.

The steady traffic of warm-up keeps requests in flight as closed traffic does, also before an open measured phase: its pace
is the worker's alone, while that of open traffic would differ from window to window by the chance of its arrivals. Open
traffic then runs for LEAD_S before it is measured, so that the queue is not an empty one.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.certainty import stability
from harness.client import open_loop, peak, schedule
from harness.client.early import Early
from harness.client.flow import Flow
from harness.client.log import executor
from harness.client.open_loop import SOON_NS, Search
from harness.client.plan import Plan
from harness.client.schedule import NS_PER_S
from harness.client.wire import AnyWire
from harness.experiment.traffic import DRAIN_REQUESTS, Traffic, parse
from harness.records import stamps
from harness.records.sending import Sending
from harness.worker import contract

WINDOW_S = 0.5
WINDOW_REQUESTS = 10  # fewer than `stability` asks of a measured phase: warm-up is to be short, and is not what is reported
LEAD_S = 0.5
EARLY = (
    0.5  # of the windows and the limit of warm-up, if the measured phase may end early: it is not to cost more than that does
)
MOST_IN_VAIN = 20  # bursts: a pool of threads that are quick enough never starts all of them
MOST_LIMITED = 1  # likewise, of a task with a rate limit: requests come one by one, and the first executor may have them all
DRAIN_LEAST_S = 5.0
FIRST_GUESS = 0.7  # of the rate at which warm-up was answered; above, waiting grows fast in any queue


class Generator:
    """Carries out a plan; `sending` is what it has to say about it."""

    def __init__(self, plan: Plan, wire: AnyWire) -> None:
        self.plan, self.flow = plan, Flow(plan, wire)
        self.traffic: Traffic = parse(plan.traffic)
        self.dice = np.random.default_rng(plan.arrivals_seed)
        self.sending = Sending(seeds={"arrivals": plan.arrivals_seed, "rows": plan.rows_seed})
        self._pace_per_s = 0.0  # of the steady traffic in warm-up

    def run(self) -> None:
        flow = self.flow
        if self.plan.few and not self.traffic.is_open:
            self._measure_few()
        else:
            flow.begin("first")
            flow.send(self.plan.firsts)
            flow.settle()
            self._warm_up()
            self._measure()
        flow.begin("drain")
        flow.settle(max(DRAIN_LEAST_S, self.plan.measure_s) if self.traffic.is_open else None)
        flow.begin("done")

    def notes(self) -> Sending:
        """What is to be said of the sending, also after an early end."""
        flow = self.flow
        cut_off = sum(flow.log.phase[number] == flow.phase_number("measure") for number in flow.withdrawn)
        return self._said(duplicates=flow.duplicates, withdrawn=len(flow.withdrawn), cut_off=cut_off)

    def _said(self, **more: Any) -> Sending:
        self.sending = replace(self.sending, **more)
        return self.sending

    def _warm_up(self) -> None:
        self.flow.begin("warmup")
        begun, seen = time.monotonic(), _Executors(self.flow, self.plan)
        while not self.flow.stopped.is_set() and time.monotonic() - begun < self.plan.warmup_limit_s and not seen.all():
            self.flow.send(self.plan.in_flight_warmup)
            self.flow.settle()
        if not (self.plan.early and seen.raised):  # then its figures are not what it is judged by
            self._until_stable()
        if self.traffic.is_open or self.traffic.backlog:
            self.flow.settle()

    def _until_stable(self) -> None:
        """Steady traffic in windows, until the last ones agree or `stable_limit_s` is over."""
        share = EARLY if self.plan.early else 1.0
        limit_s, window_s = share * self.plan.stable_limit_s, share * WINDOW_S
        if limit_s <= 0:
            return
        flow, throughputs, latencies = self.flow, list[float](), list[float]()
        flow.send(self.traffic.in_flight or self.plan.in_flight_warmup)
        begun = window = time.monotonic()
        held: list[float] = []
        agree = False
        while not agree and not flow.stopped.is_set() and (now := time.monotonic()) - begun < limit_s:
            fresh = flow.take()
            flow.send(len(fresh))
            held += [flow.latency_s(number) for number in fresh]
            if now - window >= window_s and len(held) >= WINDOW_REQUESTS:
                throughputs.append(len(held) / (now - window))
                latencies.append(sum(held) / len(held))
                window, held = now, []
                agree = stability.stable(throughputs, latencies)
        self._pace_per_s = throughputs[-1] if throughputs else len(held) / max(time.monotonic() - window, 1e-3)
        known = len(throughputs) >= stability.WINDOWS
        self._said(warmup_windows=len(throughputs), warmup_stable=agree if known else None)

    def _measure(self) -> None:
        if self.traffic.is_peak:
            self._search()
            return
        if self.traffic.is_open:
            self._measure_open(self.traffic.rate_per_s, self.plan.requests)
            return
        self.flow.begin("measure")
        cpu_s = time.process_time()
        if self.traffic.backlog:
            self.flow.send(max(self.plan.requests, DRAIN_REQUESTS))
            self.flow.settle()
        else:
            self._measure_closed()
        self._said(cpu_s=time.process_time() - cpu_s)

    def _measure_few(self) -> None:
        flow, count, begun, cpu_s = self.flow, self.plan.requests, time.monotonic(), time.process_time()
        self._said(few=True, cold=self.plan.cold)
        flow.begin("measure")
        flow.send(count if self.traffic.backlog else min(self.traffic.in_flight, count))
        while flow.in_flight and not flow.stopped.is_set():
            due = min(len(flow.take()), count - len(flow.log))
            if due and not self._in_time(time.monotonic() - begun):
                count, due = len(flow.log), 0
            flow.send(due)
        self._said(cpu_s=time.process_time() - cpu_s, unsent=self.plan.requests - count)

    def _in_time(self, passed_s: float) -> bool:
        """Whether one more request would be answered in time, if all go on as until now."""
        if not self.plan.most_s:
            return True
        in_flight = self.flow.in_flight
        half = max(0, min(self.plan.at_once, in_flight) - 1) / 2  # one has just ended: the others that run are half through
        done, left = len(self.flow.log) - in_flight + half, in_flight + 1 - half
        return passed_s * (1 + left / done) <= self.plan.most_s

    def _measure_closed(self) -> None:
        flow, begun, done = self.flow, time.monotonic(), 0
        early = Early(self.plan, flow.log, begun)
        flow.send(self.traffic.in_flight - flow.in_flight)
        while not flow.stopped.is_set():
            ended = flow.take()
            done += sum(flow.log.phase[number] == flow.phase for number in ended)  # some are still those of warm-up
            early.add(ended)
            now = time.monotonic()
            if done >= self.plan.requests and now - begun >= self.plan.measure_s:
                return
            if done >= self.plan.requests and (why := early.why(now)):
                self._said(stopped=why)
                return
            flow.send(len(ended))

    def _measure_open(self, rate_per_s: float, requests: int) -> None:
        """LEAD_S of the traffic, still as warm-up, and then the measured phase; `requests` at least."""
        flow, plan = self.flow, self.plan
        poisson = self.traffic.poisson or self.traffic.is_peak
        offsets = schedule.arrivals(
            rate_per_s, poisson=poisson, seconds=plan.measure_s, requests=requests, dice=self.dice, lead_s=LEAD_S
        )
        start = time.monotonic_ns() + SOON_NS + int(LEAD_S * NS_PER_S)
        end = start + max(int(plan.measure_s * NS_PER_S), int(offsets[-1]))
        flow.begin("warmup")
        open_loop.run(flow, offsets[offsets < 0] + start, start)
        flow.begin("measure")
        first, before, cpu_s = len(flow.log), flow.in_flight, time.process_time()
        open_loop.run(flow, offsets[offsets >= 0] + start, end)
        self._said(cpu_s=time.process_time() - cpu_s, backlog_before=before, backlog_after=flow.in_flight)
        self._note_sends(first, rate_per_s)

    def _note_sends(self, first: int, rate_per_s: float) -> None:
        log, said = self.flow.log, self.sending
        intended, published = np.array(log.intended[first:]), np.array(log.published[first:])
        self._said(
            rate_per_s=rate_per_s,
            sends=said.sends + len(intended),
            late=said.late + schedule.late(intended, published, rate_per_s),
            late_bound_s=schedule.late_bound_s(rate_per_s),
            latest_s=float((published - intended).max()) / NS_PER_S if len(intended) else None,
            overloaded=schedule.overloaded(len(intended), said.backlog_before, said.backlog_after),
        )

    def _search(self) -> None:
        """Find the rate, then measure it; where there is none, nothing is measured."""
        self.flow.begin("search")
        first, guess = len(self.flow.log), FIRST_GUESS * max(self._pace_per_s, 1e-3)
        search = Search(self.flow, self.traffic, self.dice, time.monotonic() + self.plan.search_s)
        search.run(guess)
        found, nothing_meets = peak.found(search.tried), peak.nothing_meets(guess, search.tried)
        self._said(
            sends=len(self.flow.log) - first,
            late=search.late,
            steps=search.steps,
            peak_per_s=0.0 if nothing_meets else found,
            peak=peak.reason(guess, search.tried, self.traffic.bound),
        )
        if found is None:
            self.flow.begin("measure")
            return
        first = len(self.flow.log)
        self._measure_open(found, max(self.plan.requests, peak.size(found, self.traffic.bound_s, self.traffic.fraction).least))
        self._said(peak_held=self._held(first))

    def _held(self, first: int) -> bool | None:
        """Whether the measured phase kept the bound; a request that is still in flight counts as what it has waited."""
        log, now = self.flow.log, time.monotonic_ns()
        numbers = [number for number in range(first, len(log)) if log.phase[number] == self.flow.phase_number("measure")]
        ends = [log.received[number] if log.received[number] >= 0 else now for number in numbers]
        bound_ns = self.traffic.bound_s * NS_PER_S
        misses = sum(end - log.intended[number] > bound_ns for number, end in zip(numbers, ends, strict=True))
        if misses and len(numbers) < peak.needed(misses, self.traffic.fraction):
            return False if misses > len(numbers) * (1 - self.traffic.fraction) else None
        return True


class _Executors:
    """Which executors have answered so far; each answer is read once. Those of somebody's own application do not say who
    ran them: there its worker's own events tell.
    """

    def __init__(self, flow: Flow, plan: Plan) -> None:
        self.flow, self.plan = flow, plan
        self.seen: set[tuple[int, int]] = set()
        self.read = 0
        self.raised = False
        self.in_vain = 0  # bursts that brought no new executor

    def all(self) -> bool:
        """Whether there is no other to wait for. One that raised does not say who ran it: then this is as warm as it gets."""
        if self.plan.messages:
            ended = stamps.read(Path(self.plan.events_dir), contract.FILE_NAME, (contract.TASK_END,))
            before, self.seen = len(self.seen), {self._who(int(one["pid"]), int(one["tid"])) for one in ended}
            self.in_vain = 0 if len(self.seen) > before else self.in_vain + 1
            most = MOST_LIMITED if self.plan.rate_limited else MOST_IN_VAIN
            return len(self.seen) >= self.plan.executors or self.in_vain > most
        for raw in self.flow.log.raw[self.read :]:
            who = executor(raw) if raw is not None else None
            self.raised |= raw is not None and who is None
            if who is not None:
                self.seen.add(self._who(*who))
        self.read = len(self.flow.log)
        return self.raised or len(self.seen) >= self.plan.executors

    def _who(self, pid: int, tid: int) -> tuple[int, int]:
        return pid, tid if self.plan.by_thread else 0
