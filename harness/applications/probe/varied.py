"""What a search varies of somebody's own worker: its arguments and its variables, cell by cell. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.experiment.matrix import Cell, variables_of
from harness.trial.application import VARIED, Application
from harness.worker import own_variables

#: fields of a cell (`trial.application.VARIED`), and Celery's name of the setting that each replaces
SETTINGS = {"prefetch": "worker_prefetch_multiplier", "max_tasks": "worker_max_tasks_per_child"}


def in_cell(application: Application, cell: Cell, one_thread: Mapping[str, str]) -> Application:
    """The application as this cell runs it. `one_thread`: the variables of a cell that is another one's sibling."""
    given = {**(one_thread if cell.plain else {}), **variables_of(cell.variables)}
    bounds: dict[str, Any] = {}
    if "prefetch" in application.varied:
        bounds["prefetch_multiplier"] = cell.prefetch
    if "max_tasks" in application.varied and cell.max_tasks:
        bounds["max_tasks_per_child"] = cell.max_tasks
    limits = tuple(replace(one, **bounds) for one in application.limits_of)
    return replace(application, own_variables={**application.own_variables, **given}, limits_of=limits)


def settings_of(varied: Collection[str]) -> set[str]:
    """Celery's names of the settings that are not the application's any more."""
    return {SETTINGS[name] for name in varied}


def said(lines: Sequence[str], varied: Collection[str]) -> list[str]:
    """What is said of the application's settings, and of variables in their place, but for what each cell says itself.

    >>> said(["worker_prefetch_multiplier is 1, kept: …", "task_acks_late is True, kept: …"], ["prefetch"])
    ['task_acks_late is True, kept: …']
    >>> said(["the variable CELERY_WORKER_PREFETCH_MULTIPLIER is '2', kept: …"], ["prefetch"])
    []
    >>> said(["the worker line's --prefetch-multiplier is '2', kept: …", "the worker line's --queues is …"], ["prefetch"])
    ["the worker line's --queues is …"]
    """
    settings = settings_of(varied)
    others = (
        settings | {name for name, place in own_variables.KEPT.items() if place in settings} | {VARIED[name] for name in varied}
    )
    named = [line.removeprefix("the variable ").removeprefix("the worker line's ").partition(" ")[0] for line in lines]
    return [line for line, name in zip(lines, named, strict=True) if name not in others]


def expected(told: Mapping[str, Any], varied: Collection[str]) -> dict[str, Any]:
    """The settings that a worker was to have, but for those."""
    return {name: value for name, value in told.items() if name not in settings_of(varied)}
