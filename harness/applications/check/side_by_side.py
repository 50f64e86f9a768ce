"""One task called in forked children and without a fork, side by side, and watched from outside.

`Side` is what one process told so far. A child has not returned if it is in its call (or in its start) for `FACTOR` times what
that took without a fork and `LEAST_S` more, and has used no CPU meanwhile. What it means is in `calls`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.applications.check import asked
from harness.applications.check.asked import Answers, Question
from harness.machine import procfs
from harness.observe import stacks

ALONE = -1  # the number of what calls without a fork
CHILDREN = 2
FACTOR, LEAST_S, IDLE_S, IDLE_SHARE = 3.0, 5.0, 2.0, 0.05
LOOK_EVERY_S = 0.1


@dataclass(kw_only=True)
class Side:
    """One process that calls. `at`: the row that it is in now, -1 while it starts, None if it is in none; `begun_s`: since
    when, by our clock. `took_s`: how long each row, and the start (-1), took. `rows`: what came of each."""

    pid: int = 0
    at: int | None = None
    begun_s: float = 0.0
    took_s: dict[int, float] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    ended_s: float = 0.0
    cpu: list[tuple[float, float]] = field(default_factory=list)  # (when, CPU seconds so far)
    died_in: int | None = None
    code: int | None = None
    stuck: bool = False
    stands: str = ""
    _said_s: float = 0.0

    def take(self, line: Mapping[str, Any], now_s: float) -> None:
        """What the process told in one line."""
        if "starts" in line:
            self.at, self.begun_s, self._said_s = -1, now_s, line["at_s"]
        elif "begins" in line:
            if self.at == -1:
                self.took_s[-1] = line["at_s"] - self._said_s
            self.at, self.begun_s = line["begins"], now_s
        elif "row" in line:
            self.took_s.setdefault(line["row"], line["took_s"])
            self.rows.append(dict(line))
            self.at = None
        elif "ended" in line:
            self.died_in, self.code = self.at, line.get("code")
            self.ended, self.at, self.ended_s = True, None, now_s
        elif "pid" in line:
            self.pid = line["pid"]

    @property
    def is_idle(self) -> bool:
        """Whether it has used no CPU for IDLE_S."""
        if not self.cpu or self.cpu[-1][0] - self.cpu[0][0] < IDLE_S:
            return False
        begin = next(one for one in reversed(self.cpu) if self.cpu[-1][0] - one[0] >= IDLE_S)
        return self.cpu[-1][1] - begin[1] <= IDLE_SHARE * (self.cpu[-1][0] - begin[0])


def limit_s(alone: Side, at: int) -> float | None:
    """How long a child may be in this row (or its start); None while nobody knows.

    >>> limit_s(Side(took_s={0: 0.5, 1: 10.0}), 0), limit_s(Side(took_s={0: 0.5, 1: 10.0}), 1)
    (5.5, 30.0)
    """
    took = alone.took_s.get(at)
    return None if took is None else max(FACTOR * took, took + LEAST_S)


def is_stuck(child: Side, alone: Side, now_s: float) -> bool:
    """Not while the other side runs, nor at once after it: what it holds outside its process, a child may wait for."""
    limit = limit_s(alone, child.at) if child.at is not None and not child.ended else None
    free = alone.ended and now_s - alone.ended_s >= LEAST_S
    return free and limit is not None and now_s - child.begun_s >= limit and child.is_idle


@dataclass(kw_only=True)
class Sides:
    alone: Side
    children: dict[int, Side]
    failed: str = ""  # why one of the processes told no more

    def read(self, answers: Iterable[Answers], seen: dict[int, int], now_s: float) -> None:
        """Take what came since; `seen`: how many lines of each were taken."""
        for place, one in enumerate(answers):
            for line in one.lines[seen.get(place, 0) :]:
                if "caller" in line:
                    number = line["caller"]
                    side = self.alone if number == ALONE else self.children.setdefault(number, Side())
                    side.take(line, now_s)
                elif "failed" in line:
                    self.failed = str(line["failed"])
            seen[place] = len(one.lines)

    def look(self, now_s: float) -> None:
        for child in self.children.values():
            stat = procfs.process(child.pid) if child.pid and not child.ended else None
            if stat is not None:
                child.cpu.append((now_s, stat.own_cpu_s))
            child.stuck = is_stuck(child, self.alone, now_s)

    @property
    def decided(self) -> bool:
        """Whether each child has ended or is stuck, and the other side has ended."""
        return (
            self.alone.ended
            and len(self.children) == CHILDREN
            and all(one.ended or one.stuck for one in self.children.values())
        )


def compared(forking: Answers, alone: Answers, question: Question, now: Callable[[], float] = time.monotonic) -> Sides:
    """Watch both until it is decided, or for so long; where a stuck child stands is read before they are ended."""
    sides = Sides(alone=Side(), children={})

    def done() -> bool:
        return sides.decided or (sides.alone.at is not None and now() - sides.alone.begun_s > question.call_s)

    _watch(sides, (forking, alone), done, question.limit_s, now)
    if sides.alone.at is not None and alone.process.poll() is not None:
        sides.alone.take({"ended": True, "code": alone.process.poll()}, now())
    for child in sides.children.values():
        if child.stuck:
            child.stands = _stands(child.pid)
    return sides


def one_child(question: Question, scratch: Path, alone: Side, now: Callable[[], float] = time.monotonic) -> Side:
    """What one more forked child tells, beside which nothing calls; until it has ended, or is stuck as `is_stuck` has it."""
    folder = scratch / "one-child"
    folder.mkdir()
    sides = Sides(alone=alone, children={})
    with asked.asking(question, folder, (1,)) as answers:
        _watch(sides, answers, lambda: any(one.ended or one.stuck for one in sides.children.values()), question.limit_s, now)
    return sides.children.get(0, Side())


def _watch(
    sides: Sides, answers: Sequence[Answers], done: Callable[[], bool], limit_s: float, now: Callable[[], float]
) -> None:
    """Take what they tell until it is enough, one has failed, all are over, or the time is."""
    seen, end = dict[int, int](), now() + limit_s
    while now() < end:
        over = [one.over for one in answers]
        sides.read(answers, seen, now())
        sides.look(now())
        if done() or sides.failed or all(over):
            return
        time.sleep(LOOK_EVERY_S)


def _stands(pid: int) -> str:
    """'in wait (threading.py:629), called from predict (tasks.py:33)' of its main thread."""
    from harness.observe import waits

    return waits.place(stacks.frames_of(stacks.text(pid), pid))
