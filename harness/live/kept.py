"""What a worker's main process keeps of its work, read out of its memory: requests that it was given, queues that it consumes.

A request stands in `celery.worker.state.requests` from when it is received to when it has ended. The queues that the worker is
to consume are those that its application has selected (celery/app/amqp.py, `Queues.consume_from`), from which `celery control
cancel_consumer` takes one away; those that it does consume are those for which its consumer has a tag (kombu/messaging.py).
Celery 5.2 to 5.7.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.live import active, at_rest, limits
from harness.machine.python_memory import Unreadable
from harness.machine.python_objects import Objects
from harness.observe import stacks

STATES, REQUESTS, APPS, COUNTS = "celery._state", "requests", "_apps", "total_count"
SELECTED, DEFAULT = "_consume_from", "_default_consume_from"
POOLS = {
    "celery.concurrency.prefork": ("_pool", "_processes"),
    "celery.concurrency.thread": ("executor", "_max_workers"),
}
MOST_REQUESTS = 1000  # of which it is read whether they expire
SOLO = "celery.concurrency.solo"
NAMES = {"celery.concurrency.prefork": "prefork", "celery.concurrency.thread": "threads", SOLO: "solo"}


@dataclass(frozen=True, kw_only=True)
class Kept:
    """`requests`: ids of what it was given and has not ended, running or not; `lasting`: those of them that do not expire,
    for the worker's own loop revokes one that it has put off too long; `declared`: the queues that its application knows;
    `selected`: those that it is to consume; `consumed`: those that it has a consumer for; `executors`: how many its pool has;
    `begun`: how many tasks its executors have begun since it was started; `most`: how many messages it may hold at a time
    before it asks for no more; `pool`: which it has, of those whose stacks lead there; `limited`: the tasks that have a rate
    limit. None for what cannot be read."""

    requests: frozenset[str] | None = None
    lasting: frozenset[str] | None = None
    declared: frozenset[str] | None = None
    selected: frozenset[str] | None = None
    consumed: frozenset[str] | None = None
    executors: int | None = None
    begun: int | None = None
    most: int | None = None
    pool: str | None = None
    limited: frozenset[str] | None = None


def of(main: int) -> Kept:
    """Of the worker with this main process."""
    threads = stacks.dumped(main, "--nonblocking", "--locals") or ()
    worker, places = limits.worker_in(threads), tuple(active.in_stacks(threads))
    return (at_rest.read(main, lambda objects: read(objects, worker, places)) if places else None) or Kept()


def read(objects: Objects, worker: int, places: Iterable[int]) -> Kept:
    """`worker`: where its WorkController is, 0 if that is not known, as in a green pool; `places`: of objects that lead to
    Celery's modules. Raises Unreadable: nothing leads there."""
    modules = active.modules(objects, places)
    consumer = objects.attribute(worker, "consumer") if worker else 0
    declared, selected = _selected(objects, modules, worker)
    return Kept(
        requests=_requests(objects, modules), lasting=_lasting(objects, modules), begun=_begun(objects, modules),
        declared=declared, selected=selected,
        most=_most(objects, consumer) if consumer else None, limited=_limited(objects, consumer) if consumer else None,
        consumed=_consumed(objects, consumer) if consumer else None,
        executors=_executors(objects, worker) if worker else None, pool=_pool(objects, worker) if worker else None,
    )  # fmt: skip


def _requests(objects: Objects, modules: dict[str, int]) -> frozenset[str] | None:
    try:
        return frozenset(objects.table(objects.module(modules[active.STATE])[REQUESTS]))
    except (Unreadable, KeyError):
        return None


def _lasting(objects: Objects, modules: dict[str, int]) -> frozenset[str] | None:
    """By what each request has of its message (celery/worker/request.py, `maybe_expire`); None if they are very many."""
    try:
        table = objects.table(objects.module(modules[active.STATE])[REQUESTS])
        if len(table) > MOST_REQUESTS:
            return None
        return frozenset(uuid for uuid, request in table.items() if objects.is_none(objects.attribute(request, "_expires")))
    except (Unreadable, KeyError):
        return None


def _begun(objects: Objects, modules: dict[str, int]) -> int | None:
    """By the worker's own count of each task."""
    try:
        return sum(int(objects.number(one)) for one in objects.table(objects.module(modules[active.STATE])[COUNTS]).values())
    except (Unreadable, KeyError):
        return None


def _most(objects: Objects, consumer: int) -> int | None:
    """As kombu has it (kombu/common.py, `QoS`): with an ETA it grows, up to worker_eta_task_limit."""
    try:
        return int(objects.number(objects.attribute(objects.attribute(consumer, "qos"), "value")))
    except Unreadable:
        return None


def _limited(objects: Objects, consumer: int) -> frozenset[str] | None:
    """Those for which the consumer has a bucket (celery/worker/consumer/consumer.py, `bucket_for_task`): what it keeps in that
    is not among its requests yet."""
    try:
        buckets = objects.table(objects.attribute(consumer, "task_buckets"))
        return frozenset(name for name, bucket in buckets.items() if not objects.is_none(bucket))
    except Unreadable:
        return None


def _selected(objects: Objects, modules: dict[str, int], worker: int) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """(all queues that are known, those that are to be consumed)."""
    try:
        apps = [objects.attribute(worker, "app")] if worker else _apps(objects, modules)
        found = [queues for app in apps if (queues := _queues(objects, app))]
        if len(found) != 1:
            return None, None
        own, declared = objects.attributes(found[0]), frozenset(objects.table(found[0]))
        chosen = next((own[name] for name in (SELECTED, DEFAULT) if name in own and not objects.is_none(own[name])), 0)
        return declared, frozenset(objects.table(chosen)) if chosen else declared
    except (Unreadable, KeyError):
        return None, None


def _queues(objects: Objects, app: int) -> int:
    """Where an application keeps its queues; 0 if nothing has asked for them yet."""
    amqp = objects.attributes(app).get("amqp", 0)
    return objects.attributes(amqp).get("queues", 0) if amqp and not objects.is_none(amqp) else 0


def _apps(objects: Objects, modules: dict[str, int]) -> list[int]:
    """All applications of the process."""
    known = objects.module(modules[STATES])[APPS]
    found = (objects.referent(one) for one in objects.members(objects.attribute(known, "data")))
    return [one for one in found if one]


def _consumed(objects: Objects, consumer: int) -> frozenset[str] | None:
    try:
        tasks = objects.attribute(consumer, "task_consumer")
        return frozenset(objects.table(objects.attribute(tasks, "_active_tags"))) if tasks else None
    except Unreadable:
        return None


def _executors(objects: Objects, worker: int) -> int | None:
    """None, too, of a pool that may still grow by itself (`--autoscale`)."""
    try:
        pool, scaler = objects.attribute(worker, "pool"), objects.attribute(worker, "autoscaler")
        kind = _kind(objects, pool)
        if kind not in POOLS:
            return 1 if kind == SOLO else None
        part, name = POOLS[kind]
        many = objects.number(objects.attribute(objects.attribute(pool, part), name))
        grows = scaler and not objects.is_none(scaler) and objects.number(objects.attribute(scaler, "max_concurrency")) > many
    except Unreadable:
        return None
    return None if grows else int(many)


def _pool(objects: Objects, worker: int) -> str | None:
    try:
        return NAMES.get(_kind(objects, objects.attribute(worker, "pool")))
    except Unreadable:
        return None


def _kind(objects: Objects, pool: int) -> str:
    """The module of a pool's class, or of one that this is made of; '' for any other."""
    return next((name for one in objects.bases(objects.kind(pool)) if (name := objects.module_of(one)) in NAMES), "")
