"""The brokers of a run: which of the user's own serve which cells, and the others, each started once, when a cell needs it.

A trial has a queue of its own, which is taken out of the broker at its end, so one server serves all of a run's trials. The
run's first broker (`Desk.server`) is Valkey, or the user's Redis. It serves cells that name no other, and keeps answers that
are stored beside RabbitMQ.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from harness import broker
from harness.broker import Broker, rabbitmq
from harness.errors import BadInput, BrokerUnreachable, Interrupted
from harness.experiment.brokers import AMQP, RABBITMQ, REDIS, VALKEY
from harness.experiment.experiment import Experiment
from harness.experiment.matrix import Cell
from harness.run.interrupt import GO_ON, STOPPED
from harness.run.plan import Planned
from harness.run.source import Desk
from harness.texts import visible
from harness.trial import application

NO_REDIS = "no redis-server is installed here; --broker redis://… names one"
SCHEMES = {**dict.fromkeys(broker.SCHEMES, REDIS), "amqp": RABBITMQ}


def kinds(urls: Sequence[str]) -> dict[str, str]:
    """{REDIS or RABBITMQ: URL}. Raises BadInput for another kind, or two of one."""
    found: dict[str, str] = {}
    for url in urls:
        kind = SCHEMES.get(url.partition("://")[0])
        if kind is None:
            raise BadInput(
                f"--broker {visible(url) if '://' not in url else broker.shown(url)} is neither Redis nor Valkey, nor RabbitMQ",
                remedy="give --broker redis://, rediss://, unix:// or amqp://; without --broker a private one is used",
            )
        if kind in found:
            raise BadInput(f"--broker names two of one kind, {broker.shown(url)} among them", remedy="leave one out")
        found[kind] = url
    return found


def named(experiment: Experiment, urls: Mapping[str, str]) -> Experiment:
    """The experiment, on RabbitMQ if the user names one and no cell does."""
    brokers = {one for block in experiment.cells for one in block.broker}
    if RABBITMQ not in urls or brokers & set(AMQP):
        return experiment
    return experiment.model_copy(
        update={"cells": [block.model_copy(update={"broker": [RABBITMQ]}) for block in experiment.cells]}
    )


def first(cells: Iterable[Cell], urls: Mapping[str, str]) -> str:
    """URL of the run's first broker, '' for the embedded Valkey: the user's Redis, unless cells name Redis beside others."""
    return "" if any(cell.broker == REDIS for cell in cells) else urls.get(REDIS, "")


def of(cells: Iterable[Cell], urls: Mapping[str, str]) -> dict[str, str]:
    """{broker of a cell: URL of the user's own} besides the first."""
    found = {cell.broker: urls.get(RABBITMQ if cell.broker in AMQP else cell.broker, "") for cell in cells}
    return {name: url for name, url in found.items() if url and name != VALKEY}


def check(urls: Iterable[str]) -> None:
    """Raises BrokerUnreachable if one does not answer."""
    for url in dict.fromkeys(urls):
        if SCHEMES[url.partition("://")[0]] == RABBITMQ:
            rabbitmq.external(url)
        else:
            broker.check(url)


def placed(item: Planned, urls: Mapping[str, str]) -> Planned:
    """The trial as its broker has it: another one on the user's own server, or skipped if there is none."""
    url, reason = urls.get(item.cell.broker, ""), lacking(item.cell, urls)
    if not url and not reason:
        return item
    where = broker.shown(url) if url else "missing"
    return replace(item, key=hashlib.sha256(f"{item.key} {where}".encode()).hexdigest()[:16], skip=item.skip or reason)


def lacking(cell: Cell, urls: Mapping[str, str]) -> str:
    """Why the cell's broker cannot be had here, or ''. `urls`: see `of`."""
    if cell.broker in urls or cell.broker == VALKEY:
        return ""
    if cell.broker == REDIS:
        return "" if broker.redis_server() else NO_REDIS
    reason = rabbitmq.lacking()
    return f"{reason}; --broker amqp://… names one" if reason else ""


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """Those of one run. `urls`: see `of`."""

    desk: Desk
    urls: Mapping[str, str]
    _open: dict[str, Broker] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)  # trials may stand beside each other

    def serving(self, cell: Cell) -> Broker:
        """Started if it is not yet. Raises BrokerUnreachable, and Interrupted if the user asks to stop meanwhile."""
        if cell.broker == VALKEY:
            return self.desk.server
        name = RABBITMQ if cell.broker in AMQP else cell.broker
        with self._lock:
            if name not in self._open:
                self._open[name] = self._opened(name, self.urls.get(cell.broker, ""))
            return self._open[name]

    def _opened(self, name: str, url: str) -> Broker:
        assert self.desk.held is not None
        folder, how = self.desk.scratch / name, self.desk.held.enter_context
        if url:
            return rabbitmq.external(url) if name == RABBITMQ else how(broker.external(url))
        if name == REDIS:
            return how(broker.embedded(folder, program=broker.redis_server()))
        self.desk.say("starting RabbitMQ, which takes some seconds")
        try:
            return how(rabbitmq.embedded(folder, self.desk.interrupted))
        except BrokerUnreachable as error:
            if self.desk.interrupted():
                raise Interrupted(STOPPED, remedy=GO_ON) from error
            raise

    def results(self, cell: Cell) -> str:
        """URL of the cell's result back end, '' for its broker."""
        if cell.broker not in AMQP:
            return ""
        return self.desk.server.url if cell.result_backend == REDIS else application.RPC

    @property
    def shown(self) -> dict[str, str]:
        """What serves besides the first: {'rabbitmq': 'embedded rabbitmq 3.10.8'}."""
        return {name: told(name, one) for name, one in self._open.items()}


def told(name: str, server: Broker) -> str:
    """In words, without a password."""
    version = f" {server.version}" if isinstance(server, rabbitmq.RabbitMQ) and server.version else ""
    return f"embedded {name}{version}" if server.process is not None else f"{broker.shown(server.url)}, {name}{version}"
