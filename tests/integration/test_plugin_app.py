"""The pytest plugin on somebody's own application: a test in their project holds one pool of it to limits."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness.environments import Environment
from tests.integration.conftest import environment_variables
from tests.integration.test_probe import PROJECTS

TESTS = """
import pytest

SHORT = {"measure_s": 0.5, "requests": 10, "noise_limit": 100.0, "stable_limit_s": 0.2}
SHOP = {"app": "shop:app", "task": "shop.price", "args": [[3], [5]], "python": "%(python)s", "env_file": "shop.env",
        "pool": "solo", "concurrency": 1, **SHORT}


@pytest.mark.harness_app(**SHOP)
@pytest.mark.harness_limits(max_p50_s=60.0, max_p99_s=60.0, min_throughput_per_s=0.01)
def test_kept_as_far_as_one_worker_tells(harness_app):
    assert harness_app.outcome == "ok"
    assert harness_app.cell == "app-solo-c1-as-written-task-shop.price"


@pytest.mark.harness_app(**SHOP)
@pytest.mark.harness_limits(max_p50_s=1e-9)
def test_broken(harness_app):
    raise AssertionError("not reached")


@pytest.mark.harness_app(**{**SHOP, "task": "shop.broken"})
def test_raises(harness_app):
    raise AssertionError("not reached")


@pytest.mark.harness_app(**SHOP, poool="solo")
def test_typo(harness_app):
    raise AssertionError("not reached")
"""


def test_a_project_holds_its_own_application_to_limits(celery_environment: Environment, tmp_path: Path) -> None:
    shutil.copytree(PROJECTS / "shop", tmp_path, dirs_exist_ok=True)
    (tmp_path / "shop.env").write_text("SHOP_FACTOR=2\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_serving.py").write_text(TESTS % {"python": celery_environment.python})
    variables = {name: value for name, value in environment_variables().items() if "PYTEST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "--strict-markers", "test_serving.py"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    told = done.stdout
    skipped = [line for line in told.splitlines() if line.startswith("SKIPPED")]
    assert len(skipped) == 1, told
    assert "repeat=3" in skipped[0], told  # one worker tells of no other
    assert "max_p99_s=60: " in skipped[0], told  # so few requests have no p99: that is no broken limit
    assert "max_p50_s=1e-09: latency_p50_s is" in told
    assert "ended errors, not ok" in told
    assert "the marker harness_app knows no poool" in told
    assert "2 failed, 1 skipped, 1 error" in told, told
    assert "not reached" not in told.partition("short test summary")[2]
