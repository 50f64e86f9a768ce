"""The famous question, as it was asked: a Django project, a Keras model loaded at module level, and Celery's default pool."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness import environments
from harness.environments import Environment
from harness.records.record import TrialRecord
from harness.records.store import RunFolder
from tests.integration.conftest import run_harness

PROJECT = Path(__file__).resolve().parent.parent / "probe_projects/django_site"
MAKE_MODEL = (
    "import keras\n"
    "model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(8, 3, activation='relu'), keras.layers.Flatten(),\n"
    "                          keras.layers.Dense(10, activation='softmax')])\n"
    "model.save('digits.keras')\n"
)


@pytest.fixture
def keras() -> Environment:
    return environments.prepare("tensorflow2")


@pytest.fixture
def site(keras: Environment, tmp_path: Path) -> Path:
    """A copy of the project with its model, and Django in a folder beside the environment, not in it."""
    folder = Path(shutil.copytree(PROJECT, tmp_path / "site"))
    variables = {**environments.worker_variables(keras), "KERAS_BACKEND": "tensorflow"}
    subprocess.run([keras.python, "-c", MAKE_MODEL], cwd=folder, env=variables, check=True, capture_output=True)
    uv = Path(sys.executable).with_name("uv")
    side = tmp_path / "side"
    install = [uv, "pip", "install", "--quiet", "--python", keras.python, "--target", side, "django>=5,<6"]
    subprocess.run(list(map(str, install)), check=True)
    (tmp_path / "site.env").write_text(f"PYTHONPATH={side}\nKERAS_BACKEND=tensorflow\nCUDA_VISIBLE_DEVICES=\n")
    dice = np.random.default_rng(1)
    (tmp_path / "rows.json").write_text(json.dumps([[dice.integers(0, 17, 64).tolist()] for _ in range(4)]))
    return folder


def probed(keras: Environment, site: Path, *options: object) -> tuple[str, dict[str, TrialRecord]]:
    ran = run_harness(
        site.parent, "probe", "--app", "site_project", "--task", "digits.tasks.classify", "--args", "rows.json",
        "--env-file", "site.env", "--python", keras.python, "--cwd", site, "--out", "probe",
        "--measure-s", 0.5, "--requests", 10, "--stable-limit-s", 0.2, "--noise-limit", 100, "--confirm-s", 2, *options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    records = RunFolder(site.parent / "probe").latest().values()
    return ran.stdout, {record.as_cell.pool: record for record in records}


def test_prefork_hangs_as_it_is_written_and_the_printed_change_mends_it(keras: Environment, site: Path) -> None:
    said, records = probed(keras, site, "--pools", "prefork,solo")
    assert records["prefork"].outcome == "hung", said
    assert records["prefork"].ended.cause.startswith("fork-"), said
    assert records["solo"].outcome == "ok", said
    advice = run_harness(site.parent, "recommend", "probe", "--markdown", "advice.md")
    assert "use app-solo-c1" in advice.stdout
    assert "digits/tasks.py" in advice.stdout
    diff = (site.parent / "advice.md").read_text().partition("```diff\n")[2].partition("```")[0]
    subprocess.run(["patch", "-p1"], cwd=site, input=diff, text=True, check=True, capture_output=True)
    said, records = probed(keras, site, "--pools", "prefork", "--no-first-look")
    assert records["prefork"].outcome == "ok", said
