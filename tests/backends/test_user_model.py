"""The user's own model file, saved by stock Keras, through real workers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness import environments
from tests.backends.test_contract import environment
from tests.integration.conftest import Harness, cells

SAVE = """
import keras
L = keras.layers
ends = {"old.keras": [L.Dense(5, activation="softmax")], "new.keras": [L.Dense(5), L.UnitNormalization()]}
ends["old.h5"] = ends["old.keras"]
for name, last in ends.items():
    keras.Sequential([keras.Input((12, 12, 1)), L.Conv2D(4, 3, activation="relu"), L.Flatten(), *last]).save(name)
"""
EXPERIMENT = """
name = "own"
summary = "the user's own model"
[settings]
measure_s = 0.5
limit_s = 200.0
warmup_limit_s = 200.0
stable_limit_s = 0.2
confirm_s = 2.0
noise_limit = 100.0
controls = false
[[cells]]
backend = ["tensorflow2", "theano"]
pool = ["solo"]
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `old.keras`, `old.h5` and, with a layer that is not in old Keras, `new.keras`."""
    keras, folder = environment("tensorflow2"), tmp_path_factory.mktemp("saved")
    variables = environments.worker_variables(keras)
    subprocess.run([str(keras.python), "-c", SAVE], cwd=folder, env=variables, check=True, capture_output=True, timeout=300)
    return folder


@pytest.mark.parametrize("ending", ["keras", "h5"])
def test_a_model_saved_by_stock_keras_is_served_where_its_layers_exist(
    ending: str,
    saved: Path,
    harness: Harness,
    tmp_path: Path,
) -> None:
    environment("theano")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    done = harness("run", tmp_path / "own.toml", "--model", saved / f"old.{ending}", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "run").set_index("cell")
    for backend in ("tensorflow2", "theano"):
        row = rows.loc[f"{backend}-solo-c1-first-task-predict-user-model"]
        assert row["outcome"] == "ok", row["reason"]
        assert row["ok"] == row["requests"] > 0


def test_a_layer_that_a_backend_cannot_build_makes_its_cells_skipped_with_the_layers_name(
    saved: Path,
    harness: Harness,
    tmp_path: Path,
) -> None:
    environment("theano")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    done = harness("run", tmp_path / "own.toml", "--model", saved / "new.keras", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    rows = cells(tmp_path / "run").set_index("cell")
    new, old = (rows.loc[f"{name}-solo-c1-first-task-predict-user-model"] for name in ("tensorflow2", "theano"))
    assert new["outcome"] == "ok", new["reason"]
    assert old["outcome"] == "skipped"
    assert "UnitNormalization" in old["reason"]


@pytest.mark.parametrize("content", [b"", b"this is no model", b"PK\x03\x04 half a zip"])
def test_a_broken_model_file_is_refused(content: bytes, harness: Harness, tmp_path: Path) -> None:
    environment("tensorflow2")
    (tmp_path / "own.toml").write_text(EXPERIMENT)
    (tmp_path / "user.keras").write_bytes(content)
    done = harness("run", tmp_path / "own.toml", "--model", tmp_path / "user.keras", "--out", tmp_path / "run")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
