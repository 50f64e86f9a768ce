"""What an application says of itself, before any worker of it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from celery import Celery

from harness.trial.application import Limits
from harness.worker import app_facts, own_settings


def price() -> None:
    """A task."""


def limits(options: dict[str, Any] | None = None, **settings: Any) -> Limits:
    with Celery("shop", set_as_current=False) as app:
        app.conf.update(settings)
        return Limits(**app_facts.limits(app, app.task(price, name="shop.price", shared=False, **(options or {}))))


def test_an_application_without_limits_has_celerys_own_settings() -> None:
    assert limits() == Limits(prefetch_multiplier=4, proc_alive_timeout_s=4.0)


def test_a_tasks_limits_win_over_those_of_the_settings() -> None:
    told = limits({"soft_time_limit": 20}, task_soft_time_limit=30, task_time_limit=60)
    assert (told.soft_s, told.hard_s) == (20, 60)


@pytest.mark.parametrize(("written", "rate_per_s"), [("6/m", 0.1), ("2/h", 2 / 3600), (5, 5), (None, None)])
def test_a_rate_limit_is_told_a_second(written: object, rate_per_s: float | None) -> None:
    assert limits({"rate_limit": written}).rate_per_s == (None if rate_per_s is None else pytest.approx(rate_per_s))


def test_a_rate_limit_that_the_worker_disregards_is_none() -> None:
    assert limits({"rate_limit": "6/m"}, worker_disable_rate_limits=True).rate_per_s is None


def test_what_bounds_a_child_is_told() -> None:
    told = limits(
        {"acks_late": True}, worker_max_tasks_per_child=100, worker_max_memory_per_child=200_000, worker_prefetch_multiplier=1
    )  # fmt: skip
    assert told == Limits(
        acks_late=True, max_tasks_per_child=100, max_memory_per_child_kib=200_000, prefetch_multiplier=1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, []),
        ({"worker_pool": "processes"}, []),
        (
            {"worker_pool": "threads"},
            ["worker_pool is 'threads' in the settings and beats --pool prefork"],
        ),
        (
            {"worker_pool_start_method": "spawn"},
            ["worker_pool_start_method is 'spawn' in the settings"],
        ),
    ],
)
def test_a_setting_that_would_start_another_pool_is_said(settings: dict[str, str], said: list[str]) -> None:
    assert own_settings.of_pool(settings) == [f"{text}: overridden in the trial" for text in said]


def test_sources_in_the_folder_are_told_from_those_elsewhere_and_installed_ones_are_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {"shop/own.py": "a_shop", "lib/more.py": "a_lib", "venv/lib/site-packages/dep.py": "a_dep"}
    for path, name in names.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
        module = ModuleType(name)
        module.__file__ = str(tmp_path / path)
        monkeypatch.setitem(sys.modules, name, module)
    inside, elsewhere = app_facts.own_files(str(tmp_path / "shop"))
    assert inside == [str(tmp_path / "shop/own.py")]
    assert [path for path in elsewhere if path.startswith(str(tmp_path))] == [str(tmp_path / "lib/more.py")]
    assert not [path for path in elsewhere if path in (json.__file__, app_facts.__file__)]


def test_a_task_that_asks_whether_it_runs_without_a_worker_is_known() -> None:
    def asks(self: Any) -> int:
        return 1 if self.request.is_eager else 2

    app = Celery("asking", set_as_current=False)
    tasks = [app.task(bind=True, name="asks", shared=False)(asks), app.task(price, name="plain", shared=False)]
    assert [app_facts.asks_eager(task) for task in tasks] == [True, False]
