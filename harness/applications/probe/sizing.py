"""How each pool of a probe is measured, once the serial calls have shown how long a call takes, and within the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from harness.applications.probe import budget, calls, pace
from harness.applications.probe.budget import Budget, Prices
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.pace import Pace, Size
from harness.display import duration
from harness.experiment.matrix import Cell
from harness.experiment.traffic import parse
from harness.machine import cores
from harness.observe.progress import TaskPace
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run.plan import NOT_BOUGHT
from harness.worker import witness
from harness.worker.serial import ALIKE

BESIDE_S = 5.0  # of a trial, beside the import of the application and its requests
QUICK_S, QUICK_IN_SEARCH_S = 5.0, 1.0  # of an import and one call of each row; a search has many short trials
LOOK, LOOK_S = ALIKE, 0.1  # requests of a look, and how long open traffic lasts in one
USABLE = cores.usable(len(cores.AVAILABLE), cores.quota())


@dataclass(kw_only=True)
class Sizing:
    """`pace`: of the serial calls of this run; `beside_s`: what its trials took beside their requests."""

    order: ProbeOrder
    budget: Budget
    usable: float = USABLE
    share: int | None = None  # of the calls that a trial may make, if they are bounded
    pace: Pace | None = None
    import_s: float = 0.0
    beside_s: list[float] = field(default_factory=list)
    sizes: dict[str, Size] = field(default_factory=dict)  # by cell id
    serial_most_s: float = math.inf  # that the serial calls get, if that is less than is usual
    looks: set[str] = field(default_factory=set)  # ids of cells that get no more than LOOK requests, for now

    @property
    def prices(self) -> Prices:
        asked = self.order.requests
        return Prices(
            cost=self.cost_s,
            wanted=self._wanted,
            least=lambda cell: self._wanted(cell) if asked else min(pace.least(cell, self.pace), self._wanted(cell)),
        )

    def _wanted(self, cell: Cell) -> int:
        if self.pace is not None and (self.pace.is_slow or self.pace.tasks):
            wanted = self.order.requests or pace.wanted(self.pace, cell, self.usable)
        else:
            wanted = self.order.requests or self.share or self.order.settings.requests
        return min(wanted, self.share or wanted)

    def size(self, cell: Cell, requests: int) -> Size:
        """If calls are bounded, none is made for a warm-up."""
        if self.pace is None:
            return Size(requests=requests, few=True, load_s=0.0, limit_s=self.order.settings.limit_s)
        own = pace.size(self.pace, cell, self.order.settings, requests, self.usable, self.order.limit_s)
        return replace(own, few=own.few or self.share is not None)

    def cost_s(self, cell: Cell, requests: int) -> float:
        """Of a whole trial."""
        return self.size(cell, requests).load_s + self.beside

    @property
    def beside(self) -> float:
        """Seconds that a trial takes beside its requests."""
        return median(self.beside_s) if self.beside_s else self.import_s + BESIDE_S

    def why_not(self, cell: Cell, later: Sequence[Cell]) -> str:
        """Settle how many requests its trial gets; why it has none, if there is no time for it. `later`: still to be run."""
        prices, later = self.prices, [*later, *self.order.later]
        if self.pace is None:
            if self.share is not None:
                self.sizes[cell.id] = self.size(cell, self._wanted(cell))
            return "" if self.budget.left_s > BESIDE_S else self.budget.too_dear(BESIDE_S)
        if cell.plain and self.budget.left_s < prices.whole([cell, *later]):
            return self.budget.too_dear(prices.whole([cell, *later]))
        count = budget.requests(cell, later, self.budget.left_s, prices, self.order.further)
        if not count:
            return self.budget.too_dear(self.cost_s(cell, prices.least(cell)))
        self.sizes[cell.id] = self.size(cell, count)
        return ""

    def limit_s(self, cell: Cell) -> float:
        """How long a trial may take after READY."""
        if cell.is_baseline:
            return min(self.order.limit_s or min(pace.FIRST_CALL_S, self.budget.serial_s), self.serial_most_s)
        own = self.sizes.get(cell.id)
        whole_s = own.limit_s if own else self.order.settings.limit_s
        return min(whole_s, self._left_s)

    @property
    def _left_s(self) -> float:
        """What the budget leaves the requests of the next trial; inf without one."""
        return max(BESIDE_S, float(round(self.budget.left_s - self.beside))) if self.order.budget_s else math.inf

    def cut_short(self, record: TrialRecord) -> str:
        """That a trial which progressed was cut off since the budget was spent, as `plan.NOT_BOUGHT` has it; or ''."""
        if record.outcome is not Outcome.SLOW or record.as_cell.is_baseline or self.budget.left_s > self.beside + BESIDE_S:
            return ""
        return f"{NOT_BOUGHT} of {duration(self.budget.seconds or 0.0)}"

    def at_work_s(self, cell: Cell) -> float:
        """Likewise, for serial calls that compute."""
        most_s = min(pace.AT_WORK_S, self.budget.serial_s, self.serial_most_s)
        return most_s if cell.is_baseline and not self.order.limit_s else 0.0

    def settings(self, cell: Cell) -> dict[str, Any]:
        """What the settings of its trial are otherwise; the time limit aside."""
        own, left_s = self._own(cell), self.budget.left_s
        ready = {"ready_limit_s": min(self.order.settings.ready_limit_s, max(BESIDE_S, left_s))}
        brief = {"measure_s": LOOK_S, "stable_limit_s": 0.0} if cell.id in self.looks else {}  # of open traffic
        return ready | brief | ({"requests": own.requests} if own else {})

    def look(self, cell: Cell) -> None:
        """Its next trial is to show how a few requests end. Not where few are sent anyway, or their rate is searched for."""
        own, few = self.sizes.get(cell.id), max(LOOK, pace.least(cell, self.pace))
        if own is not None and self.share is None and not parse(cell.traffic).is_peak and (own.requests > few or not own.few):
            self.looks.add(cell.id)

    def _own(self, cell: Cell) -> Size | None:
        """How it is measured now."""
        own = self.sizes.get(cell.id)
        if own is None or cell.id not in self.looks:
            return own
        return replace(own, requests=min(own.requests, max(LOOK, pace.least(cell, self.pace))), few=True)

    def assignment(self, cell: Cell) -> dict[str, Any]:
        """What its trial is given beside its settings: what the serial calls told, and how it is measured."""
        found: dict[str, Any] = {"at_work_s": self.at_work_s(cell)}
        own, known = self._own(cell), self.pace
        if known is not None and known.tasks and not cell.is_baseline:
            found |= _of_mix(known)
        elif known is not None and known.is_slow and not cell.is_baseline:
            told = {"baseline_s": known.usual_s, "baseline_first_s": known.first_s, "baseline_slowest_s": known.slowest_s}
            found |= told
        if own is None or not own.few:
            return found
        once_s = pace.round_s(known, cell, self.usable) if known else 0.0
        cold, limit_s = known is not None and known.cold, self.limit_s(cell)
        expected_s = own.load_s if own.load_s <= limit_s else 0.0  # more is sent than is sure to be in time, not than is likely
        return found | {"few": True, "cold": cold, "most_s": max(expected_s, limit_s - once_s, once_s)}

    def is_quick(self, rows: int) -> bool:
        """Whether the serial calls of so many rows are quick enough to be made after each trial."""
        most_s = QUICK_IN_SEARCH_S if self.order.grid else QUICK_S
        return self.pace is not None and self.import_s + rows * self.pace.usual_s <= most_s

    def again_s(self, rows: int) -> float:
        """How long the serial calls of so many rows may take, once more: no call is begun after that."""
        took_s = (rows - 0.5) * self.pace.usual_s if self.pace is not None else 0.0
        return min(max(witness.MOST_S, took_s), max(witness.MOST_S, self.budget.left_s))

    def ended(self, record: TrialRecord) -> None:
        """Learn from a trial what it takes beside its requests."""
        own = self.sizes.get(record.cell_id)
        if own is not None and own.few and record.pace.measured_s:
            self.beside_s.append(record.ended.seconds - record.pace.measured_s)

    def left_s(self, cells: Sequence[Cell]) -> float | None:
        """Seconds that these trials will take; None if the pace of a call is not known, or what all trials take tells more."""
        if self.pace is None or not self.pace.is_slow:
            return None
        return sum(self.cost_s(cell, count) for cell, count in self._bought(cells))

    def _bought(self, cells: Sequence[Cell], further: int = 0) -> list[tuple[Cell, int]]:
        """Those of these trials, one after the other, for which there will be time, with the number of their requests.
        `further`: so many of the last are as in `budget.requests`."""
        left_s, found, first = self.budget.left_s, list[tuple[Cell, int]](), len(cells) - further
        for number, cell in enumerate(cells, start=1):
            own, more = self.sizes.get(cell.id), cells[max(number, first) :]
            count = own.requests if own else budget.requests(cell, cells[number:first], left_s, self.prices, more)
            if count:
                found.append((cell, count))
                left_s -= self.cost_s(cell, count)
        return found

    def said(self, cells: Sequence[Cell], quick_s: float | None = None, further: int = 0) -> str:
        """What a user has to know before the pools are run. `quick_s`: how long they will take, of quick calls; `further`: so
        many of the last are as in `budget.requests`."""
        if self.pace is None or not cells:
            return ""
        if not self.pace.is_slow:
            return self._often(cells, quick_s)
        if not (bought := self._bought(cells, further)):
            return (
                f"{self._call} takes {self.pace.usual_s:.3g} s without Celery: within the budget, there is no time for a pool"
            )
        counts = sorted({count for _, count in bought})
        many = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else f"{counts[0]}"
        some = f"{len(bought)} of {len(cells)} trials" if len(bought) < len(cells) else f"{len(cells)} trials"
        some = "1 trial" if len(bought) == len(cells) == 1 else some
        within = f", within the budget of {duration(self.budget.seconds)}" if self.budget.seconds else ""
        return (
            f"{self._call} takes {self.pace.usual_s:.3g} s without Celery: {some} with {many} requests each take about "
            f"{duration(sum(self.cost_s(cell, count) for cell, count in bought))}{within}"
        )

    @property
    def _call(self) -> str:
        return "a call of the mix, in the mean," if self.order.mix else "a call"

    def _often(self, cells: Sequence[Cell], quick_s: float | None) -> str:
        """How often a quick task is called at the most, roughly, and for how long; a search says the latter of each step."""
        settings = self.order.settings
        if self.share is not None or self.pace is None:
            return ""
        each_s = [pace.round_s(self.pace, cell, self.usable) / pace.at_once(cell) for cell in cells]
        times = (settings.stable_limit_s, settings.measure_s, settings.requests)
        flights = [parse(cell.traffic).in_flight or 2 * cell.concurrency for cell in cells]
        if self.pace.tasks:
            times = (*times[:2], max(map(self._wanted, cells)))
        count = sum(calls.most(one, *times, flight) for one, flight in zip(each_s, flights, strict=True))
        bounds = "" if self.order.grid else "; --max-calls bounds that"  # a search has no such option
        more = "; --curve adds trials of the fastest pool" if self.order.curve else bounds
        many = "1 trial calls" if len(cells) == 1 else f"{len(cells)} trials call"
        takes = f", and take{'s' * (len(cells) == 1)} about {duration(quick_s)}" if quick_s and not self.order.grid else ""
        return f"{many} the task up to about {float(f'{count:.2g}'):,.0f} times in all{takes}{more}"

    def note(self, record: TrialRecord) -> list[str]:
        """What is to be known of how it was measured; of serial calls none of which came back, what gives them more time."""
        own, cell = self.sizes.get(record.cell_id), record.as_cell
        if cell.is_baseline and self.pace is None and record.outcome is Outcome.WAITING:
            return [f"no call came back within {duration(self.limit_s(cell))}: if it takes longer, raise --limit-s"]
        if own is None or not own.few or self.pace is None:
            return []
        why = f"{self._call} takes {self.pace.usual_s:.3g} s" if self.pace.is_slow else "--max-calls bounds them"
        many = "1 request was" if own.requests == 1 else f"{own.requests} requests were"
        return [f"{why}: {many} measured, without a warm-up"]


def _of_mix(known: Pace) -> dict[str, Any]:
    """The pace of each of its tasks; of any request, that of the one that takes longest."""
    there = [one for one in known.tasks if one is not None]
    paces = [
        TaskPace(usual_s=one.usual_s, first_s=one.first_s, slowest_s=one.slowest_s) if one else TaskPace()
        for one in known.tasks
    ]
    return {
        "paces": paces, "baseline_s": known.longest_s, "baseline_first_s": max(one.first_s for one in there),
        "baseline_slowest_s": known.slowest_s,
    }  # fmt: skip
