"""The side of whoever asked: blocks are handed to Dask as hosts are free, and what they leave comes home.

Dask decides which host runs a block. How often a block was lost with a host is counted here, for only here is it known whether
the block had begun there: once, and it is repeated whole elsewhere; twice, and its cells are suspected, and it is not tried a
third time.
"""

from __future__ import annotations

import math
import queue
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.errors import BadInput, Exit, HarnessError
from harness.records.record import from_line
from harness.records.store import now
from harness.run.hosts import block as blocks
from harness.run.hosts import quiet
from harness.run.hosts.home import Home
from harness.run.hosts.order import Block, HostOrder
from harness.texts import visible

MOST_LOST = 2  # hosts that one block may take with it
LOOK_EVERY_S = 0.2
HOSTS_LIMIT_S = 90.0  # for a host to appear, at the start and after the last was lost
MOST_DRIFT = 1.10  # of a machine's pace during a block, before it is said
Say = Callable[[str], None]


@dataclass(kw_only=True)
class Lot:
    """What became of one block. `lost`: the hosts that were lost while it ran there; `cells`: under way when last heard of;
    `place`: the address of the host that a copy was given to."""

    block: Block
    host: str = ""
    place: str = ""
    lost: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    suspected: list[str] = field(default_factory=list)
    failed: str = ""
    drift: float | None = None
    done: bool = False

    def told(self) -> dict[str, Any]:
        return {
            "block": self.block.name, "host": self.host, "done": self.done, "lost": self.lost, "suspected": self.suspected,
            "failed": self.failed, "drift": self.drift, "cells": list(self.block.cells),
        }  # fmt: skip


class Campaign:
    """One command's work with Dask. `client`: a `distributed.Client`; `wants_stop`: whether the user asked to stop."""

    def __init__(
        self,
        client: Any,
        order: HostOrder,
        home: Home,
        say: Say,
        *,
        check: Callable[[], None],
        wants_stop: Callable[[], bool],
    ) -> None:
        """`check` raises if no host can come any more."""
        self._client, self._order, self._home, self._say = client, order, home, say
        self._check_agents, self._wants_stop = check, wants_stop
        self._topic = f"harness-{uuid.uuid4().hex}"
        self._news: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._under: dict[Any, Lot] = {}
        self._last_host_s = time.monotonic()
        self.lots: dict[str, Lot] = {}
        self.hosts: dict[str, Any] = {}

    def run(self, todo: Sequence[Block]) -> None:
        """Until every block is at home, suspected or failed. Raises HarnessError if the scheduler or the last host is gone."""
        self._client.subscribe_topic(self._topic, lambda event: self._news.put(event[1]))
        self.lots = {one.name: Lot(block=one) for one in todo}
        waiting = list(self.lots.values())
        while (waiting or self._under) and not self._wants_stop():
            hosts = self._hosts()
            for lot in list(waiting):
                if len(self._under) < len(hosts) and (places := self._places(lot, hosts)):
                    waiting.remove(lot)
                    self._begin(lot, places)
            self._check(bool(hosts and self._under))
            time.sleep(LOOK_EVERY_S)
            ended = [future for future in self._under if future.done()]
            self._listen()
            for future in ended:
                if again := self._ended(self._under.pop(future), future):
                    waiting.insert(0, again)
        for future in self._under:
            future.cancel()

    def _places(self, lot: Lot, hosts: Mapping[str, str]) -> list[str]:
        """The hosts that may run a block: any, and Dask chooses; of copies, one that is free and has had no other."""
        if self._order.copies == 1:
            return list(hosts.values())
        busy = {one.place for one in self._under.values()}
        blocks_ = [block for block in self._order.blocks() if block.what == lot.block.what and self._home.holds(block)]
        had = {self._home.host_of(block) for block in blocks_}
        had |= {one.host for one in self._under.values() if one.block.what == lot.block.what}
        free = [address for host, address in hosts.items() if host not in had and address not in busy]
        return free[:1]

    def _hosts(self) -> dict[str, str]:
        """The addresses of the hosts that take blocks, by name. Raises HarnessError if the scheduler is gone."""
        if self._client.status != "running":
            raise gone()
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].items()
        except OSError as error:
            raise gone() from error
        return {str(one["name"]): address for address, one in workers if quiet.RESOURCE in one["resources"]}

    def _check(self, going: bool) -> None:
        """Raise HarnessError if nothing has gone on for too long. A host that was lost may come back."""
        if going:
            self._last_host_s = time.monotonic()
            return
        self._check_agents()
        if time.monotonic() - self._last_host_s > HOSTS_LIMIT_S:
            other = "other " if self._order.copies > 1 else ""
            raise HarnessError(f"no {other}host takes blocks at {self._order.where}",
                               remedy="start 'harness host ADDRESS' on each; the same command goes on from here")  # fmt: skip

    def _begin(self, lot: Lot, places: Sequence[str]) -> None:
        lot.host, lot.cells, lot.place = "", [], places[0]
        message = self._order.message(lot.block, self._topic)
        future = self._client.submit(
            blocks.on_host, message, key=f"{lot.block.name}-{uuid.uuid4().hex}", resources={quiet.RESOURCE: 1}, pure=False,
            workers=list(places) if self._order.copies > 1 else None,
        )  # fmt: skip
        self._under[future] = lot

    def _listen(self) -> None:
        """Note what hosts have told meanwhile."""
        while not self._news.empty():
            news = self._news.get()
            lot, host = self.lots[news["block"]], visible(str(news["host"]))
            if news.get("begun"):
                lot.host, lot.cells = host, []
                self._say(f"{host}: {lot.block.name} begins, block {lot.block.shard}")
            lot.cells = [visible(cell) for cell in news.get("cells", lot.cells)]
            if (line := news.get("line")) and (record := from_line(line)):
                self._home.hear(line)
                reason = f", {visible(record.reason)[:120]}" if record.reason else ""
                self._say(f"{host}: {visible(record.cell_id)}: {record.outcome}{reason}")

    def _ended(self, lot: Lot, future: Any) -> Lot | None:
        """What to do of a block that Dask is done with; the lot if it has to be tried again."""
        from distributed.scheduler import KilledWorker

        error = None if future.status == "finished" else (future.status != "cancelled" and future.exception())
        if error is False or (error is None and self._client.status != "running"):
            raise gone()
        if isinstance(error, KilledWorker):
            return self._lost(lot)
        if error is not None:
            lot.failed = visible(" ".join(f"{type(error).__name__}: {error}".split()))
            self._say(f"error: block {lot.block.name} was not run: {lot.failed}")
            return None
        return self._home_came(lot, future.result())

    def _lost(self, lot: Lot) -> Lot | None:
        if not lot.host:
            return lot  # it waited there, and had not begun
        lot.lost.append(lot.host)
        lot.suspected = sorted({*lot.suspected, *lot.cells})
        self._tell()
        if len(lot.lost) < MOST_LOST:
            self._say(f"warning: {lot.host} was lost; block {lot.block.name} is repeated whole on another host")
            return lot
        cells = ", ".join(lot.suspected) or "none was under way"
        self._say(f"error: block {lot.block.name} lost {' and '.join(lot.lost)}, and is not tried again; suspected: {cells}")
        return None

    def _home_came(self, lot: Lot, result: dict[str, Any]) -> Lot | None:
        lot.host = visible(str(result["host"]))
        self.hosts[lot.host] = result["facts"]
        if result["code"] == blocks.NOT_WANTED:
            return lot
        if result["code"] != Exit.DONE:
            lot.failed = f"exit {result['code']} on {lot.host}: {visible(' '.join(result['output'].split())[-300:])}"
            self._say(f"error: block {lot.block.name} failed: {lot.failed}")
        else:
            try:
                drift = self._home.unpack(lot.block, result["archive"], lot.host)
                lot.done, lot.drift = True, drift
                if drift is not None and abs(math.log(drift)) > math.log(MOST_DRIFT):
                    self._say(f"warning: the pace of {lot.host} drifted by a factor {drift:.2f} during block {lot.block.name}")
            except BadInput as error:
                lot.failed = str(error)
                self._say(f"error: {error}")
        self._tell()
        return None

    def _tell(self) -> None:
        """Write down which host has run what; what earlier commands told of other blocks stays."""
        known = self._home.read_hosts()
        lots = {**known.get("blocks", {}), **{name: lot.told() for name, lot in self.lots.items() if lot.host}}
        self._home.write_hosts({"written": now(), "hosts": {**known.get("hosts", {}), **self.hosts}, "blocks": lots})


def gone() -> HarnessError:
    return HarnessError("the scheduler is gone; what ended before is kept, and hosts stop by themselves",
                        remedy="start scheduler and hosts again; the same command goes on from here")  # fmt: skip
