"""Real cells: each Keras, and an engine without, served by real Celery workers; and the famous question."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.backends.test_contract import environment
from tests.integration.conftest import Harness, cells, harness  # noqa: F401 - a fixture

PREDICT = "first-task-predict"

CELLS = [
    # cell, outcome, a word of the reason
    (f"tensorflow2-threads-c2-{PREDICT}", "ok|stalled", ""),
    (f"tensorflow1-prefork-c2-{PREDICT}", "ok", "match the reference"),
    (f"tensorflow1_15-solo-c1-{PREDICT}", "ok", "match the reference"),
    ("theano-prefork-c2-import-predict", "ok", "match the reference"),
    ("tensorflow2-prefork-c2-import-predict", "hung", "private futex"),
    ("tensorflow2-prefork-spawn-c2-import-predict", "ok", "match the reference"),
    ("tensorflow1-prefork-c2-import-graph", "hung", "private futex"),
    ("tensorflow1-prefork-c2-first-task-graph", "ok", "match the reference"),
    ("tensorflow1-threads-c2-import-predict", "errors", "is not an element of this graph"),
    # right answers; whether the threads also starve their queue for a while differs from run to run
    ("tensorflow1-threads-c2-import-graph", "ok|stalled", ""),
    # a model file is read by several threads: OpenMP's, which the child lacks
    ("lightgbm-prefork-c2-import-predict-digits-trees", "hung", "private futex"),
]
#: which shipped experiment has a backend's cells
EXPERIMENTS = {"lightgbm": "engines"}


@pytest.fixture
def celery_environment() -> None:
    """The real backends' own environments are used here."""


@pytest.mark.parametrize(("cell", "outcome", "word"), CELLS)
def test_a_real_cell_ends_as_it_truly_does(
    cell: str,
    outcome: str,
    word: str,
    harness: Harness,  # noqa: F811
    tmp_path: Path,
) -> None:
    backend = cell.partition("-")[0]
    environment(backend)
    experiment = tmp_path / "one.toml"
    name = f"{EXPERIMENTS.get(backend, 'quick')}.toml"
    shipped = (Path(__file__).resolve().parents[2] / "experiments" / name).read_text()
    patient = re.sub(
        r"(?m)^(warmup_)?limit_s = .*$", r"\1limit_s = 200.0", shipped
    )  # a cold cache is filled in the first request
    experiment.write_text(
        patient.replace(
            "measure_s = 3.0", "measure_s = 0.5\nstable_limit_s = 0.2\nconfirm_s = 2.0\nnoise_limit = 100.0\ncontrols = false"
        )
    )
    done: subprocess.CompletedProcess[str] = harness("run", experiment, "--select", cell, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    row = cells(tmp_path / "run").iloc[0]
    assert row["outcome"] in outcome.split("|"), row["reason"]
    assert word in row["reason"]
    if outcome.startswith("ok"):
        assert row["ok"] == row["requests"]
        assert row["ok"] >= 30
    if outcome == "hung":
        assert (tmp_path / "run" / row["evidence"]).read_text().count("Thread") >= 1
