"""A gate of two commits with real workers, by the commands of the recipe: a head that raises is worse, and nothing is left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import yaml

from harness.environments import Environment
from harness.proof.gates import project
from tests.integration.conftest import ROOT, Harness, environment_variables

RECIPE = ROOT / "recipes" / "gate.yml"
SHORT = " --measure-s 0.5 --requests 10"  # what is added to the recipe's command, or the test takes a minute


def test_a_head_that_cannot_be_imported_is_worse_and_a_wrong_option_is_not(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    made = project.made(tmp_path / "proj", project.SAME)
    (made.folder / project.FILE).write_text("import absent\n")
    project.commit(made.folder, project.FILE, "a mistake")
    common = ("gate", "--base", "HEAD~1", "--args", made.rows, "--cwd", made.folder, "--python", celery_environment.python)
    ran = harness(*common, "--app", project.APP, "--task", project.TASK, "--markdown", "gate.md")
    assert ran.returncode == 24, ran.stdout + ran.stderr
    assert "No module named 'absent'" in ran.stdout
    assert "| head | ❌ worse |" in (tmp_path / "gate.md").read_text()
    assert harness(*common, "--app", "nope:app", "--task", project.TASK).returncode == 3


def step(name: str) -> str:
    """What this step of the recipe runs."""
    steps = yaml.safe_load(RECIPE.read_text())["jobs"]["gate"]["steps"]
    return next(str(one["run"]) for one in steps if one.get("name") == name)


def test_the_recipe_fails_a_request_whose_head_raises(celery_environment: Environment, tmp_path: Path) -> None:
    made = project.made(tmp_path / "proj", project.SAME)
    (made.folder / "jobs.py").write_text((made.folder / "jobs.py").read_text().replace("total = amount\n", "total = gone\n"))
    project.commit(made.folder, "jobs.py", "a mistake")
    (tmp_path / "harness").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.cli "$@"\n')
    (tmp_path / "harness").chmod(0o755)
    variables = environment_variables(
        BASE="HEAD~1", APP=project.APP, TASK=project.TASK, PYTHON=str(celery_environment.python),
        GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md"),
    )  # fmt: skip
    variables["PATH"] = f"{tmp_path}:{variables['PATH']}"

    def shell(script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=made.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    ran = shell(step("gate").replace("--budget 10m", f"--budget 10m{SHORT}"))
    assert ran.returncode == 24, ran.stdout + ran.stderr
    assert "base ok 2, head errors 2" in ran.stdout
    assert "NameError" in ran.stdout
    assert shell(step("summary")).returncode == 0
    assert "| prefork | ❌ worse | - | - | - | 2 | ok 2 | errors 2 |" in (tmp_path / "summary.md").read_text()
    (line,) = (made.folder / "gate-history.jsonl").read_text().splitlines()
    assert json.loads(line)["head"]["subject"] == "a mistake"
    assert not (made.folder / "results" / "gate" / "scratch").exists()
    status = subprocess.run(["git", "-C", str(made.folder), "worktree", "list"], capture_output=True, text=True, check=True)
    assert len(status.stdout.splitlines()) == 1
