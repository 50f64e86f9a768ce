"""What `run.json` says of a probe: what was asked for, what the application is, and where it lies. Pure."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.worker_line import CALLED, variable
from harness.experiment.matrix import OWN_APP
from harness.texts import SECRET_NAMES, without_secrets
from harness.trial.application import Application

APPLICATION = "application"  # of run.json


def of(
    order: ProbeOrder, facts: Facts, application: Application, installed: Mapping[str, str], found: Mapping[str, Any]
) -> dict[str, Any]:
    """`installed`: versions in its environment; `found`: what the trials settled, beside what order and application say."""
    known = facts.told
    return {
        "experiment": {
            "name": "probe", "summary": f"{order.task} of {order.app} in every pool", "cells": [],
            "settings": order.settings.model_dump(),
        },
        "environments": {OWN_APP: {"interpreter": known["python"], "installed": dict(installed)}},
        APPLICATION: {
            "app": order.app, "task": order.task, "queue": order.queue, "rows": len(order.rows),
            "rows_digest": digest(order.rows), "tolerance": order.tolerance, "check": order.check,
            "from_here": from_here(order), "celery": list(application.celery), "mix": _mix(order), "queues": application.queue,
            "consumed": ",".join(application.queue_names),
            "said": facts.said, "told": known["told"], "limits": asdict(application.limits), "varied": list(order.varied),
            "files": [os.path.relpath(path, os.path.realpath(order.folder)) for path in known.get("files", ())],
            "copied": order.origin is not None, "worker": _pasted(order),
            "budget_s": order.budget_s, **found,
        },
    }  # fmt: skip


def packages(*loaded: Iterable[str]) -> list[str]:
    """Of what processes have loaded, what does not come with Python.

    >>> packages(["json", "torch"], ["celery"])
    ['celery', 'torch']
    """
    return sorted({name for names in loaded for name in names if not name.startswith("_")} - sys.stdlib_module_names)


def _mix(order: ProbeOrder) -> dict[str, Any]:
    """The tasks of a mix with their shares; {} without one."""
    return dict(zip(order.mix.tasks, order.mix.shares, strict=True)) if order.mix else {}


def _pasted(order: ProbeOrder) -> dict[str, Any]:
    """What of a pasted line holds in each pool; what its variables call a secret is not kept. --queue wins over its queues."""
    if (line := order.line) is None:
        return {}
    arguments = (line.without("--queues") if order.queue else line).arguments
    called = {variable(name): value for name, value in line.options.items() if name in CALLED}
    shown = {name: "***" if SECRET_NAMES.search(name) else without_secrets(value) for name, value in line.assigned.items()}
    return {"arguments": arguments, "variables": {**shown, **called}, "script": order.script}


def from_here(order: ProbeOrder) -> dict[str, str]:
    """Where the application lies, seen from the run's folder: `harness recommend` may be asked from anywhere."""
    rows = "mix" if order.mix else "args"
    known = {"folder": order.home, "python": order.python, "env_file": order.env_file, rows: order.args}
    return {name: os.path.relpath(path, order.out) for name, path in known.items() if path is not None}


def digest(rows: Sequence[Any]) -> str:
    """Of the arguments: other ones are another probe."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]
