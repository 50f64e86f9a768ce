"""What the waterfall's stamps cost the worker: CPU seconds that they add to a request, in a worker's own environment.

Celery asks for signals to be received, so their cost is ours: the worker's own app is imported, and the two signals are
sent as the consumer and the tracer send them, with our receivers and without. CPU time is measured, not wall time: a busy
machine must not change the figure. Beside it stands what a request of the null control costs, which is a few milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.environments import Environment
from harness.trial.supervisor import Place
from harness.worker import spec

ROUNDS = 20_000
#: Runs in the worker's environment. Without receivers Celery still sends task_received, and leaves task_postrun out.
PROGRAM = f"""
import json, time
from celery import signals
from harness.worker import app

class Request:
    id = "0" * 28 + "000000ff"

task = app.predict

def cpu_s(call, rounds={ROUNDS}):
    begun = time.process_time()
    for _ in range(rounds):
        call()
    return (time.process_time() - begun) / rounds

def received():
    signals.task_received.send(sender=None, request=Request)

def postrun():
    signals.task_postrun.send(
        sender=task, task_id=Request.id, task=task, args=[1, 2], kwargs={{}}, retval={{}}, state="SUCCESS"
    )

stamp = cpu_s(lambda: app.heartbeat.stamp(1, 255))
both = min(cpu_s(received) + cpu_s(postrun) for _ in range(3))
signals.task_received.disconnect(app._received)
without = min(cpu_s(received) for _ in range(3))
print(json.dumps({{"stamp_s": stamp, "request_s": both - without}}))
"""


@dataclass(frozen=True, kw_only=True)
class StampCost:
    """CPU seconds. `stamp_s`: of one stamp, written; `request_s`: of both, with the signals that lead to them."""

    stamp_s: float
    request_s: float


def measure(environment: Environment) -> StampCost:
    """In the given environment, whose interpreter and Celery decide. Takes a second or two."""
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as name:
        folder = Path(name)
        place = Place(environment=environment, folder=folder, broker_url="memory://", spec=_spec(folder))
        done = subprocess.run(
            [str(environment.python), "-c", PROGRAM],
            env=place.prepare(),
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
        )
    return StampCost(**json.loads(done.stdout.splitlines()[-1]))


def _spec(folder: Path) -> dict[str, object]:
    """A worker of the null control that loads nothing."""
    return spec.for_worker(backend="null", queue="selfcost", events_dir=str(folder / "events"))
