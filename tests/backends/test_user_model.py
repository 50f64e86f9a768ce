"""The user's own model file, saved by stock Keras, through real workers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import environments
from tests.backends.test_cells import celery_environment, harness  # noqa: F401 - fixtures
from tests.backends.test_contract import environment
from tests.integration.conftest import Harness, cells

SAVE = """
import sys, keras
layers = [keras.Input((12, 12, 1)), keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten()]
if sys.argv[2] == "old":
    layers += [keras.layers.Dense(5, activation="softmax")]
else:
    layers += [keras.layers.Dense(5), keras.layers.UnitNormalization()]
keras.Sequential(layers).save(sys.argv[1])
"""
EXPERIMENT = """
name = "own"
summary = "the user's own model"
[settings]
measure_s = 1.0
limit_s = 60.0
stable_limit_s = 0.5
confirm_s = 2.0
noise_limit = 100.0
controls = false
[[cells]]
backend = ["tensorflow2", "theano"]
pool = ["solo"]
"""


def save_model(path: Path, kind: str) -> None:
    keras = environment("tensorflow2")
    variables = environments.worker_variables(keras)
    command = [str(keras.python), "-c", SAVE, str(path), kind]
    subprocess.run(command, env=variables, check=True, capture_output=True, timeout=300)


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_model_saved_by_stock_keras_is_served_where_its_layers_exist(
    ending: str,
    harness: Harness,  # noqa: F811
    tmp_path: Path,
) -> None:
    environment("theano")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    save_model(tmp_path / f"user.{ending}", "old")
    done = harness("run", tmp_path / "own.toml", "--model", tmp_path / f"user.{ending}", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "run").set_index("cell")
    for backend in ("tensorflow2", "theano"):
        row = rows.loc[f"{backend}-solo-c1-first-task-predict-user-model"]
        assert row["outcome"] == "ok", row["reason"]
        assert row["ok"] == row["requests"] > 0


def test_a_layer_that_a_backend_cannot_build_makes_its_cells_skipped_with_the_layers_name(
    harness: Harness,  # noqa: F811
    tmp_path: Path,
) -> None:
    environment("theano")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    save_model(tmp_path / "user.keras", "new")
    done = harness("run", tmp_path / "own.toml", "--model", tmp_path / "user.keras", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "run").set_index("cell")
    new, old = (rows.loc[f"{name}-solo-c1-first-task-predict-user-model"] for name in ("tensorflow2", "theano"))
    assert new["outcome"] == "ok", new["reason"]
    assert old["outcome"] == "skipped"
    assert "UnitNormalization" in old["reason"]


@pytest.mark.parametrize("content", [b"", b"this is no model", b"PK\x03\x04 half a zip"])
def test_a_broken_model_file_is_refused(content: bytes, harness: Harness, tmp_path: Path) -> None:  # noqa: F811
    environment("tensorflow2")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    (tmp_path / "user.keras").write_bytes(content)
    done = harness("run", tmp_path / "own.toml", "--model", tmp_path / "user.keras", "--out", tmp_path / "run")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
