"""Ask somebody's application what it is, in its own interpreter, and take the messages that it sends.

What runs there is `harness.worker.app_facts`. What becomes of the messages stands in `messages`.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import broker
from harness.applications.probe import messages, serving
from harness.applications.probe.messages import CannotProbe
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.remedies import remedy_of
from harness.applications.probe.serving import Serving
from harness.applications.probe.worker_line import variable
from harness.broker import Broker
from harness.broker.valkey import queue_of
from harness.errors import BadInput, HarnessError, Interrupted
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.machine.processes import OwnedProcess, signal_name
from harness.observe.stacks import stacks
from harness.run.interrupt import GO_ON, STOPPED
from harness.run.source import Desk
from harness.texts import visible
from harness.trial.application import Application, Limits
from harness.worker import contract, own_broker, own_variables, spec

TOLD_NOTHING = "its log says why: is Celery 4.4 or later installed there, and does --app import in --cwd?"
EMPTY = "its log is empty: most likely the application, or a library of it, called os._exit when it was imported"
ONE_BY_ONE = "probe each queue by itself: --args with its rows alone, --queue if the worker does not consume it unasked"
OF_A_MIX = "in a mix, each task has one queue: leave out the rows that go to another one, or send all to one with --queue"
LOOK_EVERY_S = 0.2
LIMIT_S = 300.0  # an import may read gigabytes from a cold disk


def _version(told: Mapping[str, Any]) -> tuple[int, int]:
    """(major, minor) of its Celery."""
    major, minor = str(told["celery"]).split(".")[:2]
    return int(major), int(minor)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """`told`: what the application says of itself; `asked`: which kinds of broker and back end it asks for, see
    `worker.own_broker`, and `served`: what is said of those that serve; `queue_keys` and `messages`: where and what it sends,
    one per row; one key if all go there."""

    told: Mapping[str, Any]
    asked: Mapping[str, Any] = field(default_factory=dict)
    served: Sequence[str] = ()
    queue_keys: tuple[str, ...]
    messages: Sequence[str]

    @property
    def celery(self) -> tuple[int, int]:
        return _version(self.told)

    @property
    def said(self) -> list[str]:
        """What is otherwise in the trial than the application would have it."""
        return [*self.served, *self.told["said"]]

    @property
    def limits_of(self) -> tuple[Limits, ...]:
        """What bounds each task: limits that its messages bring win over the task's own."""
        return tuple(Limits(**one) for one in self.told["limits"])

    @property
    def queue_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(queue_of(key, self.told["key_prefix"]) for key in self.queue_keys))

    @property
    def pool_settings(self) -> list[str]:
        """Likewise, of the settings that would start another pool than `prefork`, or another kind of child."""
        return list(self.told.get("pool_settings", ()))


def facts(
    order: ProbeOrder, application: Application, desk: Desk, serve: Callable[[Mapping[str, Any]], Serving]
) -> tuple[Facts, Serving]:
    """Import the application, and let it send its task once a row to what `serve` has for what it asks for. Raises BadInput or
    HarnessError with its log, Interrupted."""
    scratch, serves = desk.scratch.resolve(), None
    question, out, log = (scratch / name for name in ("facts-spec.json", "facts.json", "facts.log"))
    asked, served = (out.with_name(out.name + end) for end in (".asked", ".served"))
    for path in (out, asked, served):
        path.unlink(missing_ok=True)
    question.write_text(json.dumps(_question(order, desk)))
    limit_s = min(order.patience_s or LIMIT_S, LIMIT_S)
    argv = [str(order.python), "-m", "harness.worker.app_facts", str(question), str(out)]
    with OwnedProcess(argv, log=log, env=application.variables(desk.server.url), cwd=order.folder) as process:
        code = ended(process, desk.interrupted, limit_s, asked.exists)
        if asked.exists():
            serves = serve(json.loads(asked.read_text()))
            _hand_over(served, serves.told)
            code = ended(process, desk.interrupted, limit_s)
        if code is None:
            threads = stacks(process.pid, scratch / "none")
            log.write_text(f"{log.read_text(errors='replace')}\n{threads}")
            raise HarnessError(
                f"the application was not imported, or did not send its task, within {limit_s:g} s",
                remedy="the log ends with the stacks of its threads", evidence=str(log),
            )  # fmt: skip
    told = _told(out, log, code, order)
    assert serves is not None  # else it has told that it failed
    with contextlib.closing(broker.view(serves.broker)) as view:
        found = _understood(order, told, view.taken(), serves.broker, log)
    return replace(found, asked=serves.asked, served=serves.served.said), serves


def _question(order: ProbeOrder, desk: Desk) -> dict[str, object]:
    line = order.line.servers if order.line else {}
    own = {**own_broker.named(order.variables), **line}
    return spec.for_facts(
        app=order.app, tasks=order.tasks, rows=order.rows, of_rows=order.of_rows, queue=order.queue, own=own,
        redis_alone=bool(serving.no_rabbitmq(desk)),
    )  # fmt: skip


def _hand_over(path: Path, told: Mapping[str, Any]) -> None:
    """Whole at once, and for nobody else to read: it holds passwords."""
    new = path.with_name(path.name + ".new")
    new.touch(mode=0o600)
    new.write_text(json.dumps(told))
    new.replace(path)


def ended(
    process: OwnedProcess, interrupted: Callable[[], bool], limit_s: float, enough: Callable[[], bool] = lambda: False
) -> int | None:  # fmt: skip
    """The exit code, None if there is none after `limit_s`, or once it is `enough`. Raises Interrupted."""
    until = time.monotonic() + limit_s
    while (code := process.wait(LOOK_EVERY_S)) is None and time.monotonic() < until and not enough():
        if interrupted():
            raise Interrupted(STOPPED, remedy=GO_ON)
    return code


def _told(out: Path, log: Path, code: int, order: ProbeOrder) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(out.read_text())
    except (OSError, ValueError) as error:
        raise BadInput(
            f"the application's interpreter ended with {signal_name(code)} before it told anything",
            remedy=TOLD_NOTHING if log.exists() and log.read_text(errors="replace").strip() else EMPTY,
            evidence=str(log),
        ) from error
    if "failed" in found:
        raise BadInput(
            str(found["failed"]),
            remedy=remedy_of(str(found["failed"]), order.app, order.python, order.home),
            evidence=str(log),
        )
    return found


def astray(sent: Mapping[str, object], said: str, url: str) -> tuple[str, str]:
    """(why the task's messages are in no queue of the private broker at `url`, what helps); `said`: where they were sent to."""
    if not sent and _host(said) == _host(broker.shown(url)):
        kept = "it is sent there, and no queue keeps it: its exchange has none for its key, or serves who listens just then"
        return kept, "--queue NAME sends it to a queue instead"
    where = f"it went to {', '.join(map(repr, sent))}" if sent else f"it says that its broker is {said}"
    return where, "the application has to take its broker from Celery's settings, where CELERY_BROKER_URL wins"


def _host(url: str) -> str:
    """'127.0.0.1:6379' of a broker's URL."""
    return url.rpartition("//")[2].rpartition("@")[2].partition("/")[0]


def _understood(order: ProbeOrder, told: dict[str, Any], sent: dict[str, list[bytes]], server: Broker, log: Path) -> Facts:
    ours = {key: found for key, found in sent.items() if any(contract.PLACEHOLDER.encode() in message for message in found)}
    if not ours or sum(len(sent[key]) for key in ours) != len(order.rows):
        why, remedy = astray(sent, told["broker"], server.url)
        raise CannotProbe(
            f"the task did not arrive in the private broker as one message per row: {why}", remedy=remedy, evidence=str(log)
        )
    arrived = _by_row(order, ours, log)
    private = broker.shown(server.url).rpartition("@")[2].partition("/")[2].strip("/").partition("/")[0]
    for name in ("broker", "read_from"):
        if private and private not in told[name]:
            raise CannotProbe(f"the application's {name} is {told[name]}, and cannot be set from outside", evidence=str(log))
    templates = [
        messages.template(message, made_s=made_s, utc_offset_s=told["utc_offset_s"])
        for (_, message), made_s in zip(arrived, told["made_s"], strict=True)
    ]
    variables, celery = order.variables, _version(told)
    pasted = {variable(option): option for option in order.line.options} if order.line else {}
    said = [*own_variables.unbeaten(told["said"], variables, celery), *own_variables.said(variables, celery, pasted)]
    limits = list[dict[str, Any]]()
    for place, (task, own) in enumerate(zip(order.tasks, told["limits"], strict=True)):
        those = [one for row, one in enumerate(templates) if order.place_of(row) == place]
        said += [line if order.mix is None else f"{task}: {line}" for line in messages.said(those, own)]
        limits.append(own | messages.least(those))
    keys = tuple(key for key, _ in arrived)
    return Facts(
        told={**told, "said": [visible(line) for line in said], "limits": limits},
        queue_keys=keys if len(ours) > 1 else keys[:1], messages=[one.text for one in templates],
    )  # fmt: skip


def _by_row(order: ProbeOrder, ours: Mapping[str, Sequence[bytes]], log: Path) -> list[tuple[str, bytes]]:
    """(key, message) of each row. Within a queue messages keep their order; which row one of another queue is, its task tells.
    Raises CannotProbe if the rows of one task went to several."""
    place_of = {task: place for place, task in enumerate(order.tasks)}
    names = [(key, json.loads(message)["headers"].get("task"), message) for key, found in ours.items() for message in found]
    by_task: dict[int, list[tuple[str, bytes]]] = {}
    for key, task, message in names:
        by_task.setdefault(place_of.get(task, 0) if order.mix else 0, []).append((key, message))
    for task, found in by_task.items():
        if len({key for key, _ in found}) > 1:
            each = "; ".join(messages.queued(name, ours[name]) for name in dict.fromkeys(key for key, _ in found))
            raise CannotProbe(
                f"the application sends its rows to several queues: {each}" if order.mix is None
                else f"the rows of {order.tasks[task]} go to several queues: {each}",
                remedy=ONE_BY_ONE if order.mix is None else OF_A_MIX,
                evidence=str(log),
            )  # fmt: skip
    waiting = {task: iter(found) for task, found in by_task.items()}
    try:
        return [next(waiting[order.place_of(row)]) for row in range(len(order.rows))]
    except (KeyError, StopIteration):
        raise CannotProbe(
            f"the messages are not those of {', '.join(order.tasks)}: {', '.join(sorted({str(task) for _, task, _ in names}))}",
            remedy="a task that sends another one in its place cannot be told apart in a mix: probe it alone, with --task",
            evidence=str(log),
        ) from None


def why_skipped(cell: Cell, facts: Facts) -> str:
    """Why this pool cannot serve this application here, or ''."""
    if cell.is_baseline:
        return ""
    if cell.pool in ("gevent", "eventlet") and cell.pool not in facts.told["green"]:
        return f"{cell.pool} is not installed in the application's environment"
    if cell.max_tasks and POOLS[cell.pool].executors != "processes":
        return f"{cell.pool} has no child processes to replace"
    return POOLS[cell.pool].refuses(concurrency=cell.concurrency, placement=cell.placement, celery=facts.celery) or ""
