"""Somebody's own Celery application, as a trial starts it: in its own interpreter and folder, with its own variables.

Nothing of it is changed and nothing is installed beside it. Its worker finds the trial's private broker through Celery's own
variables, which win over what the application sets, and imports `harness.worker.visitor`, which listens. What a probe
learned of it before (`harness.worker.app_facts`) is in `messages`, `queue_keys` and `settings`.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.broker.valkey import queue_of
from harness.client.own_message import CELERYS_HEADERS
from harness.environments import worker_path
from harness.experiment.matrix import Cell
from harness.experiment.mix import Mix
from harness.experiment.pools import FIRST_CELERY_WITH_SPAWN, POOLS
from harness.worker import contract, own_variables, private_servers, spec, their_app, unstarted

WITNESS_LIMIT_S, WITNESS_SHARE = 20.0, 0.3  # of the trial's limit: the serial calls alone take the rest
SERIAL_S = 90.0  # that serial calls take at the most, if the first one takes no longer: enough to know the pace of slow ones
VISITOR = "harness.worker.visitor"
PREFORK_BY_NAME = "processes"
#: fields of a cell that a search may vary, and the argument of `celery worker` that says each
VARIED = {"prefetch": "--prefetch-multiplier", "max_tasks": "--max-tasks-per-child"}
RPC = "rpc://"  # answers come as messages
BROKER_VARIABLES = (*private_servers.BROKER, private_servers.RESULTS)


#: Celery's own headers of a message that say nothing of one request alone: a task may answer them
ALIKE_IN_ALL = ("lang", "shadow", "argsrepr", "kwargsrepr", "origin")


def _delivery(message: Mapping[str, Any]) -> dict[str, Any]:
    """See contract.APPLICATION_SPEC_KEYS."""
    properties = message["properties"]
    at = properties.get("delivery_info") or {}
    headers = message["headers"]
    own = {name: value for name, value in headers.items() if name not in CELERYS_HEADERS}
    return {
        "exchange": at.get("exchange"), "routing_key": at.get("routing_key"), "priority": properties.get("priority"),
        "headers": own or None, "celerys": {name: headers[name] for name in ALIKE_IN_ALL if name in headers},
    }  # fmt: skip


def _call(message: Mapping[str, Any], rows: Sequence[Any], number: int) -> dict[str, str]:
    """The body of a row's message, if the application sends other arguments than the row's: its own `apply_async` may pack
    them, or add some. Of what is not in plain JSON nothing is known."""
    plain = message.get("content-type") == "application/json" and message["properties"].get("body_encoding") == "base64"
    if not plain or message["headers"].get("compression"):
        return {}
    body = base64.b64decode(message["body"]).decode()
    as_asked = json.loads(body)[:2] == list(their_app.arguments(rows[number]))  # type: ignore[no-untyped-call]
    return {} if as_asked else {"body": body}


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What bounds a task, a child or a message of the application's; None where nothing does, or nothing is known.

    `soft_s`, `hard_s`: time limits of the task (prefork alone keeps hard ones). `rate_per_s`: how often a worker begins it.
    `expires_s`: how long after its sending a message is revoked if nobody began it; `put_off_s`: how long it is put off.
    """

    soft_s: float | None = None
    hard_s: float | None = None
    rate_per_s: float | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child_kib: int | None = None
    acks_late: bool = False
    reject_on_worker_lost: bool = False
    prefetch_multiplier: int = 4
    proc_alive_timeout_s: float = 4.0
    expires_s: float | None = None
    put_off_s: float | None = None

    @property
    def longest_s(self) -> float:
        """The longer of its time limits, after which a request is cut off; 0 if it has none."""
        return max(self.soft_s or 0.0, self.hard_s or 0.0)


#: what bounds a request of one task alone; the rest bounds a child or a worker
OF_A_TASK = ("soft_s", "hard_s", "rate_per_s", "expires_s", "acks_late")


def in_common(each: Sequence[Limits]) -> Limits:
    """What bounds every task of a mix alike; of how long messages are put off, the longest."""
    first, *others = each
    differ: dict[str, Any] = {
        name: False if name == "acks_late" else None
        for name in OF_A_TASK
        if any(getattr(one, name) != getattr(first, name) for one in others)
    }
    return replace(first, **differ, put_off_s=max((one.put_off_s or 0.0 for one in each), default=0.0) or None)


def script_of(python: Path) -> Path:
    """The script `celery` of an interpreter. It is another thing than `python -m celery`: it takes the worker's folder off the
    path once the application is loaded (`celery.utils.imports.cwd_in_path`), and `sys.argv` begins with it."""
    return python.with_name("celery")


@dataclass(frozen=True, kw_only=True)
class Application:
    """`app` and `tasks` as Celery names them; `folder`: where it is started; `own_variables`: all that it is started with.

    `celery`: its version, (0, 0) while it is not known. `queue`: which queues its worker is to consume, '' for its own choice.
    `queue_keys`: the broker's keys that its requests are pushed to, one per row, or one for all; `messages`: a file with one
    message a row; `rows`: a file with the arguments; `settings`: Celery settings of the trial; `mix`: of several tasks, with
    `turns`, the rows that serial calls take in turn; `limits_of`: what bounds each task; `witnesses`: processes that make the
    serial calls at once; `varied`: fields of a cell that its worker is told of, see `VARIED`.
    """

    app: str
    tasks: tuple[str, ...]
    python: Path
    folder: Path
    own_variables: Mapping[str, str]
    rows: Path
    celery: tuple[int, int] = (0, 0)
    queue: str = ""
    queue_keys: tuple[str, ...] = ("",)
    key_prefix: str = ""  # of all keys in its broker (`global_keyprefix`)
    results: str = ""  # URL of the result back end, '' for the broker's
    results_prefix: str = ""  # of all keys in its result back end
    messages: Path = Path()
    settings: Mapping[str, Any] = field(default_factory=dict)
    limits_of: tuple[Limits, ...] = (Limits(),)
    mix: Mix | None = None
    turns: tuple[int, ...] = ()
    witnesses: int = 2
    varied: tuple[str, ...] = ()
    script: bool = False  # its worker is started by `script_of` its interpreter
    most_calls: int = 0  # of the serial calls; 0 for as many as are useful

    @property
    def limits(self) -> Limits:
        """What bounds all its tasks."""
        return in_common(self.limits_of)

    @property
    def keys(self) -> tuple[str, ...]:
        """Each once."""
        return tuple(dict.fromkeys(self.queue_keys))

    @property
    def queue_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(queue_of(key, self.key_prefix) for key in self.keys))

    @property
    def stored_in(self) -> str:
        """URL of the Valkey that its answers are stored in, if that is not the broker; '' if they come as messages."""
        return "" if self.results == RPC else self.results

    def variables(self, broker_url: str) -> dict[str, str]:
        """All variables of its processes, but for the trial's."""
        path = os.pathsep.join(filter(None, [str(worker_path()), self.own_variables.get("PYTHONPATH", "")]))
        overridden = private_servers.variables(broker_url, self.results or broker_url)
        own = own_variables.in_trial(self.own_variables, broker_url, self.results)
        return {**own, **overridden, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}

    def worker_command(self, cell: Cell) -> list[str]:
        """`celery worker` as its owner would call it, and the visitor."""
        queues = ["--queues", self.queue] if self.queue else []
        include = ",".join(filter(None, [self.own_variables.get(own_variables.INCLUDE, ""), VISITOR]))
        program = [str(script_of(self.python))] if self.script else ["-m", "celery"]
        return [
            str(self.python), *program, "-A", self.app, "worker", *pool_arguments(cell, self.celery),
            *varied_arguments(cell, self.varied), *queues, "--include", include, "--loglevel", "WARNING", "--without-mingle",
            "--hostname", unstarted.HOSTNAME,
        ]  # fmt: skip

    def serial_command(self, seconds: float, requests: int, result: Path, limit_s: float) -> list[str]:
        """One call after the other in one process, see `harness.worker.serial`; `limit_s`: of the whole trial."""
        beside_s = min(WITNESS_LIMIT_S, WITNESS_SHARE * limit_s)
        numbers = [str(self.witnesses), str(beside_s), str(min(SERIAL_S, limit_s - beside_s)), str(self.most_calls)]
        return [str(self.python), "-m", "harness.worker.serial", str(seconds), str(requests), str(result), *numbers]

    def spec(self, *, prefix: str, events: Path) -> dict[str, object]:
        """What its processes read from the trial's file."""
        return spec.for_application(
            app=self.app, tasks=self.tasks, rows=str(self.rows), of_rows=self.mix.of_rows if self.mix else (), turns=self.turns,
            deliveries=self._deliveries(), prefix=prefix, events_dir=str(events), settings=self.settings,
        )  # fmt: skip

    def _deliveries(self) -> list[dict[str, Any]]:
        """What each row's message says of itself, as far as `Task.apply` takes it; none before there are messages."""
        if not self.messages.is_file():
            return []
        rows = json.loads(self.rows.read_text()) if self.rows.is_file() else []
        messages = [json.loads(message) for message in json.loads(self.messages.read_text())]
        return [_delivery(message) | _call(message, rows, number) for number, message in enumerate(messages)]

    def unfit(self, events: Path, cell: Cell) -> str:
        """Why a worker that is ready is not the one to measure: by its pool, or since nobody would take the requests; or ''."""
        return _other_pool(told(events / contract.POOL), cell) or self.no_consumer(self.consumed(events))

    def consumed(self, events: Path) -> tuple[str, ...] | None:
        """The queues that its worker consumes; None while it has not told."""
        names = told(events / contract.QUEUES)
        return None if names is None else tuple(names)

    def no_consumer(self, consumed: Sequence[str] | None) -> str:
        """Why nobody would take the requests of a worker that consumes these queues; or ''."""
        lacking = [name for name in self.queue_names if consumed is not None and name not in consumed]
        if not lacking:
            return ""
        none = f"no consumer for queue {' or '.join(map(repr, lacking))}"
        helps = f"--queue {lacking[0]} makes it consume that one" if len(self.queue_names) == 1 else "name all in its -Q"
        return f"{none}: the worker consumes {', '.join(map(repr, consumed or ())) or 'nothing'}; {helps}"


def pool_arguments(cell: Cell, celery: tuple[int, ...]) -> list[str]:
    """`celery worker`'s, for the pool of this cell. `worker_pool` in an application's settings beats `--pool prefork`, Celery's
    default, but not the other name of the same pool (`celery/bin/worker.py`, 5.0 to 5.7); a start method has to be said to beat
    the setting.
    """
    forks = cell.pool == "prefork" and celery >= FIRST_CELERY_WITH_SPAWN
    arguments = [*POOLS[cell.pool].command(cell.concurrency), *(["--pool-start-method", "fork"] if forks else [])]
    return [PREFORK_BY_NAME if argument == "prefork" else argument for argument in arguments]


def varied_arguments(cell: Cell, varied: Collection[str]) -> list[str]:
    """`celery worker`'s, for what a search varies: they beat the application's settings. A child that is never replaced (0) is
    left to these: no argument says never.
    """
    said = [(VARIED[name], getattr(cell, name)) for name in VARIED if name in varied]
    return [word for option, value in said if value or option != "--max-tasks-per-child" for word in (option, str(value))]


def told(path: Path) -> Any:
    """What the visitor left in this file; None where it left nothing."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _other_pool(pool: Any, cell: Cell) -> str:
    if pool is None:
        return ""
    instead = POOLS[cell.pool].differs(**pool, concurrency=cell.concurrency)
    return f"asked for {cell.pool} with a concurrency of {cell.concurrency}, the worker has {instead}" if instead else ""
