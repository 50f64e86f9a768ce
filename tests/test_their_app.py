"""Somebody's application, found by its name; and what is said of a name that is none."""

from __future__ import annotations

import json
import linecache
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery, _state, signals
from celery.exceptions import Ignore
from kombu import Exchange, Queue

from harness.applications.probe.learn import astray, remedy_of
from harness.worker import app_facts, their_app
from harness.worker.raised import told


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module that holds an application, and other things."""
    module = ModuleType("a_shop")
    module.__dict__.update(celery_app=Celery("a_shop", set_as_current=False), price=3)
    monkeypatch.setitem(sys.modules, "a_shop", module)
    return module


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a_shop:app", "the module a_shop was imported, and 'app' is not there; it has a_shop:celery_app"),
        ("a_shop:price", "the module a_shop was imported, and 'price' is no Celery application; it has a_shop:celery_app"),
    ],
)
def test_a_name_that_is_none_is_told_with_the_applications_that_are_there(shop: ModuleType, name: str, said: str) -> None:
    with pytest.raises(LookupError, match="the module") as raised:
        their_app.found(name)
    assert str(raised.value) == said


def test_a_function_is_told_as_the_task_that_it_is(shop: ModuleType) -> None:
    def price(item: str) -> int:
        return len(item)

    price.__module__ = "a_shop"
    shop.celery_app.task(name="a_shop.Price", shared=False)(price)
    for name, said in (
        ("a_shop.price", "'a_shop.price': that function is its task 'a_shop.Price'"),
        ("a_shop.nope", "'a_shop.nope'; it imports that module; it has a_shop.Price"),
        ("other.nope", "'other.nope'; it has a_shop.Price"),
    ):
        with pytest.raises(LookupError) as raised:
            their_app.called(shop.celery_app, name)
        assert str(raised.value) == f"the application has no task {said}"


def test_a_module_without_an_application_says_so(shop: ModuleType) -> None:
    del shop.celery_app
    assert their_app.misnamed("a_shop:app").endswith("it has no Celery application at its top")


def test_a_module_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(ModuleNotFoundError):
        their_app.found("no_such_shop:app")


def test_a_wrong_name_needs_no_traceback_and_an_error_of_the_application_does(shop: ModuleType, tmp_path: Path) -> None:
    for call in (lambda: their_app.found("a_shop:nope"), lambda: their_app.called(shop.celery_app, "a_shop.nope")):
        with pytest.raises(LookupError) as raised:
            call()
        raised.value.__traceback__ = raised.value.__traceback__.tb_next.tb_next  # without this test's own frames
        assert their_app.is_told(raised.value)
    with pytest.raises(KeyError) as theirs:
        exec(compile("{}['MODEL']", str(tmp_path / "shop.py"), "exec"), {})
    assert not their_app.is_told(theirs.value)


def test_an_application_is_found_by_its_name_or_by_its_modules(shop: ModuleType) -> None:
    assert their_app.found("a_shop:celery_app") is their_app.found("a_shop") is shop.celery_app


def test_what_celery_lacks_for_speaking_redis_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from kombu.transport import redis

    assert their_app.no_redis() == ""
    monkeypatch.setattr(redis, "redis", None)
    assert their_app.no_redis() == "No module named 'redis', which Celery needs to speak Redis"


def test_a_client_that_is_too_old_for_its_celery_is_said_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery 5.7 imports a class that redis 4.3 does not have: the package is there, and no answer could be stored."""
    import redis

    monkeypatch.delattr(redis, "CredentialProvider")
    monkeypatch.delitem(sys.modules, "celery.backends.redis", raising=False)
    monkeypatch.setattr(their_app, "installed", lambda: {"redis": "4.3.4"})
    said = their_app.no_redis()
    assert said.startswith(
        "its Celery cannot use the 'redis' package that is installed, 4.3.4: ImportError: cannot import name"
    )


def test_a_transport_that_fails_at_its_import_for_want_of_redis_lacks_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    """kombu 5.7 inherits from redis.Redis when it is imported, whether there is a redis or not."""
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delattr("kombu.transport.redis", raising=False)
    monkeypatch.delitem(sys.modules, "kombu.transport.redis", raising=False)
    monkeypatch.setattr(their_app, "can_import", lambda name: name not in ("redis", "Redis"))
    assert their_app.no_redis() == "No module named 'redis', which Celery needs to speak Redis"
    for name in ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "redis://127.0.0.1")
    their_app.served_by_itself()
    assert (os.environ["CELERY_BROKER_URL"], os.environ["CELERY_RESULT_BACKEND"]) == ("memory://", "cache+memory://")


def test_of_two_installed_versions_the_one_that_is_imported_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, version in (("first", "2.0"), ("second", "1.0")):
        folder = tmp_path / place / f"shelf_{place}-{version}.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: Shelf\nVersion: {version}\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second"), *sys.path])
    assert their_app.installed()["shelf"] == "2.0"


PARSES = """
import argparse
parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
OPTIONS = parser.parse_args([])
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import sys\n\nsys.exit('no model')\n",
            r"the application called sys.exit('no model') when it was imported, at exits.py:3",
        ),
        ("raise SystemExit\n", "the application called sys.exit() when it was imported, at exits.py:1"),
        (PARSES, "the application called sys.exit(2) when it was imported, at exits.py:5"),
    ],
)
def test_an_application_that_exits_when_it_is_imported_is_told_with_its_line(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "exits.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as raised:
        their_app.found("exits:app")
    assert str(raised.value) == said
    assert their_app.is_told(raised.value), "its place is in the sentence"
    assert "__main__" in remedy_of(f"ImportError: {said}", "exits:app", Path("python"), tmp_path)


UNSET = ", at raises.py:2, which reads SHOP_DSN, a variable that is not set"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import os\nDSN = os.environ['SHOP_DSN']\n", f"KeyError: 'SHOP_DSN'{UNSET}"),
        (
            "import os\nDSN = os.getenv('SHOP_DSN').lower()\n",
            f"AttributeError: 'NoneType' object has no attribute 'lower'{UNSET}",
        ),
        ("import os\nos.environ.get('PATH').no()\n", "AttributeError: 'str' object has no attribute 'no', at raises.py:2"),
        (
            "import json\njson.loads('x')\n",
            "ValueError: Couldn't import 'raises:app': Expecting value: line 1 column 1 (char 0), at raises.py:2",
        ),
        ("import not_there\n", "ModuleNotFoundError: No module named 'not_there'"),
    ],
)
def test_what_an_import_raises_is_told_with_its_line_and_the_variable_that_it_lacks(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "raises", raising=False)
    linecache.clearcache()
    with pytest.raises((KeyError, ImportError, ValueError)) as found:
        their_app.found("raises:app")
    assert told(found.value) == said  # type: ignore[no-untyped-call]


def test_an_error_of_the_settings_that_celery_raises_as_another_is_told_as_it_was() -> None:
    masked = ModuleNotFoundError("'NoneType' object has no attribute 'lower'")
    masked.__cause__ = AttributeError(*masked.args)
    assert told(masked) == "AttributeError: 'NoneType' object has no attribute 'lower'"  # type: ignore[no-untyped-call]


def test_modules_that_the_workers_line_includes_are_imported_before_a_task_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "included_shop.py").write_text(
        "from celery import Celery\napp = Celery('included_shop', set_as_current=False)\n"
    )
    (tmp_path / "included_more.py").write_text(
        "from included_shop import app\n\n@app.task(name='more.price', shared=False)\ndef price(): ...\n"
    )
    monkeypatch.setattr(_state._tls, "current_app", None)  # as it was, in the end
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CELERY_WORKER_INCLUDE", "included_more")
    assert their_app.called(their_app.found("included_shop:app"), "more.price").name == "more.price"


@pytest.mark.parametrize(("most", "said"), [(None, "without an end"), (500, "up to 500 times")])
def test_a_call_that_is_retried_for_ever_is_an_error_that_says_so(most: int | None, said: str) -> None:
    app = Celery("retries", broker="memory://", set_as_current=False)

    @app.task(max_retries=most, autoretry_for=(ValueError,), shared=False)
    def price(number: int) -> int:
        raise ValueError(number)

    error, stored = their_app.stored(their_app.applied(price, [2]), "json")
    assert (said in error, error.partition(":")[0], stored) == (True, "RetriedTooOften", None)


def test_a_task_that_calls_itself_too_deeply_is_none_of_these() -> None:
    app = Celery("deep", broker="memory://", set_as_current=False)

    def deep(number: int) -> int:
        return deep(number + 1)

    error, _ = their_app.stored(their_app.applied(app.task(deep, name="deep", shared=False), [2]), "json")
    assert error.startswith("RecursionError")


def test_what_a_handler_of_the_task_raises_after_its_call_is_an_error_of_the_call() -> None:
    app = Celery("audited", broker="memory://", set_as_current=False)

    class Audited(app.Task):  # type: ignore[name-defined,misc]
        def on_success(self, *_: object) -> None:
            raise ValueError("the log is full")

    @app.task(base=Audited, shared=False)
    def price(number: int) -> int:
        return number

    assert their_app.stored(their_app.applied(price, [2]), "json") == ("ValueError: the log is full", None)


@pytest.mark.parametrize(
    ("sent", "said", "why", "helps"),
    [
        ({}, "redis://:**@127.0.0.1:7000/0", "it is sent there, and no queue keeps it", "--queue NAME"),
        ({}, "redis://:**@127.0.0.1:7001/0", "it says that its broker is redis://:**@127.0.0.1:7001/0", "CELERY_BROKER_URL"),
        ({"ml": []}, "redis://:**@127.0.0.1:7000/0", "it went to 'ml'", "CELERY_BROKER_URL"),
    ],
)
def test_why_a_message_did_not_arrive_is_told(sent: dict[str, object], said: str, why: str, helps: str) -> None:
    told, remedy = astray(sent, said, "redis://:secret@127.0.0.1:7000/0")
    assert told.startswith(why)
    assert helps in remedy


def test_a_message_to_an_exchange_of_the_applications_own_finds_the_queue_that_its_worker_would_bind() -> None:
    app = Celery("a_shop_of_exchanges", broker="memory://", set_as_current=False)
    app.conf.task_queues = (Queue("gold", Exchange("metal", type="direct"), routing_key="yellow"),)
    app.conf.task_routes = {"price": {"exchange": "metal", "routing_key": "yellow"}}

    @app.task(name="price", shared=False)
    def price(number: int) -> int:
        return number

    app_facts.publish([(price, [1])], "")  # type: ignore[no-untyped-call]
    with app.connection_for_read() as connection:
        assert connection.default_channel.basic_get("gold", no_ack=True).headers["task"] == "price"


def test_a_process_of_ours_has_the_command_line_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["-m", "spec.json", "out"])
    their_app.as_worker("shop:app")
    assert sys.argv[0].endswith("/celery")
    assert sys.argv[1:] == ["-A", "shop:app", "worker"]


def test_a_serial_call_is_told_of_its_message_what_a_worker_is_told(shop: ModuleType) -> None:
    def ask(self: Any) -> list[Any]:
        return [self.request.origin, self.request.tenant, self.request.delivery_info]

    task = shop.celery_app.task(bind=True, name="a_shop.ask", shared=False)(ask)
    delivery = {"exchange": "", "routing_key": "gold", "headers": {"tenant": "seven"}, "celerys": {"origin": "gen1@there"}}
    signals.task_prerun.connect(their_app._with_headers, weak=False)
    try:
        origin, tenant, at = their_app.applied(task, [], delivery).result
    finally:
        signals.task_prerun.disconnect(their_app._with_headers)
    assert (origin, tenant, at["routing_key"]) == ("gen1@there", "seven", "gold")
    assert (at["redelivered"], "is_eager" in at) == (False, False)


def test_what_a_task_stores_itself_for_who_asked_is_its_answer() -> None:
    app = Celery("storing", broker="memory://", backend="cache+memory://", set_as_current=False)

    def partly(self: Any, number: int) -> None:
        if number < 0:
            self.update_state(state="FAILURE", meta={"exc_type": "ValueError", "exc_message": ["negative"]})
        elif number:
            self.backend.store_result(self.request.id, {"half": number / 2}, "SUCCESS")
        raise Ignore

    def gathered(self: Any, number: int) -> None:
        self.backend.mark_as_done(self.request.id, number, request=self.request)

    answers = app.task(bind=True, name="partly", shared=False)(partly)
    error, payload = their_app.stored(their_app.applied(answers, [3]), "json")
    assert (error, json.loads(payload)["result"]) == ("", {"half": 1.5})
    assert their_app.stored(their_app.applied(answers, [-1]), "json") == ("ValueError: negative", None)
    assert their_app.stored(their_app.applied(answers, [0]), "json")[0].startswith("Ignore")
    _, payload = their_app.stored(their_app.applied(app.task(bind=True, name="gathered", shared=False)(gathered), [4]), "json")
    assert json.loads(payload)["result"] == 4


def test_a_task_that_returns_nothing_is_asked_once_what_it_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    app, asked = Celery("silent", broker="memory://", backend="cache+memory://", set_as_current=False), list[str]()

    def nothing() -> None:
        pass

    silent = app.task(name="silent", shared=False)(nothing)
    meta = app.backend.get_task_meta
    monkeypatch.setattr(app.backend, "get_task_meta", lambda task_id: asked.append(task_id) or meta(task_id))
    monkeypatch.setattr(their_app, "_silent", set())
    for _ in range(3):
        assert json.loads(their_app.stored(their_app.applied(silent, []), "json")[1])["result"] is None
    assert len(asked) == 1


def test_a_call_has_the_arguments_of_its_message_if_they_are_others() -> None:
    def price(number: int, tenant: str = "") -> list[Any]:
        return [number, tenant]

    task = Celery("sent", broker="memory://", set_as_current=False).task(name="sent", shared=False)(price)
    assert their_app.applied(task, [3], {"body": '[[4], {"tenant": "gold"}, {}]'}).result == [4, "gold"]
    assert their_app.applied(task, [3], {}).result == [3, ""]
