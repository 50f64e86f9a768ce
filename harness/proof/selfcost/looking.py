"""What `harness why` costs the worker that it looks at, and us: nothing may change in it, and its requests take the same CPU.

By turns, either first: a block with looks, a block without, at the same steady traffic. Then as many looks as are left, one
right after the other.
"""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness.environments import Environment
from harness.errors import HarnessError
from harness.live import attach, find, waits
from harness.proof.selfcost.looked_at import Subject, served

BLOCK_S = 9.0  # three looks of `why`, and some hundred requests
LOOKS = 1000
TURNS = 30  # with 12, on a machine that others fill, the interval is 4 % wide
STOPPED = "tT"


@dataclass(frozen=True, kw_only=True)
class Looking:
    """What some rounds of looking were seen to do.

    `changed`: settings that differ afterwards; `cpu_with_s` and `cpu_without_s`: of a request, CPU seconds of the whole worker,
    block by block; `why_s`: of one round of looks, our own CPU seconds; `load`: what others did on the machine meanwhile,
    processes that ran or wanted to, on average over a minute.
    """

    looks: int
    rounds: int
    signals: int
    changed: tuple[str, ...]
    states: dict[str, int]
    right: int
    wrong: int
    cpu_with_s: tuple[float, ...]
    cpu_without_s: tuple[float, ...]
    why_s: float
    load: float

    @property
    def ratios(self) -> list[float]:
        return [one / other for one, other in zip(self.cpu_with_s, self.cpu_without_s, strict=True)]

    @property
    def stopped(self) -> int:
        """How often a thread was seen stopped or traced."""
        return sum(self.states.get(state, 0) for state in STOPPED)


@dataclass
class _Tally:
    looks: int = 0
    rounds: int = 0
    cpu_s: list[float] = field(default_factory=list)
    with_s: list[float] = field(default_factory=list)
    without_s: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)


def measure(
    folder: Path, environment: Environment, *, looks: int = LOOKS, turns: int = TURNS, block_s: float = BLOCK_S
) -> Looking:
    """Look at a worker until it was looked at so often. Raises HarnessError."""
    tally = _Tally()
    with served(folder, environment) as subject:
        before, signals, seen = subject.settings(), subject.signals(), Counter(subject.states())
        right, wrong = subject.answers()
        for turn in range(turns):
            for looking in ((True, False), (False, True))[turn % 2]:
                _block(subject, tally, block_s, looking=looking)
        while tally.looks < looks:
            tally.looks += look(subject, hurried=True)
        after, answers = subject.settings(), subject.answers()
        return Looking(
            looks=tally.looks, rounds=tally.rounds, signals=subject.signals() - signals, changed=differing(before, after),
            states=dict(Counter(subject.states()) - seen), right=answers[0] - right, wrong=answers[1] - wrong,
            cpu_with_s=tuple(tally.with_s), cpu_without_s=tuple(tally.without_s), why_s=statistics.median(tally.cpu_s),
            load=statistics.fmean(tally.loads),
        )  # fmt: skip


def differing(before: dict[str, str], after: dict[str, str]) -> tuple[str, ...]:
    """The names of settings that are not as they were, with both values."""
    names = sorted(before.keys() | after.keys())
    return tuple(f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name))


def look(subject: Subject, *, hurried: bool = False) -> int:
    """One round, as `harness why` makes it, or without any rest between the looks: how many it had. Raises HarnessError."""
    seen = attach.watched(find.described(subject.main), sleep=(lambda seconds: None) if hurried else time.sleep)
    if seen is None:
        raise HarnessError("the worker ended while it was looked at", evidence=str(subject.folder.parent / "worker.log"))
    waits.look(seen, deep=False)
    return len(seen.looks)


def _block(subject: Subject, tally: _Tally, seconds: float, *, looking: bool) -> None:
    """So long, with looks or without: what a request took meanwhile."""
    begin_s, cpu_s, answered = time.monotonic(), subject.cpu_s(), sum(subject.answers())
    while looking and time.monotonic() < begin_s + seconds:
        ours_s = _ours_s()
        tally.looks += look(subject)
        tally.rounds += 1
        tally.cpu_s.append(_ours_s() - ours_s)
    if (left := begin_s + seconds - time.monotonic()) > 0:
        time.sleep(left)
    if not (count := sum(subject.answers()) - answered):
        raise HarnessError("the worker answered nothing for a while", evidence=str(subject.folder.parent / "client.log"))
    each_s = (subject.cpu_s() - cpu_s) / count
    (tally.with_s if looking else tally.without_s).append(each_s)
    tally.loads.append(os.getloadavg()[0])


def _ours_s() -> float:
    """CPU seconds of this process and of the programs that it has run."""
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
