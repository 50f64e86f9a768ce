"""A task that replaces itself by another one is answered in a call without a worker as in one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task, chain, chord, group
from celery.exceptions import ImproperlyConfigured

from harness.worker import replaced, their_app


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """Celery's own methods are put back after it."""
    for name in ("replace", "apply"):
        monkeypatch.setattr(Task, name, getattr(Task, name))
    app = Celery("a_shop", broker="memory://", backend="cache+memory://", set_as_current=False)

    @app.task(name="double", shared=False)
    def double(x: int) -> int:
        return x * 2

    @app.task(name="add", shared=False)
    def add(xs: list[int]) -> int:
        return sum(xs)

    @app.task(name="fail", shared=False)
    def fail(x: int) -> None:
        raise ValueError(x)

    @app.task(bind=True, name="deeper", shared=False)
    def deeper(self: Any, x: int) -> object:
        raise self.replace(double.s(x))

    yield app
    app.close()


def asked(app: Celery, how: str) -> tuple[str, Any]:
    """(kind of error, answer) of a task that replaces itself so; what stands after that is not run in a worker."""
    tasks = app.tasks

    @app.task(bind=True, name="ask", shared=False)
    def ask(self: Any, x: int) -> object:
        double, add = tasks["double"], tasks["add"]
        by = {
            "task": double.s(x),
            "chain": chain(double.s(x), double.s()),
            "group": group(double.s(x), double.s(x + 1)),
            "chord": chord([double.s(x), double.s(x + 1)], add.s()),
            "a task that does so, too": tasks["deeper"].s(x),
            "one that fails": tasks["fail"].s(x),
        }
        try:
            self.replace(by[how])
        except ValueError:
            return "never"
        return "never"

    error, payload = their_app.stored(their_app.applied(ask, [3]), "json")
    return error.partition(":")[0], json.loads(payload)["result"] if payload else None


@pytest.mark.parametrize(
    ("how", "answer"),
    [("task", 6), ("chain", 12), ("group", [6, 8]), ("chord", 14), ("a task that does so, too", 6)],
)
def test_the_answer_is_that_of_what_took_over(app: Celery, how: str, answer: object) -> None:
    assert asked(app, how) == ("", answer)


def test_what_took_over_and_fails_is_the_failure_of_the_call_and_the_task_does_not_see_it(app: Celery) -> None:
    assert asked(app, "one that fails") == ("ValueError", None)


@pytest.mark.parametrize("word", ["raise", "return"])
def test_the_answer_of_replace_may_be_raised_or_returned(app: Celery, word: str) -> None:
    @app.task(bind=True, name="ask", shared=False)
    def ask(self: Any, x: int) -> object:
        if word == "raise":
            raise self.replace(app.tasks["double"].s(x))
        return self.replace(app.tasks["double"].s(x))

    assert their_app.stored(their_app.applied(ask, [3]), "json") == ("", '{"result": 6}')


def test_what_cannot_replace_a_task_is_an_error_of_the_task_itself(app: Celery) -> None:
    replaced.follow()

    @app.task(bind=True, name="ask", shared=False)
    def ask(self: Any, x: int) -> object:
        try:
            return self.replace(app.tasks["double"].s(x).set(chord=app.tasks["add"].s()))
        except ImproperlyConfigured:
            return "told"

    assert their_app.stored(their_app.applied(ask, [3]), "json") == ("", '{"result": "told"}')


def test_a_retry_that_is_replaced_has_the_answer_of_what_took_over(app: Celery) -> None:
    @app.task(bind=True, name="ask", shared=False)
    def ask(self: Any, x: int) -> object:
        if not self.request.retries:
            raise self.retry(countdown=0)
        raise self.replace(app.tasks["double"].s(x))

    assert their_app.stored(their_app.applied(ask, [3]), "json") == ("", '{"result": 6}')
