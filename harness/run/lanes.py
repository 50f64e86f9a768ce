"""Trials under way: one that is measured, and beside it those of which nothing is measured any more (`trial.floor`).

With `Settings.stop_early` the next trial begins as soon as the last one is over, while that is stopped and written down, or
while its proof of a hang is confirmed. Without, each trial begins when the one before is on record. The run loop (`workflow`)
asks which trial may begin, begins it, and takes the records of those that have ended.

A trial that stands has files of its interpreter and libraries in memory. Beside one that maps the same files, the kernel would
count a page of them half to each, and memory would be read too low: so no trial begins while another of the same interpreter
stands (`Source.apart`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from harness.records.record import TrialRecord
from harness.run.plan import Planned
from harness.run.source import Desk, Source
from harness.trial.floor import Floor, State, Turn

CarryOut = Callable[[Source, Desk, Planned, Sequence[TrialRecord]], TrialRecord | None]
STOP_S = 60.0  # for those under way, when the run ends by an error


@dataclass(frozen=True, kw_only=True)
class Over:
    """A trial that has ended. `record`: None if it was interrupted; `again`: why it has to be run once more, '' if not."""

    item: Planned
    record: TrialRecord | None
    again: str = ""


@dataclass(eq=False)
class _Lane:
    item: Planned
    turn: Turn
    thread: threading.Thread | None = None
    record: TrialRecord | None = None
    error: BaseException | None = None


class Lanes:
    """A context; leaving it by an error stops what is under way."""

    def __init__(self, source: Source, desk: Desk, carry_out: CarryOut) -> None:
        self.source, self.desk, self.carry_out = source, desk, carry_out
        self._floor, self._stop = Floor(), threading.Event()
        self._lanes: list[_Lane] = []
        self._withdrawn: dict[Planned, tuple[str, ...]] = {}

    @property
    def busy(self) -> bool:
        return bool(self._lanes)

    def next_of(self, queue: Sequence[Planned]) -> Planned | None:
        """The first that may begin now; None if there is none."""
        if any(lane.item.cell.is_baseline and lane.turn.state is not State.STANDS for lane in self._lanes):
            return None  # what it says of a request's duration is needed first
        taken = {self.source.apart(lane.item) for lane in self._lanes if lane.turn.state is State.STANDS}
        if queue and queue[0].skip:
            return queue[0]
        return next((item for item in queue if not item.skip and not taken & {"", self.source.apart(item)}), None)

    def begin(self, item: Planned, records: Sequence[TrialRecord]) -> None:
        """Carry it out until it is over, or stands aside."""
        early, withdrawn = self.desk.settings.stop_early, self._withdrawn.get(item, ())
        turn = self._floor.turn(
            interrupted=self._interrupted, withdrawn=withdrawn,
            may_stand=early and not withdrawn and self.source.apart(item) != "",
        )  # fmt: skip
        lane = _Lane(item, turn)
        self._lanes.append(lane)
        if not early:
            self._carry_out(lane, records)
            return
        lane.thread = threading.Thread(target=self._carry_out, args=(lane, records), name=item.cell.id, daemon=True)
        lane.thread.start()
        turn.wait_aside()

    def over(self, *, wait: bool) -> list[Over]:
        """Those that have ended since; `wait` for one of them. Raises what one of them raised."""
        with self._floor.changed:
            while wait and not self._gone():
                self._floor.changed.wait()
        ended = self._gone()
        self._lanes = [lane for lane in self._lanes if lane not in ended]
        for lane in ended:
            if lane.error is not None:
                raise lane.error
        return [self._over(lane) for lane in ended]

    def _gone(self) -> list[_Lane]:
        return [lane for lane in self._lanes if lane.turn.state is State.GONE]

    def _over(self, lane: _Lane) -> Over:
        again = "" if self._interrupted() else lane.turn.disturbed
        if again and lane.turn.withdrawn:
            self._withdrawn[lane.item] = lane.turn.withdrawn
        return Over(item=lane.item, record=None if again else lane.record, again=again)

    def _carry_out(self, lane: _Lane, records: Sequence[TrialRecord]) -> None:
        desk = replace(self.desk, turn=lane.turn, interrupted=self._interrupted)
        try:
            lane.record = self.carry_out(self.source, desk, lane.item, records)
        except BaseException as error:
            if lane.thread is None:
                raise
            lane.error = error  # raised again where the run loop asks
        finally:
            lane.turn.leave()

    def _interrupted(self) -> bool:
        return self._stop.is_set() or self.desk.interrupted()

    def __enter__(self) -> Lanes:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> Any:
        self._stop.set()
        for lane in self._lanes:
            if lane.thread is not None:
                lane.thread.join(STOP_S)
