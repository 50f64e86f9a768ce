"""Somebody's own application as a trial starts it, and whether the worker that is ready is the one that was asked for."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.applications.probe import order, remedies
from harness.errors import BadInput
from harness.experiment.matrix import AS_WRITTEN, OWN_APP, Cell
from harness.trial.application import Application
from harness.worker import contract
from tests.test_pace import ORDER

HERE = Path("/somewhere")
SHOP = Application(
    app="shop:app", tasks=("shop.price",), python=HERE / "bin/python", folder=HERE, own_variables={}, rows=HERE,
    queue_keys=("celery",),
    celery=(5, 7),
)  # fmt: skip


def cell(pool: str) -> Cell:
    concurrency = 1 if pool == "solo" else 2
    return Cell(
        backend=OWN_APP, pool=pool, concurrency=concurrency, placement=AS_WRITTEN, call="task", workload="w", traffic="drain"
    )


def has(
    folder: Path, implementation: str, limit: int | None = 2, *, spawned: bool = False, queues: tuple[str, ...] = ("celery",)
) -> Path:
    told = {"implementation": f"celery.concurrency.{implementation}:TaskPool", "limit": limit, "spawned": spawned}
    (folder / contract.POOL).write_text(json.dumps(told))
    (folder / contract.QUEUES).write_text(json.dumps(queues))
    return folder


def test_prefork_is_asked_for_by_a_name_that_the_settings_do_not_beat() -> None:
    argv = SHOP.worker_command(cell("prefork"))
    assert argv[argv.index("--pool") + 1] == "processes"
    assert argv[argv.index("--pool-start-method") + 1] == "fork"
    assert argv[1:3] == ["-m", "celery"]
    assert replace(SHOP, script=True).worker_command(cell("prefork"))[1] == str(SHOP.python.with_name("celery"))
    assert "--pool-start-method" not in replace(SHOP, celery=(5, 5)).worker_command(cell("prefork"))
    spawned = SHOP.worker_command(cell("prefork-spawn"))
    assert (spawned.count("--pool-start-method"), spawned.count("spawn")) == (1, 1)
    assert "gevent" in SHOP.worker_command(cell("gevent"))


@pytest.mark.parametrize(
    ("pool", "implementation", "limit", "spawned"),
    [
        ("prefork", "prefork", 2, False),
        ("prefork-spawn", "prefork", 2, True),
        ("threads", "thread", 2, False),
        ("gevent", "gevent", 2, False),
        ("eventlet", "eventlet", None, False),
        ("solo", "solo", 1, False),
    ],
)
def test_the_pool_that_was_asked_for_is_measured(
    tmp_path: Path, pool: str, implementation: str, limit: int, spawned: bool
) -> None:
    assert SHOP.unfit(has(tmp_path, implementation, limit, spawned=spawned), cell(pool)) == ""


@pytest.mark.parametrize(
    ("pool", "implementation", "limit", "spawned", "said"),
    [
        ("prefork", "thread", 2, False, "the worker has the pool celery.concurrency.thread:TaskPool"),
        ("prefork", "prefork", 2, True, "the worker has children that are spawned"),
        ("prefork-spawn", "prefork", 2, False, "the worker has children that are forked"),
        ("threads", "thread", 8, False, "asked for threads with a concurrency of 2, the worker has a concurrency of 8"),
    ],
)
def test_another_pool_is_refused_and_named(
    tmp_path: Path, pool: str, implementation: str, limit: int, spawned: bool, said: str
) -> None:
    assert said in SHOP.unfit(has(tmp_path, implementation, limit, spawned=spawned), cell(pool))


def test_a_queue_that_nobody_consumes_is_named(tmp_path: Path) -> None:
    assert "no consumer for queue 'celery'" in SHOP.unfit(has(tmp_path, "solo", 1, queues=("rare",)), cell("solo"))


def test_a_worker_that_says_nothing_is_not_refused(tmp_path: Path) -> None:
    assert SHOP.unfit(tmp_path, cell("solo")) == ""


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("ModuleNotFoundError: No module named 'packaging.version'", "install packaging in the environment of --python"),
        ("ImportError: Missing redis library (pip install redis)", "has no client for it"),
        ("No module named 'redis'", "has no client for it"),
        ("ImportError: No module named 'redis', which Celery needs to speak Redis", "install celery[redis] there"),
        ("ImportError: No module named 'packaging', which Celery needs to speak Redis", "pip install --target side packaging'"),
        (
            "ImportError: No module named 'packaging', which Celery needs to speak Redis",
            "a client that cannot be imported: install packaging there;",
        ),
        (
            "ImportError: No module named 'redis' and 'packaging', which Celery needs to speak Redis",
            "celery[redis] and packaging there",
        ),
        (
            "ValueError: row 1 (shop.price) cannot be sent: VersionMismatch: Redis transport requires redis-py 6.1.0 or later.",
            "the version that the message names, or",
        ),
        (
            "ImportError: its Celery cannot use the 'redis' package that is installed, 4.3.4: ImportError: cannot import name "
            "'CredentialProvider' from 'redis'",
            "install celery[redis] there, which brings one that fits",
        ),
        ("ModuleNotFoundError: No module named 'celery'", "/somewhere/python has no Celery"),
        (
            "ValueError: row 1 (shop.price) cannot be sent: TypeError: price() missing 1 required argument",
            "calls task(image=3)",
        ),
        ("LookupError: the module shop was imported, and 'nope' is not there", "name one that is there"),
        ("KeyError: 'MODEL_PATH'", "check --app"),
        ("KeyError: 'DSN', at shop.py:3, which reads DSN, a variable that is not set", "set it in this shell, or put it into"),
        ("ImproperlyConfigured: Set the SECRET_KEY environment variable", "set it in this shell, or put it into"),
        ("ModuleNotFoundError: No module named 'shop.tasks:nope'", "check --app"),
        ("ModuleNotFoundError: No module named 'shop'", "neither /somewhere (--cwd) nor the environment of --python has it"),
    ],
)
def test_an_application_that_cannot_be_imported_has_its_own_remedy(failure: str, said: str) -> None:
    assert said in remedies.remedy_of(failure, "shop.tasks:app", ORDER.python, ORDER.folder)


def test_a_task_whose_module_is_not_imported_is_told_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mail.py").touch()
    failure = "LookupError: the application has no task 'shop.{}.send'; it has none"
    told = remedies.remedy_of(failure.format("mail"), "shop.app", ORDER.python, tmp_path)
    assert "a module shop.mail, which the application does not import" in told
    assert "name one that is there" in remedies.remedy_of(failure.format("post"), "shop.app", ORDER.python, tmp_path)
    imported = failure.format("mail").replace("; it has none", "; it imports that module; it has shop.mail.Send")
    assert "name one that is there" in remedies.remedy_of(imported, "shop.app", ORDER.python, tmp_path)


@pytest.mark.parametrize(
    ("there", "app", "module", "said"),
    [
        ("shop/worker.py", "shop.worker:app", "worker", "put PYTHONPATH={0}/shop into --env-file"),
        ("src/shop/__init__.py", "shop.tasks:app", "shop", "--cwd {0}/src"),
        ("src/app/prices/__init__.py", "shop.tasks:app", "prices.tax", "put PYTHONPATH={0}/src/app into --env-file"),
        ("venv/lib/worker.py", "shop.worker:app", "worker", "install worker in the environment"),
        ("shop/tasks.py", "shop.worker:app", "worker", "install worker in the environment"),
        ("shop/tasks.py", "sale.worker:app", "sale", "neither {0} (--cwd) nor"),
    ],
)
def test_a_module_that_lies_below_the_folder_is_told_where_it_is(
    there: str, app: str, module: str, said: str, tmp_path: Path
) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / there).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / there).touch()
    told = remedies.remedy_of(f"ModuleNotFoundError: No module named '{module}'", app, ORDER.python, tmp_path)
    assert said.format(tmp_path) in told


def test_a_folder_of_one_level_too_deep_is_told(tmp_path: Path) -> None:
    told = remedies.remedy_of("ModuleNotFoundError: No module named 'shop'", "shop.tasks:app", ORDER.python, tmp_path / "shop")
    assert told.endswith(f"--cwd {tmp_path}")


def test_a_module_that_lies_in_several_folders_is_told_in_none(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "worker.py").touch()
    told = remedies.remedy_of("No module named 'worker'", "shop.worker:app", ORDER.python, tmp_path)
    assert told.startswith("install worker in the environment")


def test_a_task_without_arguments_needs_no_file(tmp_path: Path) -> None:
    assert order.rows(None) == [[]]
    (tmp_path / "rows.json").write_text('[[1], {"a": 2}]')
    assert order.rows(tmp_path / "rows.json") == [[1], {"a": 2}]
    with pytest.raises(BadInput):
        order.rows(tmp_path / "none.json")
    with pytest.raises(BadInput, match="takes the name of a file, and this is JSON"):
        order.rows(Path("[[1, 2], [3, 4]]"))


def test_serial_calls_are_told_of_each_message_what_a_worker_tells_its_task(tmp_path: Path) -> None:
    messages = tmp_path / "messages.json"
    at = {"exchange": "", "routing_key": "gold"}
    message = {"headers": {"lang": "py", "id": "x", "tenant": "seven"}, "properties": {"delivery_info": at, "priority": 3}}
    plain = {"headers": {"lang": "py"}, "properties": {}}
    messages.write_text(json.dumps([json.dumps(message), json.dumps(plain)]))
    told = replace(SHOP, messages=messages).spec(prefix="ab", events=tmp_path)["deliveries"]
    assert told == [
        {"exchange": "", "routing_key": "gold", "priority": 3, "headers": {"tenant": "seven"}, "celerys": {"lang": "py"}},
        {"exchange": None, "routing_key": None, "priority": None, "headers": None, "celerys": {"lang": "py"}},
    ]


@pytest.mark.parametrize(
    ("body", "more", "told"),
    [
        ([[3], {}, {}], {}, None),
        ([[3], {"tenant": "gold"}, {}], {}, True),
        ([["eJyLNo4FAAG6ALU="], {}, {}], {}, True),
        ([[4], {}, {}], {"content-type": "application/x-yaml"}, None),
        ([[4], {}, {}], {"headers": {"compression": "application/x-gzip"}}, None),
    ],
)
def test_serial_calls_have_the_arguments_that_the_application_sends(
    body: list[Any], more: dict[str, Any], told: bool | None, tmp_path: Path
) -> None:
    rows, messages = tmp_path / "rows.json", tmp_path / "messages.json"
    text = json.dumps(body)
    message = {
        "headers": {}, "content-type": "application/json", "properties": {"body_encoding": "base64"},
        "body": base64.b64encode(text.encode()).decode(), **more,
    }  # fmt: skip
    rows.write_text("[[3]]")
    messages.write_text(json.dumps([json.dumps(message)]))
    (found,) = replace(SHOP, messages=messages, rows=rows).spec(prefix="ab", events=tmp_path)["deliveries"]  # type: ignore[misc]
    assert found.get("body") == (text if told else None)
