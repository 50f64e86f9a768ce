"""A test bench for the instrument itself: a private broker, a server whose truth is known, and the real client beside them.

What a trial does around a worker (watching, judging, recording) is left out: here the client alone is looked at.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness import broker
from harness.broker import rabbitmq
from harness.client import own_message
from harness.client.flow import Flow
from harness.client.plan import GO, SENDING, Plan, new_prefix
from harness.client.wire import Wire
from harness.environments import Environment
from harness.errors import HarnessError
from harness.experiment.matrix import Cell
from harness.machine.processes import OwnedProcess, signal_name
from harness.observe.progress import Progress
from harness.places import home
from harness.records import sending
from harness.records.sending import Sending
from harness.run import bundles
from harness.trial import load, supervisor
from harness.trial.application import RPC
from harness.trial.supervisor import LocalWorker, Place
from harness.worker import contract, heartbeat, spec

QUEUE = "harness-rig"
READY_LIMIT_S = 60.0
MEASURE = contract.PHASES.index("measure")
NS = 1e-9


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What one run of the client left: its requests' columns, and what it has to say."""

    columns: dict[str, npt.NDArray[Any]]
    sending: Sending

    @property
    def measured(self) -> npt.NDArray[np.bool_]:
        """Requests of the measured phase."""
        result: npt.NDArray[np.bool_] = self.columns["phase"] == MEASURE
        return result

    def latency_s(self) -> npt.NDArray[np.float64]:
        """Of the measured requests that were answered, in the order of their sending."""
        chosen = self.measured & (self.columns["received"] >= 0)
        result: npt.NDArray[np.float64] = (self.columns["received"] - self.columns["intended"])[chosen] * NS
        return result

    def rate_per_s(self) -> float:
        """Answers per second while the measured phase sent, or drained."""
        received = np.sort(self.columns["received"][self.measured & (self.columns["received"] >= 0)])
        return float((len(received) - 1) / ((received[-1] - received[0]) * NS))


@dataclass
class Rig:
    """A folder and a broker's URL; everything is run in the one, through the other. `result_url`: of the result back end, ''
    for the broker's own."""

    folder: Path
    url: str
    result_url: str = ""
    runs: int = 0

    @contextmanager
    def responder(self, *, service_s: float, servers: int = 1) -> Iterator[OwnedProcess]:
        """A server with a fixed service time, see `harness.proof.instrument.responder`."""
        asked = {"url": self.url, "queue": QUEUE, "service_s": service_s, "servers": servers}
        with self.program("responder", ["-m", "harness.proof.instrument.responder"], json.dumps(asked)) as process:
            yield process

    @contextmanager
    def worker(self, environment: Environment, *, pool: str, concurrency: int = 1) -> Iterator[LocalWorker]:
        """A real Celery worker with the null backend, once it consumes."""
        cell = Cell(backend="null", environment="celery", pool=pool, concurrency=concurrency)
        folder = supervisor.fresh_folder(self.folder / f"worker-{pool}")
        bundle = bundles.write_bundles([cell.workload], self.folder / "bundles")[cell.workload]
        told = spec.for_worker(
            backend=cell.backend, bundle=str(bundle.folder), cache_dir=str(folder / "cache"), events_dir=str(folder / "events"),
            prefetch=cell.prefetch, queue=QUEUE,
        )  # fmt: skip
        place = Place(
            environment=environment, folder=folder, broker_url=self.url, spec=told, result_url=self.result_url
        )  # fmt: skip
        worker = LocalWorker(place, supervisor.worker_command(cell, environment))
        try:
            self._await_ready(worker)
            yield worker
        finally:
            worker.stop(at_once=True)

    def _await_ready(self, worker: LocalWorker) -> None:
        until = time.monotonic() + READY_LIMIT_S
        while worker.progress.ready_at_s is None:
            worker.progress.read()
            if worker.poll() is not None or time.monotonic() > until:
                raise HarnessError("the worker of a test of the instrument did not become ready", evidence=str(worker.log))
            time.sleep(0.02)

    def client(
        self,
        traffic: str,
        *,
        measure_s: float,
        requests: int = 1,
        in_flight: int = 4,
        seed: int = 1,
        executors: int = 1,
        meanwhile: Callable[[], None] = lambda: None,
        queue: str = QUEUE,
        messages: Path | None = None,
        rows: int = 100,
    ) -> Ran:
        """Run the client to its end. `meanwhile` is called once, as the measured phase begins.

        `messages`: a file with one message a row, of another task than ours.

        Raises HarnessError where the client fails.
        """
        folder = self._client_folder()
        asked = replace(
            self._plan(folder, traffic, measure_s, requests, in_flight, seed, executors),
            queue=queue, messages=str(messages or ""), rows=rows,
        )  # fmt: skip
        asked.write(folder / "plan.json")
        (folder / GO).touch()
        argv = [sys.executable, "-m", "harness.client", str(folder / "plan.json")]
        with OwnedProcess(argv, log=folder / "log", env=load.variables()) as process:
            self._await_end(process, Progress(folder / "events"), meanwhile)
        with np.load(folder / "requests.npz", allow_pickle=False) as data:
            columns = {name: data[name] for name in contract.REQUEST_FIELDS}
        return Ran(columns=columns, sending=sending.read(folder / SENDING) or Sending())

    @contextmanager
    def flow(self) -> Iterator[Flow]:
        """The client's moves, for a test that makes its own traffic of them in this process; heartbeats are left as usual."""
        folder = self._client_folder()
        asked = self._plan(folder, "single", 0.0, 1, 1, 1, 1)
        heartbeat.open_in(str(folder / "events"))  # type: ignore[no-untyped-call]
        wire = Wire(asked.url, asked.queue, asked.prefix, kept=asked.kept)
        try:
            yield Flow(asked, wire)
        finally:
            wire.close()
            heartbeat.open_in(None)  # type: ignore[no-untyped-call]

    def _client_folder(self) -> Path:
        self.runs += 1
        folder = supervisor.fresh_folder(self.folder / f"client-{self.runs}")
        (folder / "events").mkdir()
        return folder

    def _plan(
        self, folder: Path, traffic: str, measure_s: float, requests: int, in_flight: int, seed: int, executors: int
    ) -> Plan:
        return Plan(
            url=self.url, queue=QUEUE, traffic=traffic, rows=100, batch=1, measure_s=measure_s, requests=requests,
            warmup_limit_s=10.0, stable_limit_s=2.0, search_s=60.0, executors=executors, by_thread=False,
            in_flight_warmup=in_flight, arrivals_seed=seed, rows_seed=seed, events_dir=str(folder / "events"),
            result=str(folder / "requests.npz"), prefix=new_prefix(), kept=str(own_message.place(home(), self.url)),
        )  # fmt: skip

    def _await_end(self, process: OwnedProcess, progress: Progress, meanwhile: Callable[[], None]) -> None:
        told = False
        while process.poll() is None:
            progress.read()
            if not told and progress.phase == "measure":
                told = True
                meanwhile()
            process.wait(0.05)
        if process.exit_code != 0:
            raise HarnessError(
                f"the client of a test of the instrument ended with {signal_name(process.exit_code)}", evidence=str(process.log)
            )

    @contextmanager
    def program(self, name: str, arguments: list[str], asked: str) -> Iterator[OwnedProcess]:
        """One of our own programs, which reads its spec from the file named last."""
        path = self.folder / f"{name}.json"
        path.touch(mode=0o600)  # it holds the broker's password
        path.write_text(asked)
        with OwnedProcess(
            [sys.executable, *arguments, str(path)], log=self.folder / f"{name}.log", env=load.variables()
        ) as process:
            yield process


@contextmanager
def opened(folder: Path) -> Iterator[Rig]:
    """A rig with a broker of its own, in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with broker.embedded(folder / "broker") as server:
        yield Rig(folder=folder, url=server.url)


@contextmanager
def on_rabbitmq(folder: Path) -> Iterator[Rig]:
    """A rig with a RabbitMQ of its own, and answers that come as messages. Raises BrokerUnreachable if none can be started."""
    folder.mkdir(parents=True, exist_ok=True)
    with rabbitmq.embedded(folder / "rabbitmq") as server:
        yield Rig(folder=folder, url=server.url, result_url=RPC)
