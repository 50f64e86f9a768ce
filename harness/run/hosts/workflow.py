"""A whole run on hosts, on one screen: what is at home is left, the rest is handed out, and all of it becomes one run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from harness import extras
from harness.errors import HarnessError, Interrupted
from harness.records import store
from harness.records.store import RunFolder
from harness.run.hosts import quiet, remote
from harness.run.hosts.campaign import Campaign, Lot
from harness.run.hosts.home import BLOCKS, Home
from harness.run.hosts.order import Block, HostOrder
from harness.run.interrupt import GO_ON, STOPPED, interruptible
from harness.run.merging import Merged

Say = Callable[[str], None]
CONNECT_LIMIT_S = 30.0
STOPPING = "stopping; blocks that are under way are run again by the same command, the others are kept"


def run(order: HostOrder, say: Say) -> list[Merged]:
    """Carry out an order; what its blocks were merged to. Raises HarnessError if not all of them ended well, Interrupted after
    a Ctrl-C; what ended is at home then."""
    extras.need_cluster("--on")
    store.check_space(order.folder)
    home = Home(order.folder)
    if order.fresh:
        _set_aside(home, say)
    home.admit()
    blocks = order.blocks()
    with RunFolder(home.path / BLOCKS).opened(), interruptible(say, STOPPING) as stopped:
        todo = _todo(home, blocks, order, say)
        lots: list[Lot] = []
        try:
            lots = _carried_out(order, home, todo, say, stopped.is_set) if todo else []
        finally:
            merged = home.merged(blocks)
            for one in merged:
                say(str(one))
    if stopped.is_set():
        raise Interrupted(STOPPED, remedy=GO_ON)
    if lacking := [lot for lot in lots if not lot.done]:
        raise HarnessError(f"{len(lacking)} of {len(blocks)} blocks did not end well: {'; '.join(map(_why, lacking))}",
                           remedy="the same command tries them again", evidence=str(home.path / "hosts.json"))  # fmt: skip
    return merged


def _todo(home: Home, blocks: Sequence[Block], order: HostOrder, say: Say) -> list[Block]:
    for block in blocks:
        if order.retry and home.holds(block) and home.outcomes(block) & order.retry:
            home.put_aside(block)
    todo = [block for block in blocks if not home.holds(block)]
    if len(todo) < len(blocks):
        say(f"{len(blocks) - len(todo)} of {len(blocks)} blocks are on record; --fresh runs them again")
    return todo


def _carried_out(order: HostOrder, home: Home, todo: Sequence[Block], say: Say, wants_stop: Callable[[], bool]) -> list[Lot]:
    with remote.reached(order.where, say) as (address, check), connected(address) as client:
        campaign = Campaign(client, order, home, say, check=check, wants_stop=wants_stop)
        campaign.run(todo)
        return list(campaign.lots.values())


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """A client of Dask's scheduler there. Raises HarnessError."""
    from distributed import Client

    quiet.hush()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other versions of packages that no message needs
            client = Client(address, timeout=CONNECT_LIMIT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise HarnessError(f"no scheduler answers at {address}: {error}",
                           remedy="start one with 'harness scheduler', and name its address") from error  # fmt: skip
    try:
        _strict(client)
        yield client
    finally:
        client.close(timeout=5)


def _strict(client: Any) -> None:
    """Have a scheduler that somebody else has started tell us of the first host that is lost, too."""

    def tell_at_once(dask_scheduler: Any = None) -> None:  # nested: it is sent as code, for the scheduler may lack this package
        dask_scheduler.allowed_failures = 0

    try:
        client.run_on_scheduler(tell_at_once)
    except Exception as error:  # whatever the scheduler raises comes through
        raise HarnessError(f"the scheduler cannot be asked to tell of lost hosts: {error}",
                           remedy="start one with 'harness scheduler'") from error  # fmt: skip


def _set_aside(home: Home, say: Say) -> None:
    if (home.path / BLOCKS).is_dir() or RunFolder(home.path).holds_ours:
        aside = home.path.with_name(f"{home.path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S}")
        with store.writing(home.path):
            home.path.rename(aside)
        say(f"the earlier run was moved to {aside}")


def _why(lot: Lot) -> str:
    if lot.failed:
        return f"{lot.block.name}: {lot.failed}"
    if lot.lost:
        cells = f" (suspected: {', '.join(lot.suspected)})" if lot.suspected else ""
        return f"{lot.block.name}: lost {' and '.join(lot.lost)}{cells}"
    return f"{lot.block.name}: not run"
