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
from harness.run import workflow


@dataclass(frozen=True, kw_only=True)
class OfApplication:
    """How cells of an application are run, see `decide.tune.tune.Ask`. `order`: what the user named; `known`: what runs before
    have learned of it; `search` and `on_valkey`: see `probe.Probe`."""

    order: ProbeOrder
    known: list[ApplicationSource] = field(default_factory=list)
    search: ExitStack | None = None
    on_valkey: bool = False

    def __call__(self, cells: Sequence[Cell], settings: Settings, folder: Path) -> Probe:
        order = replace(self.order, grid=tuple(cells), settings=settings, out=folder)
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
