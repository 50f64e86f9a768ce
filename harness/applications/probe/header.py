"""What `run.json` says of a probe: what was asked for, what the application is, and where it lies. Pure."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from harness.applications.probe.learn import Facts
from harness.applications.probe.order import ProbeOrder
from harness.experiment.matrix import OWN_APP
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
            "from_here": from_here(order), "celery": list(application.celery), "consumed": application.queue_name,
            "said": facts.said, "told": known["told"], "limits": asdict(application.limits), "varied": list(order.varied),
            "budget_s": order.budget_s, **found,
        },
    }  # fmt: skip


def from_here(order: ProbeOrder) -> dict[str, str]:
    """Where the application lies, seen from the run's folder: `harness recommend` may be asked from anywhere."""
    known = {"folder": order.folder, "python": order.python, "env_file": order.env_file, "args": order.args}
    return {name: os.path.relpath(path, order.out) for name, path in known.items() if path is not None}


def digest(rows: Sequence[Any]) -> str:
    """Of the arguments: other ones are another probe."""
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()[:12]
