"""Open traffic: send by the clock, whatever has been answered; and the search for the highest rate that keeps a latency."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from harness.client import peak, schedule
from harness.client.flow import POLL_S, Flow
from harness.client.peak import Met, Tried
from harness.client.schedule import NS_PER_S, Nanoseconds
from harness.experiment.traffic import Traffic
from harness.records.sending import Step

SOON_NS = 5_000_000  # from making a schedule to its first moment


def run(flow: Flow, moments: Nanoseconds, until_ns: int, go_on: Callable[[list[int]], bool] = lambda fresh: True) -> None:
    """Send at these moments, and take answers, until `until_ns` or until `go_on`, told of new answers, says to stop.

    Moments and `until_ns` are nanoseconds of CLOCK_MONOTONIC.
    """
    sent = 0
    while not flow.stopped.is_set():
        now = time.monotonic_ns()
        due = int(np.searchsorted(moments, now, side="right"))
        if due > sent:
            flow.send_due(moments[sent:due])
            sent = due
        if sent == len(moments) and now >= until_ns:
            return
        wakes = int(moments[sent]) if sent < len(moments) else until_ns
        if not go_on(flow.take(min(POLL_S, (wakes - time.monotonic_ns()) / NS_PER_S))):
            return


@dataclass
class Search:
    """Looks for the highest Poisson rate at which a percentile keeps its bound, a step a rate; see `peak` for the rules."""

    flow: Flow
    traffic: Traffic
    dice: np.random.Generator
    until_s: float  # of CLOCK_MONOTONIC

    def __post_init__(self) -> None:
        self.tried: list[Tried] = []
        self.steps: list[Step] = []
        self.late = 0

    def run(self, guess_per_s: float) -> None:
        while not self.flow.stopped.is_set() and (rate := peak.next_rate(guess_per_s, self.tried)) is not None:
            step = self._step(rate)
            self.steps.append(step)
            self.tried.append(Tried(rate_per_s=rate, met=Met(step.met)))

    def _step(self, rate: float) -> Step:
        """One rate, from an empty queue on, until it is decided or the time is over."""
        flow, first = self.flow, len(self.flow.log)
        size = peak.size(rate, self.traffic.bound_s, self.traffic.fraction)
        offsets = schedule.arrivals(rate, poisson=True, seconds=0.0, requests=size.most, dice=self.dice)
        begun = time.monotonic_ns() + SOON_NS
        bound_ns = int(self.traffic.bound_s * NS_PER_S)
        judge = _Judge(flow, first, bound_ns, lambda known, misses: size.decide(known, misses, self.traffic.fraction))

        def go_on(_: list[int]) -> bool:
            return judge() is Met.OPEN and time.monotonic() < self.until_s

        run(flow, offsets + begun, begun + int(offsets[-1]) + bound_ns, go_on)
        judge()
        seconds = (time.monotonic_ns() - begun) / NS_PER_S
        numbers = slice(first, len(flow.log))
        intended, published = (np.array(column[numbers]) for column in (flow.log.intended, flow.log.published))
        self.late += schedule.late(intended, published, rate)
        if flow.in_flight:
            flow.withdraw()
        flow.settle()
        return Step(rate_per_s=rate, requests=judge.known, misses=judge.misses, met=judge.met.value, seconds=seconds)


class _Judge:
    """Whether the step that began with request `first` has met its bound, as far as is known by now.

    A request is known once it is answered, or over the bound. Only those count before which all are known: of the latest
    ones, the quick answers would otherwise come first.
    """

    def __init__(self, flow: Flow, first: int, bound_ns: int, decide: Callable[[int, int], Met]) -> None:
        self.flow, self.next, self.first = flow, first, first
        self.bound_ns, self.decide = bound_ns, decide
        self.misses = 0
        self.met = Met.OPEN

    @property
    def known(self) -> int:
        return self.next - self.first

    def __call__(self) -> Met:
        """What is known by now."""
        log, now = self.flow.log, time.monotonic_ns()
        while self.next < len(log):
            end = log.received[self.next] if log.received[self.next] >= 0 else now
            over = end - log.intended[self.next] > self.bound_ns
            if log.received[self.next] < 0 and not over:
                break
            self.misses += over
            self.next += 1
        self.met = self.decide(self.known, self.misses)
        return self.met
