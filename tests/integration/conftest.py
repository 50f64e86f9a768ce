"""Real Valkey, real Celery workers, the null and faulty controls: no ML library is needed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from celery import Celery

from harness import environments, places
from tests.warm import Warm

ROOT = Path(__file__).resolve().parent.parent.parent
HARNESS = [sys.executable, "-m", "harness.cli"]
WARM = Warm()
READ_EARLY = {"COLUMNS", "NO_COLOR", "FORCE_COLOR", "TERM"}  # of a process's variables, as the terminal is imported
Harness = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def celery_environment() -> environments.Environment:
    return environments.prepare("celery")


@pytest.fixture
def harness(tmp_path: Path, celery_environment: environments.Environment) -> Harness:
    """Run the command line in a folder of its own."""

    def call(*arguments: object, limit_s: float = 300.0, **variables: str) -> subprocess.CompletedProcess[str]:
        return run_harness(tmp_path, *arguments, limit_s=limit_s, **variables)

    return call


def run_harness(folder: Path, *arguments: object, limit_s: float = 300.0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, forked from a process that stands ready, if it does not matter when that one began."""
    words, env = list(map(str, arguments)), environment_variables(**variables)
    if not READ_EARLY & set(variables) and (done := WARM.run(words, cwd=folder, env=env, limit_s=limit_s)):
        return done
    return subprocess.run(
        [*HARNESS, *words],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def sent(url: str, task: str, *arguments: object, queue: str = "celery", times: int = 1, prefix: str = "") -> list[str]:
    """The ids of tasks that were sent, by a client that knows no more of the application than their name. `prefix`: of its keys
    in the broker (`global_keyprefix`)."""
    with Celery(broker=url, set_as_current=False) as app:
        app.conf.broker_transport_options = {"global_keyprefix": prefix}
        return [str(app.send_task(task, args=arguments, queue=queue).id) for _ in range(times)]


def environment_variables(**more: str) -> dict[str, str]:
    """The variables for a harness that runs in another folder but shares this checkout's environments."""
    home = os.environ.get("HARNESS_HOME", str(places.home()))
    return {**os.environ, "PYTHONPATH": str(ROOT), "HARNESS_HOME": home, **more}


def experiment(folder: Path, cells: str, *, name: str = "mine", **settings: object) -> Path:
    """Write an experiment of faulty or null cells; the noise limit of shared machines is not what is tested."""
    short = {"measure_s": 0.5, "requests": 10, "limit_s": 60.0, "ready_limit_s": 60.0, "stable_limit_s": 0.2, "confirm_s": 1.0}
    chosen = {**short, "noise_limit": 100.0, "controls": False, **settings}
    lines = [f"{key} = {json.dumps(value)}" for key, value in chosen.items()]
    path = folder / f"{name}.toml"
    path.write_text(f'name = "{name}"\nsummary = "a test"\n[settings]\n' + "\n".join(lines) + "\n" + cells)
    return path


def block(backend: str, pool: str | list[str], **dimensions: object) -> str:
    """One [[cells]] block; every value may be a single one or a list."""
    values = {"backend": backend, "environment": "celery", "pool": pool, **dimensions}
    lines = [f"{key} = {json.dumps(value if isinstance(value, list) else [value])}" for key, value in values.items()]
    return "[[cells]]\n" + "\n".join(lines) + "\n"


def cells(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "cells.csv")
