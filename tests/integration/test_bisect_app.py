"""A search among commits of somebody's own repository, with real workers: the one that broke the task is found, one that cannot
be imported is passed over, and the repository stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

from harness.environments import Environment
from tests.integration.conftest import Harness
from tests.test_bisect_app import commit, git, state

TASK = """
from celery import Celery
{line}
app = Celery("shop")


@app.task
def price(n):
    {body}
"""


def test_the_commit_that_broke_the_task_is_found(harness: Harness, celery_environment: Environment, tmp_path: Path) -> None:
    repo = tmp_path / "shop"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch", "main")
    commit(repo, TASK.format(line="", body="return 2 * n"), "First")
    commit(repo, TASK.format(line="import not_there", body="return 2 * n"), "Does not import")
    good = commit(repo, TASK.format(line="", body="return n + n"), "Add")
    bad = commit(repo, TASK.format(line="", body="raise ValueError(n)"), "Break it")
    (tmp_path / "rows.json").write_text(json.dumps([[3], [5]]))
    before = state(repo)
    ran = harness(
        "bisect", "--app", "shop:app", "--task", "shop.price", "--args", "rows.json", "--python", celery_environment.python,
        "--repo", "shop", "--good", "main~3", "--bad", "main", "--pool", "solo", "--repeat", 3, "--requests", 5,
        "--measure-s", 0.3, "--stable-limit-s", 0.3, "--noise-limit", 100, "--out", "found",
    )  # fmt: skip
    said = ran.stdout + ran.stderr
    assert ran.returncode == 0, said
    assert f"shop {good[:10]} -> {bad[:10]}: outcome ok -> errors (ok 3 -> errors 3)" in said
    assert "cannot be run, and is passed over: ModuleNotFoundError: No module named 'not_there'" in said
    told = (tmp_path / "found/bisect.md").read_text()
    assert f"{bad[:10]} Break it | errors |" in told
    assert (tmp_path / "found" / told.rpartition("](")[2].partition(")")[0]).is_file()
    assert state(repo) == before
