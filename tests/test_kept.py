"""What a worker's main process keeps, and what its tasks wait for, read out of the memory of a process: this one."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Collection, Iterator
from types import SimpleNamespace

import pytest
from celery import Celery
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo
from celery.concurrency.thread import TaskPool as Threads
from celery.result import AsyncResult, GroupResult, ResultBase
from celery.worker import state
from kombu import Queue

from harness.live import kept, subtasks
from harness.machine import python_layouts
from harness.machine.python_memory import Memory
from harness.machine.python_objects import Objects


class Hub:
    """An object whose class is made in a module that knows `sys`."""

    def run(self) -> str:
        return sys.version


class Consumer:
    def __init__(self, tags: dict[str, str]) -> None:
        self.qos = SimpleNamespace(value=8)
        self.task_buckets = defaultdict(lambda: None, {"shop.price": None, "shop.mail": object()})
        self.task_consumer = SimpleNamespace(_active_tags=tags)


class Worker:
    """A worker's main parts, with the names that Celery has for them."""

    def __init__(self, app: Celery, pool: object, tags: dict[str, str]) -> None:
        self.app, self.pool, self.consumer, self.autoscaler = app, pool, Consumer(tags), None


def pool_of(kind: type, **attributes: object) -> object:
    found = kind.__new__(kind)
    vars(found).update(attributes)
    return found


FORKED = pool_of(Prefork, _pool=SimpleNamespace(_processes=3))
HUB = Hub()


@pytest.fixture
def app() -> Celery:
    found = Celery("shop", broker="memory://", set_as_current=False)
    found.conf.task_queues = [Queue("mail"), Queue("bulk")]
    assert set(found.amqp.queues.consume_from) == {"mail", "bulk"}
    return found


@pytest.fixture
def given() -> Iterator[None]:
    state.requests["one"], state.requests["two"] = SimpleNamespace(_expires=None), SimpleNamespace(_expires=1.0)
    state.total_count.update({"shop.price": 3, "shop.note": 2})
    yield
    state.requests.clear()
    state.total_count.clear()


def read(worker: Worker) -> kept.Kept:
    layout = python_layouts.of_process(os.getpid())
    assert layout is not None
    with Memory(os.getpid()) as memory:
        return kept.read(Objects(memory, layout), id(worker), [id(HUB)])


def test_what_a_worker_was_given_and_consumes_is_read(app: Celery, given: None) -> None:
    found = read(Worker(app, FORKED, {"mail": "1"}))
    assert found == kept.Kept(
        requests=frozenset({"one", "two"}), lasting=frozenset({"one"}),
        declared=frozenset({"mail", "bulk"}), selected=frozenset({"mail", "bulk"}),
        consumed=frozenset({"mail"}), executors=3, begun=5, most=8, pool="prefork", limited=frozenset({"shop.mail"}),
    )  # fmt: skip


def test_of_very_many_requests_nobody_says_whether_they_expire(
    app: Celery, given: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "MOST_REQUESTS", 1)
    assert read(Worker(app, FORKED, {"mail": "1"})).lasting is None


def test_a_queue_that_was_cancelled_is_selected_no_more(app: Celery) -> None:
    worker = Worker(app, FORKED, {"mail": "1"})
    app.amqp.queues.select(["mail", "bulk"])
    app.amqp.queues.deselect("bulk")
    assert (read(worker).selected, read(worker).declared) == ({"mail"}, {"mail", "bulk"})
    app.amqp.queues.deselect("mail")
    assert read(worker).selected == frozenset()


@pytest.mark.parametrize(
    ("pool", "executors"),
    [
        (pool_of(Threads, executor=SimpleNamespace(_max_workers=8)), 8),
        (pool_of(Solo), 1),
        (SimpleNamespace(), None),
        (pool_of(Prefork, _pool=None), None),
    ],
)
def test_how_many_executors_a_pool_has_is_read_or_not_known(app: Celery, pool: object, executors: int | None) -> None:
    assert read(Worker(app, pool, {})).executors == executors


@pytest.mark.parametrize(("most", "executors"), [(3, 3), (5, None)])
def test_a_pool_that_may_still_grow_by_itself_has_no_known_number(app: Celery, most: int, executors: int | None) -> None:
    worker = Worker(app, FORKED, {})
    worker.autoscaler = SimpleNamespace(max_concurrency=most)  # type: ignore[assignment]
    assert read(worker).executors == executors


def result(name: str, app: Celery, parent: ResultBase | None = None, *, there: bool = False) -> AsyncResult:
    found = AsyncResult(name, app=app, parent=parent)
    found._cache = {"status": "SUCCESS"} if there else None
    return found


def only_here(found: ResultBase, given: Collection[str]) -> bool:
    layout = python_layouts.of_process(os.getpid())
    assert layout is not None
    with Memory(os.getpid()) as memory:
        return subtasks.only_here(Objects(memory, layout), id(found), given)


def test_a_result_comes_from_here_alone_if_its_task_or_one_before_it_was_given_to_this_worker(app: Celery) -> None:
    assert only_here(result("a", app), {"a", "b"})
    assert not only_here(result("a", app), {"b"})
    assert only_here(result("last", app, result("middle", app, result("first", app))), {"first"})
    assert not only_here(result("last", app, result("first", app)), set())


def test_of_several_results_each_that_is_still_to_come_has_to_come_from_here(app: Celery) -> None:
    def group(*results: AsyncResult) -> GroupResult:
        return GroupResult("group", list(results))

    a, b, there = result("a", app), result("b", app), result("c", app, there=True)
    assert only_here(group(a, b), {"a", "b"})
    assert not only_here(group(a, b), {"a"})
    assert only_here(group(a, there), {"a"})
    assert not only_here(group(there), {"a"}), "it has come"
    assert only_here(result("chord", app, group(a, b)), {"a", "b"})


def test_what_is_no_result_comes_from_nowhere() -> None:
    assert not only_here(5, {"a"})  # type: ignore[arg-type]


def frame(name: str, file: str = "/v/site-packages/celery/result.py", **shown: str) -> dict[str, object]:
    return {"name": name, "filename": file, "locals": [{"name": key, "repr": value} for key, value in shown.items()]}


def test_the_outermost_wait_of_celerys_own_names_the_result_and_any_of_them_the_limit() -> None:
    inner = frame("AsyncResult.get", self="<AsyncResult at 0x7f10>", timeout="None")
    outer = frame("ResultSet.join", self="<GroupResult at 0x7f20>", timeout="30")
    own = frame("get", "/srv/shop.py", self="<Shop at 0x7f30>", timeout="5")
    assert subtasks.of_frames([inner, own]) == subtasks.Awaited(limit="", result=0x7F10)
    assert subtasks.of_frames([inner, outer, own]) == subtasks.Awaited(limit="30", result=0x7F20)
    assert subtasks.of_frames([own]) is None
