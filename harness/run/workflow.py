"""The whole run on one screen: from an order to records and a table, whatever its trials come from (`source`).

How a run begins and ends is in `opening`, what becomes of one trial in `one_trial`, what is written beside the records in
`written`. Data flows from one to the next as plain values.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import pandas as pd

from harness import broker
from harness.broker import Broker
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord, by_cell
from harness.records.store import now
from harness.run import one_trial, opening, plan, preflight, written
from harness.run.lanes import CarryOut, Lanes
from harness.run.plan import Planned
from harness.run.source import Desk, Ordered, Source, Terms
from harness.summary import summary

Known = dict[tuple[str, int], TrialRecord]  # by cell id and trial


class Screen(Protocol):
    """What the run tells a person; `cli` has one that prints."""

    def say(self, text: str) -> None: ...
    def heads(self, todo: Sequence[Planned]) -> None:
        """Rows of these trials are to come."""

    def begins(self, item: Planned, index: int, total: int, left_s: float | None) -> None: ...
    def ended(self, record: TrialRecord, row: dict[str, object]) -> None: ...


class Silent:
    """A screen that shows nothing."""

    def say(self, text: str) -> None: ...
    def heads(self, todo: Sequence[Planned]) -> None:
        """Rows of these trials are to come."""

    def begins(self, item: Planned, index: int, total: int, left_s: float | None) -> None: ...
    def ended(self, record: TrialRecord, row: dict[str, object]) -> None: ...


def run(order: Ordered, screen: Screen, carry_out: CarryOut = one_trial.carried_out) -> pd.DataFrame:
    """Carry out an order; the table of the run. Raises Interrupted after a Ctrl-C, with everything kept."""
    terms = order.terms
    preflight.check_traffic(terms.cells, terms.settings)
    folder = opening.opened(
        terms.folder, terms.what, screen.say, broker_url=terms.broker_url, fresh=terms.fresh, admit=order.admit
    )
    with folder as opened, open_broker(terms.broker_url, opened.scratch) as server, ExitStack() as held:
        desk = Desk(
            folder=opened.folder, scratch=opened.scratch, server=server, settings=terms.settings, say=screen.say,
            interrupted=opened.stopped.is_set, held=held,
        )  # fmt: skip
        return carry_on(terms, desk, order.source(desk), screen, carry_out)


def open_broker(url: str, scratch: Path) -> AbstractContextManager[Broker]:
    """The user's own broker, or one of ours for the length of the run."""
    return broker.external(url) if url else broker.embedded(scratch / "broker")


def carry_on(terms: Terms, desk: Desk, source: Source, screen: Screen, carry_out: CarryOut) -> pd.DataFrame:
    """Run what is not on record, and write everything down."""
    known = desk.folder.latest()
    todo = to_run(source, planned(source, known), known, desk, terms.retry)
    written.header(terms, desk, source)
    run_trials(source, desk, todo, known, screen, carry_out)
    table = written.tables(desk.folder, planned(source, known))
    written.header(terms, desk, source, ended=now())
    return table


def planned(source: Source, known: Known) -> list[Planned]:
    """All trials in order, each before those that follow from what is on record of it."""
    records = list(known.values())
    return list(dict.fromkeys(each for item in source.planned() for each in (item, *source.follows(item, records))))


def to_run(source: Source, items: Sequence[Planned], known: Known, desk: Desk, retry: frozenset[Outcome]) -> list[Planned]:
    """The trials that are to be run, in order; `known`: those on record."""
    missing = plan.missing(items, known, retry)
    todo = [*source.again(missing), *missing]
    if len(todo) < len(items):
        desk.say(f"{len(items) - len(todo)} of {len(items)} trials are on record; --fresh runs them again")
    if todo:
        left_s = source.left_s(todo, list(known.values()))
        about = "at most about" if desk.settings.stop_early else "about"  # some are decided early, or are not needed at all
        takes = "how long they take is known after the first" if left_s is None else f"{about} {round(left_s / 60) or 1} min"
        desk.say(f"{len(todo)} trial{'s' * (len(todo) > 1)} to run, {takes}")
    return todo


def run_trials(source: Source, desk: Desk, todo: Sequence[Planned], known: Known, screen: Screen, carry_out: CarryOut) -> None:
    """One measured after the other, each recorded as it ends, in `known`, too; what follows from its record comes next."""
    book, queue, begun = _Book(source, desk, known, screen), list(todo), 0
    screen.heads(todo)
    with Lanes(source, desk, carry_out) as lanes:
        while queue or lanes.busy:
            item = None if desk.interrupted() else lanes.next_of(queue)
            if item is None and not lanes.busy:
                return
            if item is not None:
                queue.remove(item)
                records = list(known.values())
                screen.begins(item, begun, begun + 1 + len(queue), source.left_s([item, *queue], records))
                begun += 1
                if record := book.left_out(item, records):
                    queue[:0] = book.recorded(item, record, queue)
                else:
                    lanes.begin(item, records)
            for one in lanes.over(wait=item is None):
                if one.again:
                    desk.say(f"{one.item.cell.id} is run again: {one.again}")
                    queue.insert(0, one.item)
                elif one.record is None:
                    queue.clear()  # interrupted; what is under way ends, too
                else:
                    book.lacks(one.item, one.record)
                    queue[:0] = book.recorded(one.item, one.record, queue)


@dataclass
class _Book:
    """What a run notes as its trials end."""

    source: Source
    desk: Desk
    known: Known
    screen: Screen
    unsupported: dict[tuple[str, str], str] = field(default_factory=dict)

    def left_out(self, item: Planned, records: Sequence[TrialRecord]) -> TrialRecord | None:
        """The record of a trial that is not run; None to run it."""
        reason = item.skip or self.unsupported.get(_model(item.cell), "") or self.source.spared(item, records)
        return one_trial.skipped(self.source, item, reason, self.source.stand_in(item, records)) if reason else None

    def lacks(self, item: Planned, record: TrialRecord) -> None:
        """Note of a trial that ran whether it showed that the backend has no such layer."""
        if record.outcome is Outcome.SKIPPED:
            self.unsupported[_model(item.cell)] = record.reason

    def recorded(self, item: Planned, record: TrialRecord, queue: Sequence[Planned]) -> list[Planned]:
        """Keep the record; the trials that follow from it."""
        self.desk.folder.append(record)
        self.known[record.cell_id, record.trial] = record
        self.screen.ended(record, summary.row([record], by_cell(self.known.values()), self.desk.folder.path))
        following = self.source.follows(item, list(self.known.values()))
        return [each for each in plan.missing(following, self.known, frozenset()) if each not in queue]


def _model(cell: Cell) -> tuple[str, str]:
    """What a backend that lacks a layer cannot serve in any other cell, either."""
    return cell.backend, cell.workload
