"""One attached trial: a plain worker with a fault, its requests, and `harness why` once nothing is answered any more."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import redis
from celery import Celery

from harness import broker, environments
from harness.broker import Broker
from harness.environments import Environment
from harness.experiment.matrix import fault_options
from harness.experiment.pools import POOLS
from harness.live.executor import State
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.proof.attached import expected
from harness.proof.attached.expected import GONE
from harness.proof.selftest.entry import Case

APPLICATION = Path(__file__).with_name("served.py")
TASK = "served.predict"
REQUESTS = 20
STILL_S = 3.0  # without an answer: what is to happen has happened
MOST_S = 15.0  # a worker that goes on answering, slowly, is looked at all the same
LASTS_S = 60.0  # the worker is ended before that
START_S = 20.0
ASK_S = 90.0
EVERY_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Attached:
    """What was said of one fault. `state`: the answer's, or 'ended', or 'no answer'; `seconds`: from the command to it;
    `executors`: that were at something then."""

    fault: str
    pool: str
    trial: int
    state: str
    cause: str = ""
    reason: str = ""
    support: tuple[str, ...] = ()
    seconds: float | None = None
    load: float = 0.0
    answered: int = 0
    executors: int = 0
    deep: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run(case: Case, trial: int, *, environment: Environment, bundle: Path, folder: Path, deep: bool) -> Attached:
    """Start, send, wait until nothing is answered any more, ask."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy(APPLICATION, folder / "served.py")
    with broker.embedded(folder / "broker") as server, _worker(case, trial, environment, bundle, folder, server) as worker:
        connection = broker.client(server.url)
        app = Celery("client", broker=server.url, backend=server.url)
        for number in range(case.entry.settings.get("requests", REQUESTS)):
            app.send_task(TASK, args=[number])
        answered = _until_still(connection, worker, lambda done: _strike(case, worker, done))
        app.close()
        connection.close()
        if worker.poll() is not None:
            return Attached(fault=case.entry.name, pool=case.pool, trial=trial, state=GONE, answered=answered)
        return _asked(case, trial, worker.pid, deep=deep, answered=answered, folder=folder)


def options_of(case: Case) -> dict[str, Any]:
    """What the fault is to be. In a pool of threads, one that ends by itself takes them all, and lasts until it was looked at:
    beside an idle thread nothing is ever called stuck, and so nothing would be tried."""
    options = fault_options(case.cell.fault)
    if case.pool == "threads" and case.entry.slow and "times" in options:
        options["times"] = max(options["times"], case.cell.concurrency)
        options["value"] = max(options.get("value", 0.0), LASTS_S)
    return options


@contextlib.contextmanager
def _worker(
    case: Case, trial: int, environment: Environment, bundle: Path, folder: Path, server: Broker
) -> Iterator[OwnedProcess]:
    options = {**options_of(case), "trial": trial, "folder": str(folder)}
    variables = {
        **environments.worker_variables(environment), "SERVED_URL": server.url, "SERVED_BUNDLE": str(bundle),
        "SERVED_PLACEMENT": case.cell.placement, "SERVED_OPTIONS": json.dumps(options),
    }  # fmt: skip
    command = [
        str(environment.python), "-m", "celery", "-A", "served", "worker", *POOLS[case.pool].command(case.cell.concurrency),
        "--loglevel", "WARNING", "--without-mingle",
    ]  # fmt: skip
    with OwnedProcess(command, log=folder / "worker.log", env=variables, cwd=folder) as process:
        yield process


def _until_still(connection: redis.Redis, worker: OwnedProcess, strike: Callable[[int], None]) -> int:
    """Wait for what is to happen; how many requests were answered."""
    begun = time.monotonic()
    asks_s, changed_s, done = None, begun, 0
    while worker.poll() is None:
        now, found = time.monotonic(), sum(1 for _ in connection.scan_iter("celery-task-meta-*"))
        if asks_s is None and (found or _asks(connection) or now - begun > START_S):
            asks_s = changed_s = now
        if found != done:
            changed_s, done = now, found
            strike(done)
        if asks_s is not None and (now - changed_s >= STILL_S or now - asks_s >= MOST_S):
            break
        time.sleep(EVERY_S)
    return done


def _asks(connection: redis.Redis) -> bool:
    return any(one.get("cmd", "").lower() in ("brpop", "bzmpop") for one in connection.client_list())


def _strike(case: Case, worker: OwnedProcess, done: int) -> None:
    """Of the faults that are done from outside, the stop: of a child, or of the worker if it has none."""
    if case.entry.fault == "outside-stop":
        os.kill(next(iter(sorted(procfs.children(worker.pid))), worker.pid), signal.SIGSTOP)


def _asked(case: Case, trial: int, pid: int, *, deep: bool, answered: int, folder: Path) -> Attached:
    """What `harness why` says of this worker."""
    load, begun = os.getloadavg()[0], time.monotonic()
    argv = [sys.executable, "-m", "harness.cli", "why", str(pid), "--json", *(["--deep"] if deep else [])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=ASK_S, check=False)
    seconds = time.monotonic() - begun
    (folder / "why.json").write_text(done.stdout or done.stderr)
    asked: dict[str, Any] = {
        "fault": case.entry.name,
        "pool": case.pool,
        "trial": trial,
        "answered": answered,
        "load": load,
        "deep": deep,
    }
    try:
        found = json.loads(done.stdout)["workers"][0]
    except (ValueError, KeyError, IndexError):
        return Attached(**asked, state="no answer", reason=done.stderr[-300:], seconds=seconds)
    return Attached(
        **asked, state=found["state"], cause=found["cause"], reason=found["reason"], seconds=seconds,
        support=tuple(found["support"]), executors=len(found["executors"]),
    )  # fmt: skip


def faults(one: Attached, case: Case) -> str:
    """What is wrong with what was said; '' if nothing is."""
    true = expected.of(case, deep=one.deep)
    if one.state == GONE:
        return "" if not true.promised else "the worker ended before it was looked at"
    if one.state not in {state.value for state in true.states}:
        return f"called {one.state}, true is {' or '.join(sorted(state.value for state in true.states))}"
    if one.state == State.STUCK.value and true.cause and one.cause != true.cause:
        return f"stuck, but its cause is called {one.cause or 'nothing'}, true is {true.cause}"
    return ""
