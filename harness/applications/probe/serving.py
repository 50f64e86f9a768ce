"""The servers of a probe: those that its application is to find, started for as long as the run lasts."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import broker
from harness.applications.probe import served
from harness.applications.probe.served import RABBITMQ, REDIS, Served
from harness.broker import Broker, rabbitmq
from harness.errors import BrokerUnreachable, Interrupted
from harness.run.interrupt import GO_ON, STOPPED
from harness.run.source import Desk
from harness.texts import visible
from harness.trial import supervisor
from harness.trial.application import RPC

NOT_HERE = "this verb measures on Valkey alone"
NOT_STARTED = "the RabbitMQ that is installed here does not start"


@dataclass(frozen=True, kw_only=True)
class Serving:
    """`results`: the URL of the result back end, '' for the broker's own; `name`: of the broker, with its version."""

    broker: Broker
    results: str
    name: str
    asked: Mapping[str, Any]
    served: Served

    @property
    def told(self) -> dict[str, Any]:
        """For the application's processes, see `worker.contract.SERVED_KEYS`."""
        return {
            "broker": self.broker.url, "results": self.results or self.broker.url, "kind": self.served.broker,
            "needs_redis": self.served.needs_redis,
        }  # fmt: skip

    @property
    def shown(self) -> str:
        """'embedded rabbitmq 3.10.8', for `run.json`."""
        return f"embedded {self.name}"

    @property
    def as_json(self) -> dict[str, Any]:
        """What the application asks for, and what serves it."""
        asked = {name: visible(str(self.asked[name])) for name in ("broker", "backend")}
        return {"asked": asked, "broker": self.name, "results": self.served.results, "said": list(self.served.said)}

    @property
    def key(self) -> dict[str, str]:
        """What makes another trial of it: nothing on Valkey, on which those on record were made."""
        return {} if self.served.broker == served.VALKEY else {"broker": self.served.broker, "results": self.served.results}

    def empty(self, desk: Desk) -> None:
        """What a killed worker left in any of them is not for the next one."""
        broker.emptied(desk.server.url)
        if self.broker is not desk.server:
            with contextlib.closing(broker.view(self.broker)) as view:
                view.empty()


def no_rabbitmq(desk: Desk) -> str:
    """Why this run has no RabbitMQ of its own, as a part of a sentence; '' if it may."""
    return NOT_HERE if desk.held is None else rabbitmq.lacking()


def opened(asked: Mapping[str, Any], desk: Desk, search: ExitStack | None = None) -> Serving:
    """What serves this application; whatever is started for it ends with the run, or with the `search` that it is one of."""
    found = served.of(asked, no_rabbitmq(desk))
    _say(found, desk)
    held = search or desk.held
    if desk.held is not None and held is not None and found.broker == RABBITMQ:
        desk.say("starting RabbitMQ, which takes some seconds")
        place = _kept(desk.folder.path / RABBITMQ, search) if search else desk.scratch / RABBITMQ
        try:
            server = held.enter_context(rabbitmq.embedded(place, desk.interrupted))
        except BrokerUnreachable as error:
            if desk.interrupted():
                raise Interrupted(STOPPED, remedy=GO_ON) from error
            found = served.of(asked, NOT_STARTED)
            _say(found, desk)
        else:
            name = f"{RABBITMQ} {server.version}"
            return _on(Serving(broker=server, results="", name=name, asked=asked, served=found), desk)
    return Serving(broker=desk.server, results="", name=served.VALKEY, asked=asked, served=found)


def again(before: Serving, desk: Desk, search: ExitStack | None) -> Serving:
    """What serves the next run of a search: the RabbitMQ of the runs before, if it was started for all and still runs."""
    runs = before.broker.process is not None and before.broker.process.poll() is None
    if search is not None and before.served.broker == RABBITMQ and runs:
        return _on(before, desk)
    return opened(before.asked, desk, search)


def _kept(place: Path, search: ExitStack) -> Path:
    """A folder that outlives a run's scratch, and goes with the search."""
    search.callback(shutil.rmtree, place, ignore_errors=True)
    return supervisor.fresh_folder(place)


def _on(serving: Serving, desk: Desk) -> Serving:
    """With the result back end of this run, if that is a Valkey."""
    return replace(serving, results=desk.server.url if serving.served.results == REDIS else RPC)


def _say(found: Served, desk: Desk) -> None:
    for line in found.said:
        desk.say(line)
