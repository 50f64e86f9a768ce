"""The pool and the number of executors that a pasted line leaves to the application's settings, asked before the search."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.probe import Probe
from harness.errors import HarnessError, Interrupted
from harness.run import opening, workflow
from harness.run.source import Desk
from harness.run.workflow import Screen

FOLDER = "asked"  # of the search's


def by_its_settings(order: ProbeOrder, screen: Screen) -> ProbeOrder:
    """The order with what the settings say of the application that lies there now; as it is if nothing is left to them, or if
    it cannot be asked, for a candidate may be sound where this one is not. Raises Interrupted."""
    if not order.unsaid & {"pool", "concurrency"}:
        return order
    try:
        return _asked(order, screen)
    except Interrupted:
        raise
    except HarnessError as error:
        pool, count = order.pools[0], order.concurrency[0]
        screen.say(f"worker line: its settings cannot be asked for, so it is {pool} with a concurrency of {count}: {error}")
        return order


def _asked(order: ProbeOrder, screen: Screen) -> ProbeOrder:
    with (
        opening.opened(order.out / FOLDER, "search", screen.say, fresh=True) as opened,
        workflow.open_broker("", opened.scratch) as server,
        ExitStack() as held,
    ):
        desk = Desk(
            folder=opened.folder, scratch=opened.scratch, server=server, settings=order.settings, say=screen.say,
            interrupted=opened.stopped.is_set, held=held,
        )  # fmt: skip
        return replace(Probe(order=order).source(desk).order, unsaid=frozenset())
