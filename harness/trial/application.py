"""Somebody's own Celery application, as a trial starts it: in its own interpreter and folder, with its own variables.

Nothing of it is changed and nothing is installed beside it. Its worker finds the trial's private broker through Celery's own
variables, which win over what the application sets, and imports `harness.worker.visitor`, which listens. What a probe
learned of it before (`harness.worker.app_facts`) is in `messages`, `queue_key` and `settings`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.environments import worker_path
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.worker import contract, spec

VISITOR = "harness.worker.visitor"
PRIORITY_MARK = "\x06\x16"  # between a queue's name and a priority, in kombu's keys
PREFORK_BY_NAME = "processes"
BROKER_VARIABLES = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")


@dataclass(frozen=True, kw_only=True)
class Application:
    """`app` and `task` as Celery names them; `folder`: where it is started; `own_variables`: all that it is started with.

    `queue`: which queue its worker is to consume, '' for its own choice. `queue_key`: the broker's key that its requests are
    pushed to; `messages`: a file with one message a row; `rows`: a file with the arguments; `settings`: Celery settings of
    the trial.
    """

    app: str
    task: str
    python: Path
    folder: Path
    own_variables: Mapping[str, str]
    rows: Path
    queue: str = ""
    queue_key: str = ""
    messages: Path = Path()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def queue_name(self) -> str:
        return self.queue_key.partition(PRIORITY_MARK)[0]

    def variables(self, broker_url: str) -> dict[str, str]:
        """All variables of its processes, but for the trial's."""
        path = os.pathsep.join(filter(None, [str(worker_path()), self.own_variables.get("PYTHONPATH", "")]))
        overridden = dict.fromkeys(BROKER_VARIABLES, broker_url)
        return {**self.own_variables, **overridden, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def worker_command(self, cell: Cell) -> list[str]:
        """`celery worker` as its owner would call it, and the visitor."""
        queues = ["--queues", self.queue] if self.queue else []
        return [
            str(self.python), "-m", "celery", "-A", self.app, "worker", *_pool_of(cell), *queues, "--include", VISITOR,
            "--loglevel", "WARNING", "--without-mingle", "--hostname", "harness@%h",
        ]  # fmt: skip

    def serial_command(self, seconds: float, requests: int, result: Path) -> list[str]:
        """One call after the other in one process, see `harness.worker.serial`."""
        return [str(self.python), "-m", "harness.worker.serial", str(seconds), str(requests), str(result)]

    def spec(self, *, prefix: str, events: Path) -> dict[str, object]:
        """What its processes read from the trial's file."""
        return spec.for_application(
            app=self.app, task=self.task, rows=str(self.rows), prefix=prefix, events_dir=str(events), settings=self.settings
        )

    def no_consumer(self, events: Path) -> str:
        """Why nobody would take the requests of a worker that is ready; '' if it takes them."""
        try:
            consumed = json.loads((events / contract.QUEUES).read_text())
        except (OSError, ValueError):
            return ""
        if self.queue_name in consumed:
            return ""
        return (
            f"no consumer for queue {self.queue_name!r}: the worker consumes {', '.join(map(repr, consumed)) or 'nothing'}; "
            f"--queue {self.queue_name} makes it consume that one"
        )


def _pool_of(cell: Cell) -> list[str]:
    """The pool's arguments. `worker_pool` in an application's settings beats `--pool prefork`, Celery's default, but not the
    other name of the same pool (`celery/bin/worker.py`, 5.0 to 5.7).
    """
    return [PREFORK_BY_NAME if argument == "prefork" else argument for argument in POOLS[cell.pool].command(cell.concurrency)]
