"""How long a call takes decides how its pools are measured: how many requests, with which warm-up, for how long. Pure.

The serial calls are the first trial, so their pace is known before any worker starts. A request that takes a second or more is
*slow* where a warm-up would cost more than a quarter of the measuring: it gets none. Exactly as many requests as were asked for
are sent, and all are measured; the first one of an executor is told apart if first calls are known to take longer
(`certainty.few`). If no number was asked for, as many are sent as fit into MEASURE_S, but as few as tell something and as take
MOST_S at the most; of a task of minutes, that is one for each executor: it tells how a pool ends.

How long a request takes in a pool is not known before. A call that computes takes turns with those beside it: in one thread,
and in threads of Python, all of them; in processes, those that have no core of their own. A library that computes in C beside
other threads is then quicker than expected.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.applications.probe.order import DEFAULT_REQUESTS
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.experiment.mix import Mix
from harness.experiment.pools import POOLS
from harness.experiment.traffic import parse
from harness.observe.looks import patience_s
from harness.records.answers import NS

SLOW_S = 1.0  # a request that takes less is measured as all are
WARM_SHARE = 0.25  # of the measuring, that a warm-up may cost
WARM_ROUNDS = 3.0  # of all executors, that a warm-up takes before it looks for a stable pace
COLD = 1.25  # times the slowest later call: then a first one does what is done once
MEASURE_S, MOST_S = 120.0, 300.0
LEAST = 8  # requests that tell a pace and a median
NATIVE = 1.2  # cores: more than one Python thread can use
LEAST_LIMIT_S = 120.0
MARGIN = 2.0  # of the time that the requests are expected to take
FIRST_CALL_S, AT_WORK_S = 360.0, 1800.0  # how long the serial calls may take that are seen to do nothing, and that compute


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Of the serial calls. `usual_s`: the mean of all but the first, or of the only one; `slowest_s`: of those; `cores`: that a
    call keeps busy, or would if it had them. `tasks`: of each task of a mix, None of one that never ended; the rest is then of
    a request as the shares have them. `rarest`: the smallest share."""

    calls: int
    usual_s: float
    first_s: float
    slowest_s: float
    cores: float
    tasks: tuple[Pace | None, ...] = ()
    rarest: float = 1.0

    @property
    def is_slow(self) -> bool:
        return self.usual_s >= SLOW_S

    @property
    def longest_s(self) -> float:
        """A usual call of the task that takes longest."""
        return max((one.usual_s for one in self.tasks if one is not None), default=self.usual_s)

    @property
    def cold(self) -> bool:
        """Whether a first call is known to take longer."""
        if self.tasks:
            return any(one is not None and one.cold for one in self.tasks)
        return self.calls > 1 and self.first_s > COLD * self.slowest_s


@dataclass(frozen=True, kw_only=True)
class Size:
    """How a pool is measured. `load_s`: how long its requests are expected to take; `limit_s`: after which it is cut off."""

    requests: int
    few: bool
    load_s: float
    limit_s: float


def of(lines: Sequence[Mapping[str, Any]], mix: Mix | None = None) -> Pace | None:
    """From the lines of the serial calls; None if none has ended."""
    if not lines:
        return None
    if mix is not None:
        return _of_mix([_alone([line for line in lines if mix.of_rows[line["row"]] == task]) for task in range(len(mix.tasks))],
                       mix)  # fmt: skip
    return _alone(lines)


def _of_mix(tasks: Sequence[Pace | None], mix: Mix) -> Pace:
    """Of a request as the shares have them; a task that never ended adds nothing."""
    known = [(share, one) for share, one in zip(mix.shares, tasks, strict=True) if one is not None]
    whole = sum(share for share, _ in known)
    usual_s = sum(share * one.usual_s for share, one in known) / whole
    spent_s = sum(share * one.usual_s * one.cores for share, one in known) / whole
    return Pace(
        calls=sum(one.calls for _, one in known), usual_s=usual_s, slowest_s=max(one.slowest_s for _, one in known),
        first_s=usual_s + sum(max(0.0, one.first_s - one.usual_s) for _, one in known),
        cores=spent_s / usual_s if usual_s else 0.0, tasks=tuple(tasks), rarest=mix.rarest,
    )  # fmt: skip


def _alone(lines: Sequence[Mapping[str, Any]]) -> Pace | None:
    """Of one task."""
    if not lines:
        return None
    took_s = [(line["end"] - line["begin"]) * NS for line in lines]
    later = took_s[1:] or took_s
    spent_s = sum(line.get("cpu_s", 0.0) for line in (lines[1:] or lines))
    return Pace(
        calls=len(lines), usual_s=sum(later) / len(later), first_s=took_s[0], slowest_s=max(later),
        cores=spent_s / sum(later) if sum(later) else 0.0,
    )  # fmt: skip


def at_once(cell: Cell) -> int:
    """How many requests run at a time."""
    most = 1 if POOLS[cell.pool].executors == "main" else cell.concurrency
    return min(most, parse(cell.traffic).in_flight or most)


def round_s(pace: Pace, cell: Cell, usable: float) -> float:
    """How long as many requests take as run at a time, each one of them; `usable`: cores."""
    kind = POOLS[cell.pool].executors
    one_thread = kind == "greenlets" or (kind == "threads" and pace.cores <= NATIVE)
    return pace.usual_s * max(1.0, at_once(cell) * pace.cores / (1.0 if one_thread else usable))


def wanted(pace: Pace, cell: Cell, usable: float) -> int:
    """How many requests tell most for the time that they take."""
    each_s, count = round_s(pace, cell, usable) / at_once(cell), least(cell, pace)
    telling = math.ceil(LEAST / pace.rarest)  # so many of the rarest task of a mix
    many = max(DEFAULT_REQUESTS, telling)
    if many * each_s <= MEASURE_S:
        return many
    enough = max(telling, math.floor(MEASURE_S / each_s))
    return max(count, min(enough, many, math.floor(MOST_S / each_s)))


def size(pace: Pace, cell: Cell, settings: Settings, requests: int, usable: float, limit_s: float | None = None) -> Size:
    """How so many requests are measured. `limit_s`: if a time limit was asked for."""
    few = is_few(pace, cell, settings, requests, usable)
    load = load_s(pace, cell, settings, requests, usable, few=few)
    needed_s = MARGIN * load + patience_s(longest_s(pace, cell, usable)) + settings.confirm_s
    return Size(requests=requests, few=few, load_s=load, limit_s=limit_s or max(LEAST_LIMIT_S, needed_s))


def longest_s(pace: Pace, cell: Cell, usable: float) -> float:
    """How long the longest task of a mix takes in the pool, if it is slowed down as all are."""
    return round_s(pace, cell, usable) * (pace.longest_s / pace.usual_s if pace.usual_s else 1.0)


def least(cell: Cell, pace: Pace | None = None) -> int:
    """Requests that tell how a pool ends: one for each executor, and for each task of a mix."""
    return max(at_once(cell), len(pace.tasks) if pace else 0)


def is_few(pace: Pace, cell: Cell, settings: Settings, requests: int, usable: float) -> bool:
    """Whether a warm-up would cost more than it tells."""
    if not pace.is_slow or parse(cell.traffic).is_open:
        return False
    once_s = round_s(pace, cell, usable)
    measuring_s = max(settings.measure_s, requests * once_s / at_once(cell))
    return WARM_ROUNDS * once_s + settings.stable_limit_s > WARM_SHARE * measuring_s


def load_s(pace: Pace, cell: Cell, settings: Settings, requests: int, usable: float, *, few: bool) -> float:
    """Seconds from the first request to the last answer."""
    once_s, traffic, cold_s = round_s(pace, cell, usable), parse(cell.traffic), max(0.0, pace.first_s - pace.usual_s)
    if few:
        return cold_s + math.ceil(requests / at_once(cell)) * once_s
    by_pace_s = requests / traffic.rate_per_s if traffic.rate_per_s else requests * once_s / at_once(cell)
    ends_s = once_s * math.ceil((traffic.in_flight or 1) / at_once(cell))
    return cold_s + WARM_ROUNDS * once_s + settings.stable_limit_s + max(settings.measure_s, by_pace_s) + ends_s
