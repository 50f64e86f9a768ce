"""`harness contracts --app`: what becomes of the requests of somebody's own task, with real workers."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

from harness.environments import Environment
from tests.integration.conftest import Harness
from tests.integration.test_probe import PROJECTS


def verdicts(
    harness: Harness, environment: Environment, folder: Path, task: str, seconds: float, *options: object
) -> dict[str, str]:
    """The verdict by contract, in one pool."""
    shutil.copytree(PROJECTS / "patient", folder / "patient", dirs_exist_ok=True)
    (folder / "rows.json").write_text(json.dumps([[seconds]]))
    ran = harness(
        "contracts", "--app", "jobs:app", "--task", task, "--args", "rows.json", "--python", environment.python,
        "--cwd", "patient", "--out", "found", *options,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "contracts.md" in ran.stdout
    with open(folder / "found/contracts.csv") as file:
        return {row["contract"]: row["verdict"] for row in csv.DictReader(file)}


def test_a_slow_task_in_prefork_obeys_limits_and_a_revoke(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    asked = ("--pool", "prefork", "--select", "*-limit", "--select", "revoke")
    found = verdicts(harness, celery_environment, tmp_path, "jobs.report", 4.2, *asked)
    assert found == {"hard-limit": "cut off", "soft-limit": "cut off", "revoke": "ended"}


def test_what_is_in_flight_is_finished_by_a_shutdown_and_told_or_lost_by_a_kill(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    asked = ("--pool", "prefork", "--select", "warm-*", "--select", "*-killed")
    found = verdicts(harness, celery_environment, tmp_path, "jobs.report", 0.4, *asked)
    assert found == {
        "warm-shutdown": "finishes", "child-killed": "error to the caller", "worker-killed": "loses requests",
    }  # fmt: skip
    steps = (tmp_path / "found/evidence/prefork-child-killed/steps.txt").read_text()
    assert "SIGKILL to process" in steps


def test_what_acknowledges_late_is_run_again_and_a_short_task_is_met_by_a_burst(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    asked = ("--pool", "prefork", "--select", "*-killed", "--select", "hard-limit")
    assert verdicts(harness, celery_environment, tmp_path, "jobs.careful", 0.3, *asked) == {
        "hard-limit": "n/a", "child-killed": "runs it again", "worker-killed": "left unacknowledged",
    }  # fmt: skip


def test_a_pool_that_keeps_no_limit_says_so(harness: Harness, celery_environment: Environment, tmp_path: Path) -> None:
    found = verdicts(harness, celery_environment, tmp_path, "jobs.report", 4.2, "--pool", "threads", "--select", "hard-limit")
    assert found == {"hard-limit": "not cut off"}
