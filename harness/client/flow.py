"""Requests in flight: send some, take what comes, wait for the rest. Every kind of traffic is made of these few moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from harness.client import silence
from harness.client.deck import Deck
from harness.client.log import Log
from harness.client.plan import Plan
from harness.client.schedule import NS_PER_S, Nanoseconds
from harness.client.silence import Silence
from harness.client.wire import AnyWire
from harness.worker import contract, heartbeat

POLL_S = 0.05
BURST = 256  # requests a command; between two of them answers are taken


class Flow:
    """Sends, takes, and keeps the log. `stopped` ends everything early; after that nothing is sent, or waited for."""

    def __init__(self, plan: Plan, wire: AnyWire) -> None:
        self.plan, self.wire = plan, wire
        self.log = Log()
        self.phase = contract.PHASES.index("first")
        self.in_flight = 0
        self.duplicates = 0
        self.withdrawn: list[int] = []
        self.stopped = threading.Event()
        self._deck = Deck(plan)
        self._silence = Silence(Path(plan.events_dir)) if plan.messages else None

    def begin(self, phase: str) -> None:
        """From now on, requests belong to this phase; the driver is told."""
        if not self.stopped.is_set():
            self.phase = self.phase_number(phase)
            heartbeat.emit(contract.PHASE, self.phase)

    def send(self, count: int) -> None:
        """Requests that are meant to be sent now."""
        now = time.monotonic_ns()
        for begin in range(0, count, BURST):
            self._publish([now] * min(BURST, count - begin), now)

    def send_due(self, moments: Nanoseconds) -> None:
        """Requests whose time has come: the moments that they were meant to be sent at."""
        for begin in range(0, len(moments), BURST):
            self._publish(moments[begin : begin + BURST].tolist(), time.monotonic_ns())

    def _publish(self, intended: Sequence[int], now: int) -> None:
        if self.stopped.is_set():
            return
        requests = []
        for moment in intended:
            row = self._deck.row(len(self.log))
            requests.append((self.log.add(row=row, phase=self.phase, intended=moment, published=now), row))
        heartbeat.emit_all(contract.PUBLISHED, [number for number, _ in requests])
        self.wire.publish(requests)
        self.in_flight += len(requests)

    def take(self, limit_s: float = POLL_S) -> list[int]:
        """The numbers of the requests that have ended, after waiting up to `limit_s` for the first answer."""
        taken, log = self.wire.take(limit_s), self.log
        for number in taken.confirmed:
            log.sent[number] = taken.at_ns
        fresh = []
        for number, raw in taken.answers:
            if number < len(log) and log.raw[number] is None:
                log.received[number], log.raw[number] = taken.at_ns, raw
                fresh.append(number)
            else:
                self.duplicates += 1
        fresh += self._given_up(taken.at_ns)
        if fresh:
            heartbeat.emit_all(contract.RECEIVED, fresh)
            self.in_flight -= len(fresh)
        return fresh

    def _given_up(self, at_ns: int) -> list[int]:
        """The numbers of the requests that are never answered, on purpose; each ends here, with that as its error."""
        silent = self._silence.numbers() if self._silence is not None else []
        ended = [number for number in dict.fromkeys(silent) if number < len(self.log) and self.log.raw[number] is None]
        for number in ended:
            self.log.received[number], self.log.raw[number] = at_ns, silence.ANSWER
        return ended

    def settle(self, limit_s: float | None = None) -> None:
        """Wait for all answers.

        Not for longer than `limit_s` while answers come and messages still wait in the broker: these are withdrawn. Where
        nothing comes any more, there is no end to the waiting: the driver judges what that is, and stops us.
        """
        begun = time.monotonic()
        while self.in_flight and not self.stopped.is_set():
            answered = self.take()
            if limit_s is not None and answered and time.monotonic() - begun >= limit_s:
                self.withdraw()
                limit_s = None
        while self.wire.unconfirmed and not self.stopped.is_set():
            self.take()

    def withdraw(self) -> None:
        """Take back the requests that no worker has been given."""
        numbers = [number for number in self.wire.withdraw() if self.log.raw[number] is None]
        heartbeat.emit_all(contract.WITHDRAWN, numbers)
        self.withdrawn += numbers
        self.in_flight -= len(numbers)

    def phase_number(self, name: str) -> int:
        return contract.PHASES.index(name)

    def latency_s(self, number: int) -> float:
        return (self.log.received[number] - self.log.intended[number]) / NS_PER_S
