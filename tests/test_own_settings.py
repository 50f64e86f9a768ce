"""Each setting of an application's that changes what is measured is kept or overridden in a trial, and named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery, Task
from celery.app.defaults import DEFAULTS
from celery.app.utils import Settings

from harness.experiment.pools import POOLS
from harness.trial.application import Application
from harness.worker import app_facts, own_settings, own_variables
from harness.worker.own_settings import BY_COMMAND, KEPT, OPTIONS, OVERRIDDEN, Kept, Overridden

HERE = Path("/somewhere")
URL = "redis://:secret@127.0.0.1:7777/0"
#: a value of the application's own where 6 is none
VALUES: dict[str, Any] = {
    "task_routes": {"shop.*": "rare"}, "task_queues": {"rare": {}}, "task_annotations": {"shop.price": {"rate_limit": "5/s"}},
    "task_publish_retry_policy": {"max_retries": 1}, "broker_transport_options": {"visibility_timeout": 60},
    "beat_schedule": {"often": {}}, "result_backend_transport_options": {"master_name": "m"}, "broker_use_ssl": True,
    "redis_backend_use_ssl": {"ssl_cert_reqs": 0}, "task_protocol": 1, "task_serializer": "yaml", "result_serializer": "yaml",
    "task_default_queue": "rare", "task_compression": "gzip", "result_compression": "gzip", "worker_state_db": "state",
    "worker_autoscaler": "shop:Scaler", "task_default_rate_limit": "5/s", "result_expires": timedelta(seconds=9),
}  # fmt: skip


def price() -> None:
    """A task."""


def told(settings: dict[str, Any], options: dict[str, Any] | None = None) -> tuple[dict[str, Any], str]:
    """(the trial's own values, all that is said)."""
    with Celery("shop", set_as_current=False) as app:
        app.conf.update(settings)
        task = app.task(price, name="shop.price", shared=False, **(options or {}))
        values, said = app_facts.settings(app.conf)
        return values, "\n".join([*said, *own_settings.options("the task's", task, app.conf, Task)])  # type: ignore[no-untyped-call]


def of(name: str) -> Any:
    default = DEFAULTS.get(name)
    return VALUES.get(name, (not default) if isinstance(default, bool) else 6)


def test_every_row_is_a_setting_of_celerys_and_none_stands_twice() -> None:
    names = [row.name for row in OVERRIDDEN + BY_COMMAND + KEPT]
    assert len(set(names)) == len(names)
    assert not set(names) - set(DEFAULTS) - {"task_retry_on_worker_lost", "task_acks_on_failure", "task_acks_on_timeout"}
    assert not set(names) & own_settings.SILENT


def test_an_application_with_celerys_own_settings_is_told_nothing() -> None:
    assert told({})[1] == ""


@pytest.mark.parametrize("row", OVERRIDDEN, ids=lambda row: row.name)
def test_a_setting_that_is_overridden_has_the_trials_value_and_is_named(row: Overridden) -> None:
    values, said = told({row.name: of(row.name)})
    assert values[row.name] == row.value != of(row.name)
    assert f"{row.name} is {own_settings.shown(row.value)} in the trial: {row.why}" in said  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("row", BY_COMMAND, ids=lambda row: row.name)
def test_a_setting_that_the_command_line_beats_is_named_as_overridden(row: Overridden) -> None:
    said = told({row.name: of(row.name)})[1]
    assert f"{row.name} is " in said
    assert f"overridden in the trial: {row.why}" in said


@pytest.mark.parametrize("row", KEPT, ids=lambda row: row.name)
def test_a_setting_that_is_kept_is_named_with_what_it_does(row: Kept) -> None:
    values, said = told({row.name: of(row.name)})
    assert f"{row.name} is " in said
    assert f", kept: {row.words}" in said
    assert row.name not in values or row.name.endswith("_transport_options")


OWN_OPTIONS = {
    "rate_limit": "6/m", "time_limit": 9, "soft_time_limit": 7, "acks_late": True, "reject_on_worker_lost": True,
    "acks_on_failure_or_timeout": False, "track_started": True, "priority": 3, "serializer": "yaml", "expires": 5,
    "autoretry_for": (KeyError,), "max_retries": 1, "default_retry_delay": 2, "retry_backoff": True,
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
@pytest.mark.parametrize("row", OPTIONS, ids=lambda row: row.name)
def test_an_option_of_the_task_is_named_wherever_it_is_written(row: Kept) -> None:
    option = {row.name: OWN_OPTIONS[row.name]}
    sentence = f"the task's {row.name} "
    assert sentence in told({}, option)[1]
    annotated = told({"task_annotations": {"shop.price": option}})[1]
    assert sentence in annotated or row.name in ("autoretry_for", "retry_backoff")  # Celery reads these when a task is made


def test_an_option_that_the_settings_say_for_all_tasks_is_told_once() -> None:
    said = told({"task_acks_late": True})[1]
    assert "task_acks_late is True, kept" in said
    assert "the task's acks_late" not in said


def test_an_option_that_says_no_to_what_celery_does_not_do_is_none() -> None:
    said = told({}, {"autoretry_for": (KeyError,), "retry_backoff": False})[1]
    assert "autoretry_for KeyError is kept" in said
    assert "retry_backoff" not in said


def test_a_setting_that_no_row_knows_is_kept_and_named() -> None:
    assert told({"redis_socket_timeout": 9, "worker_log_color": True})[1] == "kept as they are: redis_socket_timeout (9)"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"password": "secret", "visibility_timeout": 60}, "set, with password, visibility_timeout 60"),
        ("redis://:secret@somewhere/0", "set"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("x" * 99, "'" + "x" * 58 + "…"),
        ([], "empty"),
        ((KeyError, ValueError), "KeyError, ValueError"),
        (object(), "set"),
        (None, "None"),
    ],
)
def test_a_value_is_shown_without_what_may_be_secret_or_act_on_a_terminal(value: object, words: str) -> None:
    assert own_settings.shown(value) == words  # type: ignore[no-untyped-call]


class Controller:
    """What `own_settings.held` reads of a worker."""

    def __init__(self, app: Celery, **held: Any) -> None:
        self.app, self.__dict__ = app, {"app": app, **held}


def test_what_a_worker_has_otherwise_than_was_told_before_is_named() -> None:
    with Celery("shop", set_as_current=False) as app:
        task = app.task(price, name="shop.price", shared=False)
        tasks = own_settings.whose([task], alone=True)  # type: ignore[no-untyped-call]
        before = own_settings.expected(app.conf, tasks, lambda name: None)  # type: ignore[no-untyped-call]
        held = own_settings.held(Controller(app, max_tasks_per_child=None), tasks)  # type: ignore[no-untyped-call]
        assert own_settings.late(before, held) == []
        app.conf.task_acks_late = True
        held = own_settings.held(Controller(app, max_tasks_per_child=2), tasks)  # type: ignore[no-untyped-call]
    late = own_settings.late(before, held)
    assert [line.partition(":")[0] for line in late] == [
        "worker_max_tasks_per_child is 2 in the worker and was None before",
        "task_acks_late is True in the worker and was False before",
    ]


def test_a_variable_that_leads_to_the_owners_broker_leads_to_the_private_one() -> None:
    own = dict.fromkeys(own_variables.URLS, "amqp://production") | {"OTHER": "1"}
    found = own_variables.in_trial(own, URL)
    assert found == dict.fromkeys(own_variables.URLS, URL) | {"OTHER": "1"}
    said = "\n".join(own_variables.said(own, (5, 7)))
    assert all(f"the variable {name} names the private broker" in said for name in own_variables.URLS)
    assert "production" not in said
    assert own_variables.in_trial({}, URL) == {}, "an application that looks whether it is set finds it as it was"


@pytest.mark.parametrize("name", own_variables.LEFT_OUT)
def test_a_variable_that_would_change_what_the_trial_asks_for_is_left_out_and_named(name: str) -> None:
    assert own_variables.in_trial({name: "1"}, URL) == {}
    assert own_variables.said({name: "1"}, (5, 7)) == [
        f"the variable {name} is left out in the trial: {own_variables.LEFT_OUT[name]}"
    ]


@pytest.mark.parametrize("name", own_variables.KEPT)
def test_a_variable_that_stands_in_a_settings_place_is_kept_named_and_a_limit(name: str) -> None:
    assert own_variables.in_trial({name: "3"}, URL) == {name: "3"}
    (line,) = own_variables.said({name: "3"}, (5, 7))
    assert line.startswith(f"the variable {name} is '3', kept: ")
    assert "an option of the worker" not in line
    assert own_variables.number({name: "3"}, own_variables.KEPT[name]) == 3  # type: ignore[no-untyped-call]


def test_an_option_of_a_pasted_line_is_named_as_the_line_has_it() -> None:
    given = {"CELERY_WORKER_QUEUES": "images", "CELERY_WORKER_TIME_LIMIT": "9"}
    assert own_variables.said(given, (5, 7), {"CELERY_WORKER_QUEUES": "--queues"}) == [
        "the worker line's --queues is 'images', kept: an option of the worker",
        own_variables.said({"CELERY_WORKER_TIME_LIMIT": "9"}, (5, 7))[0],
    ]


def test_a_variable_that_celery_4_does_not_read_is_not_spoken_of() -> None:
    assert own_variables.said({"CELERY_WORKER_AUTOSCALE": "3,1"}, (4, 4)) == []


def test_limits_from_variables_are_those_of_the_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAX_TASKS_PER_CHILD", "TIME_LIMIT", "PREFETCH_MULTIPLIER"):
        monkeypatch.setenv(f"CELERY_WORKER_{name}", "7")
    with Celery("shop", set_as_current=False) as app:
        app.conf.worker_max_tasks_per_child = 50
        found = app_facts.limits(app, app.task(price, name="shop.price", shared=False))
    assert (found["max_tasks_per_child"], found["hard_s"], found["prefetch_multiplier"]) == (7, 7, 7)


def test_the_worker_gets_the_trials_variables_and_the_owners_own_modules() -> None:
    own = {"BROKER_URL": "amqp://production", "CELERY_WORKER_AUTOSCALE": "3,1", "CELERY_WORKER_INCLUDE": "shop.more"}
    one = Application(app="shop:app", tasks=("shop.price",), python=HERE, folder=HERE, own_variables=own, rows=HERE)
    found = one.variables(URL)
    assert found["BROKER_URL"] == found["CELERY_BROKER_URL"] == URL
    assert "CELERY_WORKER_AUTOSCALE" not in found
    from tests.test_application import cell

    argv = one.worker_command(cell("solo"))
    assert argv[argv.index("--include") + 1] == "shop.more,harness.worker.visitor"


@pytest.mark.parametrize(
    ("conf", "pool"),
    [
        ({"worker_pool": "prefork"}, "prefork"),
        ({"worker_pool": "threads"}, "threads"),
        ({"worker_pool": "prefork", "worker_pool_start_method": "spawn"}, "prefork-spawn"),
        ({"worker_pool": "mine.pools:Pool"}, "prefork"),
        ({}, "prefork"),
    ],
)
def test_the_pool_of_the_settings_is_named_as_a_worker_s_option_names_it(conf: dict[str, str], pool: str) -> None:
    assert own_settings.pool(conf) == pool
    assert pool in POOLS


@pytest.mark.parametrize("namespace", ["CELERY", None])
def test_what_is_overridden_is_so_also_under_a_namespace(namespace: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of Django's have one, and Celery up to 5.6 writes without it (celery/utils/collections.py)."""
    monkeypatch.setattr(Settings, "__setitem__", lambda self, key, value: self.changes.__setitem__(key, value))
    app = Celery("shop", set_as_current=False)
    names = [f"CELERY_{row.name.upper()}" if namespace else row.name for row in OVERRIDDEN]
    app.config_from_object(SimpleNamespace(**dict.fromkeys(names, "theirs")), namespace=namespace)
    assert app.conf.task_ignore_result == "theirs"
    own_settings.put(app, {row.name: row.value for row in OVERRIDDEN})  # type: ignore[no-untyped-call]
    assert [getattr(app.conf, row.name) for row in OVERRIDDEN] == [row.value for row in OVERRIDDEN]


def test_a_number_is_the_same_in_a_worker_that_has_it_with_a_point() -> None:
    """Celery reads --time-limit 60 as 60.0."""
    assert own_settings.late({"task_time_limit": "60"}, {"task_time_limit": "60.0"}) == []
    assert own_settings.late({"task_time_limit": "'60'"}, {"task_time_limit": "60"}) == []
    assert len(own_settings.late({"task_time_limit": "None"}, {"task_time_limit": "60.0"})) == 1


def test_a_setting_is_not_told_as_kept_if_a_variable_beats_it() -> None:
    lines = [
        "worker_prefetch_multiplier is 8, kept: …",
        "worker_send_task_events is True, kept: …",
        "task_acks_late is True, kept: …",
    ]
    given = {"CELERY_WORKER_PREFETCH_MULTIPLIER": "2", "CELERY_WORKER_TASK_EVENTS": "0"}
    assert own_variables.unbeaten(lines, given, (5, 7)) == lines[1:]
    assert own_variables.unbeaten(lines, given, (4, 4)) == lines, "which reads none of them"
    assert own_variables.unbeaten(lines, {"CELERY_WORKER_TASK_EVENTS": "true"}, (5, 7)) == [lines[0], lines[2]]
