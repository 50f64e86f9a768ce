"""What the parent did with a model of its own, before it forked a child that builds another one (tensorflow#39431)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.backends.test_contract import environment
from tests.integration.conftest import Harness, cells

EXPERIMENT = """
name = "parent"
summary = "what the parent did"
[settings]
measure_s = 0.5
limit_s = 200.0
warmup_limit_s = 200.0
stable_limit_s = 0.2
confirm_s = 2.0
noise_limit = 100.0
controls = false
[[cells]]
backend = ["{backend}"]
pool = ["{pool}"]
parent = ["{deed}"]
"""


@pytest.mark.parametrize(
    ("backend", "pool", "deed", "outcome"),
    [
        ("tensorflow1", "prefork", "build", "ok"),
        ("tensorflow1", "prefork", "load", "hung"),
        ("tensorflow2", "prefork", "import", "ok"),
        ("tensorflow2", "prefork", "build", "hung"),
        ("tensorflow2", "prefork-spawn", "predict", "ok"),
        ("theano", "prefork", "predict", "ok"),
    ],
)
def test_a_child_with_a_model_of_its_own_hangs_where_the_parents_engine_has_worked(
    backend: str,
    pool: str,
    deed: str,
    outcome: str,
    harness: Harness,
    tmp_path: Path,
) -> None:
    environment(backend)
    (tmp_path / "parent.toml").write_text(EXPERIMENT.format(backend=backend, pool=pool, deed=deed))
    done = harness("run", tmp_path / "parent.toml", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    row = cells(tmp_path / "run").iloc[0]
    assert row["outcome"] == outcome, row["reason"]
