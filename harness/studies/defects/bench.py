"""One worker of old versions, and its broker: started, sent tasks, disturbed, ended. What a defect's `provoke` works with."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from harness import broker
from harness.errors import HarnessError
from harness.machine import processes
from harness.machine.processes import OwnedProcess
from harness.texts import visible

QUEUE, UNACKED = "celery", "unacked_index"
DONE = "done"  # a list to which the applications append what they have run, in the broker
READY_LIMIT_S, SEND_LIMIT_S, BROKER_LIMIT_S = 60.0, 60.0, 15.0
POLL_S = 0.1
#: sends tasks as any client does: names and arguments on the command line
SEND = "import app, json, sys; [app.app.send_task(name, args) for name, args in json.loads(sys.argv[1])]"


class Bench:
    """A broker, a worker that has not been started yet, and the means to disturb both. Used in a `with` block of `ready`."""

    def __init__(
        self, *, python: Path, app: Path, folder: Path, url: str, options: Sequence[str], variables: Mapping[str, str]
    ):
        self.python, self.app, self.folder, self.url = python, app, folder, url
        self.options, self.variables = tuple(options), dict(variables)
        self.broker: OwnedProcess | None = None
        self.worker: OwnedProcess | None = None
        self.kept = ExitStack()  # what has to stay open as long as the worker is looked at
        self.main = 0  # the worker's main process: the one to ask `why` of

    def start(self, *, before: Sequence[str] = ()) -> None:
        """Start the worker, and wait until it has run a task. `before`: a program that starts it, and its arguments."""
        argv = [*before, str(self.python), "-m", "celery", "-A", "app", "worker", *self.options]
        self.worker = OwnedProcess(argv, log=self.log, env=self.environment(), cwd=self.app)
        self.main = self.worker.pid
        self.send(("app.note", ["ready"]))
        if not self.wait(lambda: self.count(DONE) >= 1, READY_LIMIT_S):
            raise HarnessError(
                f"the worker of {self.app.name} ran no task within {READY_LIMIT_S:g} s", evidence=visible(self.tail())
            )

    @property
    def log(self) -> Path:
        return self.folder / "worker.log"

    def tail(self, characters: int = 2000) -> str:
        """The end of the worker's log."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def environment(self) -> dict[str, str]:
        """The variables of the worker and of its clients: few, and the same on every machine."""
        return {
            "PATH": os.pathsep.join([str(self.python.parent), os.environ.get("PATH", os.defpath)]), "LANG": "C.UTF-8",
            "HOME": str(self.folder), "PYTHONNOUSERSITE": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1",
            "CELERY_BROKER_URL": self.url, "CELERY_RESULT_BACKEND": self.url, **self.variables,
        }  # fmt: skip

    def send(self, *calls: tuple[str, list[Any]]) -> None:
        """Send tasks: (name, arguments) each."""
        argv = [str(self.python), "-c", SEND, json.dumps(calls)]
        done = processes.run(argv, env=self.environment(), limit_s=SEND_LIMIT_S, cwd=self.app)
        if done.returncode:
            raise HarnessError(f"a task could not be sent: {visible(done.stderr[-500:])}")

    def client(self) -> redis.Redis:
        return broker.client(self.url)

    def count(self, key: str) -> int:
        """How many there are in a list of the broker's; -1 while it does not answer."""
        try:
            return self.client().llen(key)
        except redis.RedisError:
            return -1

    def unacked(self) -> int:
        """Messages that were handed out and not acknowledged; -1 while the broker does not answer."""
        try:
            return self.client().zcard(UNACKED)
        except redis.RedisError:
            return -1

    def stop_broker(self) -> None:
        """End the broker as a restart of its server does: it closes its connections, and forgets what it held."""
        assert self.broker is not None
        self.broker.terminate(grace_s=2.0)

    def start_broker(self) -> None:
        """Start it again, on the same port."""
        self.broker = broker.restarted(self.folder / "broker")
        if not self.wait(lambda: self.count(QUEUE) >= 0, BROKER_LIMIT_S):
            raise HarnessError(f"the broker did not come back within {BROKER_LIMIT_S:g} s")

    def wait(self, until: Callable[[], object], limit_s: float) -> bool:
        """Whether it came true in time."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            if until():
                return True
            time.sleep(POLL_S)
        return bool(until())

    def alive(self) -> bool:
        """Whether the worker still runs."""
        return self.worker is not None and self.worker.poll() is None


@contextmanager
def ready(
    *, python: Path, app: Path, folder: Path, options: Sequence[str] = (), variables: Mapping[str, str] | None = None
) -> Iterator[Bench]:
    """A bench whose broker runs; whatever it has started ends with the block."""
    with broker.embedded(folder / "broker") as server:
        bench = Bench(python=python, app=app, folder=folder, url=server.url, options=options, variables=variables or {})
        bench.broker = server.process
        try:
            yield bench
        finally:
            bench.kept.close()
            for one in (bench.worker, bench.broker):
                if one is not None:
                    one.kill()


def nothing_runs(bench: Bench, seconds: float, calls: Sequence[tuple[str, list[Any]]]) -> str:
    """Send tasks, and watch for so long: the symptom if they all stay in the queue and nothing is run; '' otherwise."""
    before, waited = bench.count(DONE), bench.count(QUEUE)
    bench.send(*calls)
    begin = time.monotonic()
    if bench.wait(lambda: bench.count(DONE) > before or not bench.alive(), seconds):
        return ""
    grown = bench.count(QUEUE) - waited
    if grown < len(calls) or bench.count(DONE) != before:
        return ""
    return f"the queue grew by {grown} to {bench.count(QUEUE)}, and nothing was run for {time.monotonic() - begin:.0f} s"
