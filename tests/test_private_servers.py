"""An application that names servers of its own as it is imported is led to those of the trial."""

from __future__ import annotations

import os
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from celery import Celery

from harness.worker import contract, private_servers

PRIVATE, OWN = "redis://127.0.0.1:7001/0", "redis://broker.shop:6379/0"


@pytest.fixture(autouse=True)
def variables() -> Iterator[None]:
    with patch.dict(os.environ, private_servers.variables(PRIVATE, PRIVATE)):
        yield


@pytest.fixture
def app() -> Celery:
    return Celery("led", broker=OWN, backend=OWN, set_as_current=False)


def test_an_application_that_sets_nothing_is_left_as_it_is(app: Celery) -> None:
    app.backend.client.connection_pool  # noqa: B018 - made by the trial's own variables
    made = app.backend
    assert private_servers.lead(app) == {}
    assert app.backend is made
    assert app.conf.broker_url == PRIVATE


def test_what_it_sets_is_set_again_and_told_and_what_it_made_by_that_is_made_anew(app: Celery) -> None:
    os.environ.update(CELERY_BROKER_URL=OWN, CELERY_RESULT_BACKEND=OWN)
    astray = app.backend
    assert "broker.shop" in str(astray.as_uri())
    assert private_servers.lead(app) == {"CELERY_BROKER_URL": OWN, "CELERY_RESULT_BACKEND": OWN}
    assert app.conf.broker_url == PRIVATE
    assert app.backend is not astray
    assert "127.0.0.1:7001" in app.backend.as_uri()


def test_what_it_takes_out_of_the_environment_is_there_again(app: Celery) -> None:
    del os.environ["CELERY_BROKER_URL"]
    assert private_servers.lead(app) == {"CELERY_BROKER_URL": ""}
    assert os.environ["CELERY_BROKER_URL"] == PRIVATE


def test_a_process_that_was_given_no_servers_keeps_its_own(app: Celery) -> None:
    del os.environ[contract.SERVERS]
    os.environ["CELERY_BROKER_URL"] = OWN
    assert private_servers.lead(app) == {}
    assert app.conf.broker_url == OWN


def test_servers_that_are_named_later_are_those_that_it_is_led_to(app: Celery) -> None:
    private_servers.name("memory://", "cache+memory://")
    os.environ["CELERY_BROKER_URL"] = OWN
    private_servers.lead(app)
    assert app.conf.broker_url == "memory://"


def test_a_task_with_a_back_end_of_its_own_stores_where_the_others_do(app: Celery) -> None:
    elsewhere = Celery("elsewhere", backend="cache+memory://", set_as_current=False).backend

    class Kept(app.Task):  # type: ignore[name-defined,misc]
        backend = elsewhere

    def price(number: int) -> int:
        return number

    by_option = app.task(name="by-option", backend=elsewhere, shared=False)(price)
    by_class = app.task(name="by-class", base=Kept, shared=False)(price)
    plain = app.task(name="plain", shared=False)(price)
    assert [private_servers.store_here(task) for task in (by_option, by_class, plain)] == [True, True, False]
    assert all(task.backend is app.backend for task in (by_option, by_class, plain))
    assert not private_servers.store_here(by_option), "once is enough"
