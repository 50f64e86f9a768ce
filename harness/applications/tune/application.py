"""Somebody's own application as the cells of a search: asked what it is once, and called serially once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.applications.probe.learn import why_skipped
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.probe import Probe
from harness.applications.probe.source import ApplicationSource
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.records.store import RunFolder
from harness.run import plan, workflow


@dataclass(frozen=True, kw_only=True)
class OfApplication:
    """How cells of an application are run, see `decide.tune.tune.Ask`. `order`: what the user named; `known`: what runs before
    have learned of it; `search` and `on_valkey`: see `probe.Probe`.

    If a call takes seconds, its pace settles how many requests a trial has, within the budget, as in a probe."""

    order: ProbeOrder
    known: list[ApplicationSource] = field(default_factory=list)
    search: ExitStack | None = None
    on_valkey: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether a call is known to take seconds."""
        pace = self.known[-1].sizing.pace if self.known else None
        return pace is not None and pace.is_slow

    @property
    def buys(self) -> bool:
        return self.is_slow and self.order.budget_s is not None

    def __call__(
        self, cells: Sequence[Cell], settings: Settings, folder: Path, later: Sequence[Cell] = (),
        further: Sequence[Cell] = (), *, again: bool = True,
    ) -> Probe:  # fmt: skip
        named, within = self.order.requests, self.buys or not self.known
        order = replace(
            self.order, grid=tuple(cells), later=tuple(later), further=tuple(further), settings=settings, out=folder,
            requests=max(named, settings.requests) if named else None, budget_s=self.order.budget_s if within else None,
            retry=self.order.retry if again else frozenset(),
        )  # fmt: skip
        return Probe(order=order, known=self.known, search=self.search, on_valkey=self.on_valkey)

    def possible(self, cells: Sequence[Cell], screen: workflow.Screen) -> list[Cell]:
        """Of these, what the application can have; it is asked, and called without Celery. Raises BadInput or HarnessError."""
        serial = list(dict.fromkeys(cell.baseline() for cell in cells))
        workflow.run(self(serial, self.order.settings, self.order.out), screen)
        facts, found = self.known[-1].facts, list[Cell]()
        for cell in cells:
            if not (reason := why_skipped(cell, facts)):
                found.append(cell)
            elif cell.pool not in {one.pool for one in found}:
                screen.say(f"left out: {cell.id}: {reason}")
        return found

    def said(self, trials: Sequence[Cell], further: int = 0) -> str:
        """How long these trials take, but for those on record, and what of them the budget buys; '' if calls are quick: then
        each step says it. `further`: so many of the last are more than one of a cell."""
        if not self.is_slow:
            return ""
        first, source = tuple(dict.fromkeys(trials[: len(trials) - further])), self.known[-1]
        repeated = source.order.settings.model_copy(update={"repeat": 1 + further})
        items = replace(source, order=replace(source.order, grid=first, settings=repeated)).planned()
        real = [item for item in items if not item.cell.is_baseline]
        lacking = plan.missing(real, RunFolder(self.order.out).latest(), self.order.retry)
        todo = [item.cell for item in lacking if item.trial == 1]
        more = max(0, further - sum(item.trial > 1 and item not in lacking for item in real))
        return source.sizing.said([*todo, *trials[len(trials) - more :]], further=more)
