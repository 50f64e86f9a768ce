"""What of the application's code a running worker's own loop will call, beside its tasks: such a call may end a task's wait.

The same that a trial's worker tells of itself (`worker.hooks`), read out of the memory of its main process, beginning with the
`WorkController` that stands in its stack: timers, readers and writers of the loop, what it is to call soon, receivers of the
signals that the loop sends, commands of the remote control, consumers of messages, handlers of events of other workers, and how
messages become tasks. The names are those of Celery 5.2 to 5.7 (celery/worker/components.py, celery/worker/consumer,
kombu/asynchronous/hub.py, kombu/transport). Left out is what runs only once the worker is stopped, or has lost its broker.

What cannot be read is told of as such, so that nothing is proved beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

from harness.live import at_rest, limits
from harness.live.foreign import Foreign
from harness.machine import procfs, python_layouts
from harness.machine.native_ids import native_ids
from harness.machine.python_layouts import Layout
from harness.machine.python_memory import Memory, Unreadable
from harness.machine.python_objects import Objects
from harness.observe.looks import ProcessLook
from harness.texts import visible
from harness.worker.hooks import SIGNALS

CONSUMERS = "celery.worker.consumer.consumer"
CONTROL = "celery.worker.consumer.control.Control"
THREADS = "celery.concurrency.thread.TaskPool"
REDIS, AMQP = "kombu.transport.redis.Transport", "kombu.transport.pyamqp.Transport"
IDLE = ("epoll", "poll", "select")
TRIES, AGAIN_S = 8, 0.1


@dataclass(frozen=True, kw_only=True)
class LoopCalls:
    """`said`: in words, as `worker.hooks` says it. `most`: threads that its pool may have; `pool`: those that it has."""

    said: tuple[str, ...]
    most: int = 0
    pool: frozenset[int] = frozenset()
    reads: int = 0  # of memory

    def and_also(self, other: LoopCalls) -> LoopCalls:
        """What both have found, one after the other."""
        return LoopCalls(
            said=tuple(dict.fromkeys((*self.said, *other.said))), most=max(self.most, other.most),
            pool=self.pool & other.pool, reads=self.reads + other.reads,
        )  # fmt: skip

    def beside(self, running: Collection[int]) -> tuple[str, ...]:
        """The words, with a task that is yet to come, if the pool may have threads beside these, which run one."""
        idle = self.most - len(self.pool & set(running))
        threads = "1 thread that is idle" if idle == 1 else f"one of {idle} threads that are idle"
        return (*self.said, *((f"the next task, in {threads}",) if idle > 0 else ()))


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A reading at the beginning of the looks; another one follows at their end."""

    main: int
    worker: int
    first: LoopCalls

    def ended(self) -> LoopCalls:
        return self.first.and_also(read(self.main, self.worker))


def begun(main: int, processes: Iterable[ProcessLook]) -> Begun | None:
    """Of a worker whose tasks run in threads beside its own loop; None of any other, whose loop ends no task's wait unseen."""
    if not any(one.pid == main and one.tracing - {main} for one in processes):
        return None
    worker = limits.worker_of(main)
    return Begun(main=main, worker=worker, first=read(main, worker))


def timers(main: int) -> tuple[str, ...]:
    """The timers of the application's in a worker's own loop, whatever its pool, in words; () if they cannot be read."""
    worker = limits.worker_of(main)
    found = at_rest.read(main, lambda objects: tuple(_Loop(objects, worker).timers())) if worker else None
    return tuple(dict.fromkeys(map(visible, found or ())))


def unread(why: str) -> LoopCalls:
    return LoopCalls(said=(f"what could not be read ({why})",))


def read(pid: int, worker: int) -> LoopCalls:
    """Of a main process whose `WorkController` is at this address, 0 if that is not known. It is read while the loop waits,
    from beginning to end: so all is of one moment."""
    layout = python_layouts.of_process(pid)
    if layout is None or not worker:
        return unread("its Python is not known" if layout is None else "nothing shows where its parts are")
    for attempt in range(TRIES):
        if attempt:
            time.sleep(AGAIN_S)
        before = _waits(pid)
        found = _read(pid, worker, layout) if before else None
        if found is not None and before == _waits(pid):
            return found
    return unread("its loop turned all the while")


def _waits(pid: int) -> int:
    """How often the main thread was switched to, if it waits in its loop now; 0 if it does not."""
    thread = next((one for one in procfs.threads(pid) if one.tid == pid), None)
    return thread.switches if thread is not None and thread.waits_in in IDLE else 0


def _read(pid: int, worker: int, layout: Layout) -> LoopCalls:
    try:
        with Memory(pid) as memory:
            loop = _Loop(Objects(memory, layout), worker)
            said, most = tuple(dict.fromkeys(map(visible, loop.said()))), loop.most()
            return LoopCalls(said=said, most=most, pool=loop.threads(pid), reads=memory.reads)
    except Unreadable as error:
        return unread(str(error))


class _Loop:
    """The parts of one worker. Raises Unreadable."""

    def __init__(self, objects: Objects, worker: int) -> None:
        self.objects, self.worker, self.foreign = objects, worker, Foreign(objects)
        self.consumer, self.pool = self._part(worker, "consumer"), self._part(worker, "pool")
        self.hub = self._part(self.consumer, "hub")

    def most(self) -> int:
        """How many threads its pool may have."""
        if not self.foreign.is_one(self.pool, THREADS):
            raise Unreadable("its pool is not known")
        return int(self.objects.number(self._part(self._part(self.pool, "executor"), "_max_workers")))

    def threads(self, pid: int) -> frozenset[int]:
        """Those that it has, by the kernel's ids: Python 3.7 keeps only its own, as Thread._ident (Lib/threading.py)."""
        threads = self.objects.members(self._part(self._part(self.pool, "executor"), "_threads"))
        natives = [self.objects.attribute(one, "_native_id") for one in threads]
        if all(natives):
            here = procfs.numbers_here(pid)  # in a container they have others
            own = (int(self.objects.number(one)) for one in natives)
            return frozenset(here.get(one, 0) if here else one for one in own)
        handles = [int(self.objects.number(self._part(one, "_ident"))) for one in threads]
        return frozenset(native_ids(pid, handles).values())

    def said(self) -> Iterator[str]:
        """All that is found, and what could not be read."""
        parts: tuple[tuple[str, Callable[[], Iterator[str]]], ...] = (
            ("its parts", self._parts), ("its timers", self.timers), ("what it reads", self._readers),
            ("what it calls soon", self._soon), ("its signals", self._receivers), ("its commands", self._commands),
            ("its events", self._handlers), ("how it receives tasks", self._strategies),
        )  # fmt: skip
        for name, part in parts:
            try:
                yield from part()
            except Unreadable as error:
                yield f"what could not be read ({name}: {error})"

    def _parts(self) -> Iterator[str]:
        for place in (self.worker, self.consumer, self.hub, self.pool, *self._each_timer()):
            if name := self.foreign.instance(place):
                yield f"an own {name}"
        for part in ("loop", "on_task_request"):
            if name := self.foreign.of(self._part(self.consumer, part)):
                yield f"an own {name}"

    def timers(self) -> Iterator[str]:
        for timer in self._each_timer():
            for place in self.objects.items(self._part(timer, "_queue")):
                _, _, entry = self._several(place, 3)
                canceled = self.objects.attribute(entry, "canceled")
                if not (canceled and self.objects.number(canceled)) and (name := self.foreign.of(entry)):
                    yield f"a timer that calls {name}"

    def _readers(self) -> Iterator[str]:
        transport = self._part(self._part(self.consumer, "connection"), "_transport")
        if not any(self.foreign.is_one(transport, name) for name in (REDIS, AMQP)):
            raise Unreadable("its broker is neither Redis nor RabbitMQ")
        for kind in ("readers", "writers"):
            for _, value in self.objects.entries(self._part(self.hub, kind)):
                if self.objects.is_none(value):
                    continue
                called, arguments = self._several(value, 2)
                if name := self.foreign.of(called):
                    yield f"a reader that calls {name}"
                for callback in self._messages(called, arguments):
                    if name := self.foreign.of(callback):
                        yield f"a consumer of messages that calls {name}"

    def _messages(self, called: int, arguments: int) -> Iterator[int]:
        """What a connection to a broker calls with each message."""
        _, transport = self.objects.bound(called) or (0, 0)
        if not transport or self.objects.is_class(transport):
            return
        if self.foreign.is_one(transport, REDIS):
            yield from self.objects.table(self._part(transport, "_callbacks")).values()
        elif self.foreign.is_one(transport, AMQP):
            connection, _ = self._several(arguments, 2)
            for _, channel in self.objects.entries(self._part(connection, "channels")):
                if self.foreign.is_one(channel, "amqp.channel.Channel"):
                    yield from (value for _, value in self.objects.entries(self._part(channel, "callbacks")))
        elif self.objects.module_of(self.objects.kind(transport)).startswith("kombu.transport."):
            raise Unreadable("its broker is neither Redis nor RabbitMQ")

    def _soon(self) -> Iterator[str]:
        for name in ("on_tick", "_ready"):
            for called in self.objects.members(self._part(self.hub, name)):
                if found := self.foreign.of(called):
                    yield f"a callback that calls {found}"
        together = self.objects.attribute(self.hub, "consolidate_callback")
        if together and (found := self.foreign.of(together)):
            yield f"a callback that calls {found}"

    def _receivers(self) -> Iterator[str]:
        kinds = self.objects.bases(self.objects.kind(self.consumer))
        kind = next((one for one in kinds if self.objects.module_of(one) == CONSUMERS), None)
        if kind is None:
            raise Unreadable("its consumer is not known")
        module = self.objects.globals(self._named(self.objects.namespace(kind), "on_unknown_message"))
        signals = self.objects.module(self._named(module, "signals"))
        for name in SIGNALS:
            receivers = self.objects.attribute(self._named(signals, name), "receivers")
            if receivers and not self.objects.is_none(receivers):
                for place in self.objects.items(receivers):
                    if self.foreign.of(self._several(place, 2)[1]):
                        yield f"a receiver of {name}"

    def _commands(self) -> Iterator[str]:
        for step in self.objects.items(self._part(self.consumer, "steps")):
            if self.foreign.is_one(step, CONTROL):
                node = self._part(self._part(step, "box"), "node")
                for name, called in self.objects.table(self._part(node, "handlers")).items():
                    if self.foreign.of(called):
                        yield f"the command {name}"

    def _handlers(self) -> Iterator[str]:
        called = self.objects.members(self._part(self.consumer, "on_task_message"))
        gossip = self.objects.attribute(self.consumer, "gossip")
        if gossip and not self.objects.is_none(gossip):
            sets = self.objects.attributes(self._part(gossip, "on")).values()
            called += [one for group in sets for one in self.objects.members(group)]
            tables = [self.objects.table(self._part(gossip, name)) for name in ("event_handlers", "election_handlers")]
            called += [one for table in tables for one in table.values()]
        for one in called:
            if name := self.foreign.of(one):
                yield f"a handler of events that calls {name}"

    def _strategies(self) -> Iterator[str]:
        for task, called in self.objects.table(self._part(self.consumer, "strategies")).items():
            if name := self.foreign.of(called):
                yield f"{name}, when a task {task} is received"

    def _each_timer(self) -> list[int]:
        owners = [self.objects.attribute(one, "timer") for one in (self.worker, self.consumer, self.hub)]
        return [one for one in dict.fromkeys(owners) if one and not self.objects.is_none(one)]

    def _part(self, place: int, name: str) -> int:
        found = self.objects.attribute(place, name)
        if not found or self.objects.is_none(found):
            raise Unreadable(f"there is no {name}")
        return found

    def _several(self, place: int, count: int) -> list[int]:
        """The items of a list or a tuple that has so many."""
        found = self.objects.items(place)
        if len(found) != count:
            raise Unreadable(f"it has not {count} parts")
        return found

    @staticmethod
    def _named(table: dict[str, int], name: str) -> int:
        if name not in table:
            raise Unreadable(f"there is no {name}")
        return table[name]
