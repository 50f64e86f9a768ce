"""The two sides while a gate runs: each an application that was asked what it is, whose trials are run one at a time.

A side's folder (`OUT/base`, `OUT/head`) holds a probe like any other: `harness compare OUT/base OUT/head` reads both.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import broker
from harness.applications.gate.rule import BASE, Trial
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.probe import Probe
from harness.applications.probe.source import ApplicationSource
from harness.broker import Broker
from harness.errors import BadInput, HarnessError, Interrupted
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.experiment.pools import POOLS
from harness.measure import figures, own_time
from harness.records.outcomes import ANSWERED
from harness.records.store import RunFolder, now
from harness.run import one_trial, workflow, written
from harness.run.opening import Opened
from harness.run.plan import Planned
from harness.run.source import Desk
from harness.trial import supervisor

OF_APPLICATION = (BadInput, HarnessError)  # and none of their kinds: a full disk, or what a probe cannot do, is no fault of it
LEAST_S, TIMES = 30.0, 10.0  # that the head gets for what the base has done: so long, or so many times as long
TRIES = 2  # that an application gets to tell what it is, before its side counts as broken
NOTE = "note:"  # how that begins what everybody has to read, of all that a source says


@dataclass(kw_only=True)
class Side:
    """`cells`: one per pool, in the order of the pools; `said`: what its source said, for the page."""

    name: str
    probe: Probe
    desk: Desk
    source: ApplicationSource
    cells: tuple[Cell, ...]
    said: list[str]
    known: workflow.Known = field(default_factory=dict)

    def serial(self, most_s: float = math.inf) -> float:
        """The calls without Celery, which say what a right answer is; how long they took. They are given `most_s`."""
        self.source.sizing.serial_most_s = most_s
        began_s = time.monotonic()
        self._run(self._items(baseline=True)[0])
        return time.monotonic() - began_s

    def trial(self, place: int, number: int) -> Trial | None:
        """One trial in the pool of this place; None if the user interrupted it."""
        cell = self.cells[place]
        item = next(one for one in self._items(baseline=False) if one.cell == cell)
        self._run(replace(item, trial=number))
        record = self.known.get((cell.id, number))
        if record is None:
            return None
        found = figures.of(record, self.desk.folder.path) if record.outcome in ANSWERED else None
        where = f"{self.name}/{record.ended.evidence}" if record.ended.evidence else ""
        use = record.cpu.use if found else None
        return Trial(
            outcome=record.outcome, reason=record.reason, evidence=where, seconds=record.ended.seconds,
            pace_per_s=found.throughput_per_s if found else None, unusable=record.certainty.unusable,
            cpu_s=use.worker_tree / use.requests if use and use.requests else None,
            own_s=own_time.of(use, record.cpu.facts),
            others_share=use.others_share if use else None,
            ours_share=use.ours / (use.window_s * use.usable) if use else None,
        )  # fmt: skip

    def write(self) -> None:
        """What a probe writes beside its records."""
        written.header(self.probe.terms, self.desk, self.source, ended=now())
        written.tables(self.desk.folder, self._items(baseline=True) + self._items(baseline=False))

    def _items(self, *, baseline: bool) -> list[Planned]:
        return [item for item in self.source.planned() if item.cell.is_baseline is baseline]

    def _run(self, item: Planned) -> None:
        workflow.run_trials(self.source, self.desk, [item], self.known, workflow.Silent(), one_trial.carried_out)


class Broken(Exception):
    """The head's application cannot be imported, or has no such task any more, and the base's can. `evidence`: its log."""

    def __init__(self, text: str, evidence: str) -> None:
        super().__init__(text)
        self.evidence = evidence


@contextmanager
def opened(
    orders: Mapping[str, ProbeOrder], pools: tuple[str, ...], at: Opened, screen: workflow.Screen
) -> Iterator[list[Side]]:
    """Ask both what they are, each beside a broker of its own; when it ends, however it does, their tables are written. Raises
    Broken if the head alone cannot tell; BadInput or HarnessError, which names the base, if the base cannot."""
    with ExitStack() as held:
        found, most_s = [], None
        for name, order in orders.items():
            folder = held.enter_context(RunFolder(order.out).opened())
            server = held.enter_context(broker.embedded(at.scratch / f"broker-{name}"))
            desk = _desk(name, order, folder, at, server, screen)
            began_s = time.monotonic()
            found.append((_base if name == BASE else _head)(name, replace(order, patience_s=most_s), pools, desk, held))
            most_s = patience_s(time.monotonic() - began_s)
        yield found


def patience_s(took_s: float) -> float:
    """What the head gets for what took the base so long: a head that hangs is not to use up the budget.

    >>> patience_s(0.5), patience_s(40.0)
    (30.0, 400.0)
    """
    return max(LEAST_S, TIMES * took_s)


def _desk(name: str, order: ProbeOrder, folder: RunFolder, at: Opened, server: Broker, screen: workflow.Screen) -> Desk:
    def say(text: str) -> None:
        if text.startswith(NOTE) and name == BASE:
            screen.say(text)

    return Desk(
        folder=folder, scratch=supervisor.fresh_folder(at.scratch / name), server=server, settings=order.settings, say=say,
        interrupted=at.stopped.is_set,
    )  # fmt: skip


def _base(name: str, order: ProbeOrder, pools: tuple[str, ...], desk: Desk, held: ExitStack) -> Side:
    """The base; what is wrong with it is told as that, for the user looks at the head."""
    try:
        return _side(name, order, pools, desk, held)
    except Interrupted:
        raise
    except HarnessError as error:
        raise _of(name, error) from error


def _of(name: str, error: HarnessError) -> HarnessError:
    """The error, with the name of the side that it is of."""
    return type(error)(f"{name}: {error}", remedy=error.remedy, evidence=error.evidence)


def _head(name: str, order: ProbeOrder, pools: tuple[str, ...], desk: Desk, held: ExitStack) -> Side:
    """The head, of which the base has shown that all that was named is right. Raises Broken; for what is no fault of it,
    HarnessError, which names it."""
    failed: HarnessError | None = None
    for _ in range(TRIES):
        broker.emptied(desk.server.url)
        try:
            return _side(name, order, pools, desk, held)
        except Interrupted:
            raise
        except HarnessError as error:
            if type(error) not in OF_APPLICATION:
                raise _of(name, error) from error
            failed = error
    raise Broken(str(failed), failed.evidence if failed else "") from failed


def _side(name: str, order: ProbeOrder, pools: tuple[str, ...], desk: Desk, held: ExitStack) -> Side:
    known = list[ApplicationSource]()
    first = Probe(order=order, known=known).source(desk)  # asked what it is; what is run is known after that
    order = first.order  # with what its settings say
    cells = tuple(_cell(order, pool) for pool in pools or (str(first.facts.told["pool"]),))
    probe = Probe(order=replace(order, grid=cells), known=known)
    side = Side(name=name, probe=probe, desk=desk, source=probe.source(desk), cells=cells, said=first.facts.said)
    held.callback(side.write)
    return side


def _cell(order: ProbeOrder, pool: str) -> Cell:
    concurrency = 1 if POOLS[pool].executors == "main" else order.concurrency[0]
    return Cell(
        backend=OWN_APP, pool=pool, concurrency=concurrency, placement=AS_WRITTEN, call="task", workload=order.workload,
        traffic=order.traffic,
    )  # fmt: skip


def check_origin(side: Side, root: Path, checkout: Path, links: Sequence[Path] = ()) -> None:
    """Raise BadInput if code was loaded that is neither the checkout's nor of `links`: both sides would be the same code."""
    told = side.source.facts.told
    loaded = [Path(path) for path in (*told["files"], *told["elsewhere"])]
    inside = [path for path in loaded if checkout.resolve() in path.parents]
    linked = [path for path in loaded if any(path.is_relative_to(link.resolve()) for link in links)]
    stray = [path for path in loaded if root.resolve() in path.parents and path not in (*inside, *linked)]
    if inside and not stray:
        return
    seen = f"it loaded {stray[0]}" if stray else "no module of it was loaded from there"
    raise BadInput(
        f"the application is not run from the checkout of {side.name}: {seen}",
        remedy="both sides would be the same code. Is it installed (pip install -e) in the interpreter, or is its folder in "
        "PYTHONPATH? Uninstall it there, and name with --cwd the folder from which its modules are imported, such as src",
    )  # fmt: skip
