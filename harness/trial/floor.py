"""Who may disturb whom while several trials of a run are under way: what is measured has the machine to itself.

A trial *starts* until its load begins; then it is *measured*. It *stands* while a proof of a hang is confirmed: its threads
wait, and nobody looks at it. It *stirs* while it is looked at again, is stopped and written down. At most one trial is
measured, and only while no other stirs; one that stands disturbs nobody. `harness.run.lanes` gives the turns, a trial keeps to
its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

POLL_S = 0.1  # for a Ctrl-C


class State(Enum):
    STARTS = auto()
    MEASURED = auto()
    STANDS = auto()
    STIRS = auto()
    GONE = auto()


@dataclass
class Floor:
    """The machine, and the turns on it that are not over."""

    turns: list[Turn] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def turn(self, **own: Any) -> Turn:
        """The next trial's; `own`: fields of it."""
        with self.changed:
            number = next(n for n in range(len(self.turns) + 1) if all(one.number != n for one in self.turns))
            turn = Turn(floor=self, number=number, **own)
            self.turns.append(turn)
            return turn


@dataclass(eq=False)
class Turn:
    """One trial's. `number`: the smallest that no other turn has. `may_stand`: whether a proof may be confirmed beside the next
    trial. `withdrawn`: proofs of the same trial that did not stand beside another one, each in words. `disturbed`: why what was
    measured in this turn has to be measured again.
    """

    floor: Floor = field(default_factory=Floor)
    number: int = 0
    interrupted: Callable[[], bool] = bool
    may_stand: bool = False
    withdrawn: tuple[str, ...] = ()
    state: State = State.STARTS
    disturbed: str = ""
    wants_to_stir: bool = False

    def measure(self) -> None:
        """Wait until no other trial stirs, or is about to; then the machine is this one's."""
        self._wait_while(lambda other: other.state is State.STIRS or other.wants_to_stir)
        self._becomes(State.MEASURED)

    def stand(self) -> None:
        """The next trial may begin."""
        self._becomes(State.STANDS)

    def stir(self) -> None:
        """Nothing of this trial is measured any more. If it stood, wait until nothing of another one is."""
        if self.state is State.STANDS:
            self.wants_to_stir = True
            self._wait_while(lambda other: other.state is State.MEASURED)
        self._becomes(State.STIRS)

    def leave(self) -> None:
        self._becomes(State.GONE)

    def disturb(self, why: str) -> None:
        """This trial, which stood, ran; whatever was measured meanwhile does not count."""
        with self.floor.changed:
            for other in self.floor.turns:
                if other is not self and other.state is State.MEASURED:
                    other.disturbed = why

    def wait_aside(self) -> None:
        """Until the next trial may begin beside this one."""
        with self.floor.changed:
            while self.state in (State.STARTS, State.MEASURED):
                self.floor.changed.wait(POLL_S)

    def _becomes(self, state: State) -> None:
        with self.floor.changed:
            self.state, self.wants_to_stir = state, False
            if state is State.GONE and self in self.floor.turns:
                self.floor.turns.remove(self)
            self.floor.changed.notify_all()

    def _wait_while(self, holds: Callable[[Turn], bool]) -> None:
        with self.floor.changed:
            while any(other is not self and holds(other) for other in self.floor.turns) and not self.interrupted():
                self.floor.changed.wait(POLL_S)
