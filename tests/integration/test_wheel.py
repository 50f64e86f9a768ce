"""The wheel alone, in a clean environment and without this checkout: the command line, the data, the pytest plugin."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml

from harness.environments import Environment
from tests.integration.conftest import ROOT, environment_variables

PROJECT = """
import pytest

SHORT = dict(measure_s=0.5, requests=10, stable_limit_s=0.2, noise_limit=100.0)
CELL = dict(backend="null", environment="celery", pool="solo", **SHORT)


@pytest.mark.harness_cell(**CELL, repeat=3)
@pytest.mark.harness_limits(min_throughput_per_s=1, max_p50_s=30)
def test_predict(harness_cell):
    assert harness_cell.outcome == "ok"
    assert harness_cell.throughput_per_s > 1
    assert (harness_cell.folder / "trials.jsonl").exists()


@pytest.mark.harness_cell(**CELL)
@pytest.mark.harness_limits(max_p50_s=1e-9)
def test_limit(harness_cell):
    raise AssertionError("not reached")


@pytest.mark.harness_cell(**{**CELL, "backend": "faulty", "fault": "error@0"})
def test_outcome(harness_cell):
    raise AssertionError("not reached")


@pytest.mark.harness_cell(**{**CELL, "pool": "prefork-spawn", "environment": "tensorflow1"})
def test_cannot_exist(harness_cell):
    raise AssertionError("not reached")


@pytest.mark.harness_cell(**{**CELL, "pool": "preforc"})
def test_typo(harness_cell):
    raise AssertionError("not reached")


@pytest.mark.harness_limits(max_p50=1)
@pytest.mark.harness_cell(**CELL)
def test_no_such_limit(harness_cell):
    raise AssertionError("not reached")
"""


def variables() -> dict[str, str]:
    """No path to this checkout, nothing of the pytest that runs this; the environments of backends are shared."""
    known = environment_variables().items()
    return {name: value for name, value in known if name not in ("PYTHONPATH", "VIRTUAL_ENV") and "PYTEST" not in name}


def run(*command: object, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(
        list(map(str, command)), cwd=cwd, env=variables(), capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


UV = ROOT / ".venv" / "bin" / "uv"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It is built from the sdist, as `python -m build` does it."""
    folder = tmp_path_factory.mktemp("wheel")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with the wheel and what measures, and what a user's tests need."""
    return installed(tmp_path_factory.mktemp("clean"), f"{wheel}[bench]", "pytest", "pytest-benchmark")


@pytest.fixture(scope="module")
def slim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a fresh environment with nothing but the wheel."""
    return installed(tmp_path_factory.mktemp("slim"), str(wheel))


def installed(folder: Path, *wanted: str) -> Path:
    run(UV, "venv", "--quiet", "--python", ROOT / ".venv" / "bin" / "python", folder / "venv", cwd=folder)
    pins = [line.removesuffix(" \\") for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1].isalnum()]
    (folder / "pins.txt").write_text("\n".join(pins))
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "--constraint", folder / "pins.txt", *wanted, cwd=folder)
    return folder / "venv" / "bin"


def test_the_base_looks_at_workers_and_says_what_measuring_needs(slim: Path, tmp_path: Path) -> None:
    assert "--probe" in run(slim / "harness", "why", "--help", cwd=tmp_path)
    assert "--textfile" in run(slim / "harness", "watch", "--help", cwd=tmp_path)
    run(slim / "python", "-c", "import harness.live.watch.textfile, harness.live.broker_view", cwd=tmp_path)
    assert "why: py-spy" in run(slim / "harness", "doctor", cwd=tmp_path)
    assert run(slim / "harness", "atlas", "torch", cwd=tmp_path).startswith("PyTorch 2")
    assert run(slim / "harness", "atlas", "tensorflow2", cwd=tmp_path).startswith("TensorFlow 2, prefork, loaded at import: ")
    assert run(slim / "harness", "run", "quick", cwd=tmp_path, code=5) == ""
    with pytest.raises(AssertionError):
        run(slim / "python", "-c", "import pandas", cwd=tmp_path)


def test_the_wheel_runs_a_shipped_experiment(clean: Path, celery_environment: Environment, tmp_path: Path) -> None:
    assert "quick" in run(clean / "harness", "list", cwd=tmp_path)
    assert "threads-c2+" in run(clean / "harness", "atlas", cwd=tmp_path)
    chosen = ("--select", "null@celery-solo-*", "--measure-s", "0.5", "--stable-limit-s", "0.2", "--repeat", "1")
    run(clean / "harness", "run", "same-cell", *chosen, cwd=tmp_path)
    table = pd.read_csv(tmp_path / "results" / "same-cell" / "cells.csv")
    assert table["cell"].tolist() == ["null@celery-solo-c1-first-task-predict"]


def test_a_users_project_holds_cells_to_limits(clean: Path, celery_environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "test_serving.py").write_text(PROJECT)
    told = run(clean / "python", "-m", "pytest", "-rA", "--strict-markers", "--benchmark-json=out.json", cwd=tmp_path, code=1)
    counts = dict(reversed(pair.split()) for pair in told.strip().splitlines()[-1].strip("= ").partition(" in ")[0].split(", "))
    assert counts == {"failed": "2", "passed": "1", "skipped": "1", "errors": "2"}
    assert "PASSED test_serving.py::test_predict" in told
    assert "max_p50_s=1e-09: latency_p50_s is" in told
    assert "ended errors, not ok" in told
    assert "prefork-spawn" in told.partition("SKIPPED")[2]
    assert "cells.0.pool.0" in told
    assert "harness_limits knows no max_p50" in told
    (kept,) = (one for one in json.loads((tmp_path / "out.json").read_text())["benchmarks"] if one["name"] == "test_predict")
    assert kept["extra_info"]["outcome"] == "ok"
    assert kept["extra_info"]["throughput_per_s"] > 1
    assert kept["extra_info"]["cpu_s_per_request"] > 0
    assert kept["extra_info"]["cell"] == "null@celery-solo-c1-first-task-predict"


GATED = """
name = "serving"
summary = "what we serve"
[settings]
measure_s = 0.5
stable_limit_s = 0.2
requests = 10
noise_limit = 100.0
controls = false
repeat = 3
[[cells]]
backend = ["{backend}"]
environment = ["celery"]
pool = ["solo"]
fault = ["{fault}"]
"""


def steps() -> dict[str, str]:
    """What the recipe's steps run, by name."""
    job = yaml.safe_load((ROOT / "recipes" / "serving-gate.yml").read_text())["jobs"]["gate"]
    return {step["name"]: step["run"] for step in job["steps"] if "run" in step}


def test_the_recipe_of_a_gate_passes_what_is_as_before_and_fails_what_is_not(
    clean: Path, celery_environment: Environment, tmp_path: Path
) -> None:
    """Its own commands in the order of the file, against a baseline of two small files; `pip` and `gh` are left out."""
    told = steps()
    assert list(told) == ["install", "measure", "compare", "summary", "comment"]
    (tmp_path / "serving.toml").write_text(GATED.format(backend="faulty", fault="sleep:0.001@0"))
    run(clean / "harness", "run", "serving.toml", "--out", "made", cwd=tmp_path)
    (tmp_path / "baseline").mkdir()
    for name in ("trials.jsonl", "run.json"):
        (tmp_path / "made" / name).rename(tmp_path / "baseline" / name)

    def shell(step: str, code: int = 0) -> str:
        more = {"PATH": f"{clean}:{variables()['PATH']}", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
        done = subprocess.run(
            ["bash", "-e", "-c", told[step]], cwd=tmp_path, env={**variables(), **more}, capture_output=True, text=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    shell("measure")
    shell("compare")
    shell("summary")
    assert "0 outcomes changed in 1 cells" in (tmp_path / "summary.md").read_text()
    # the same cell, which now raises: its records are given the name that the baseline knows
    (tmp_path / "serving.toml").write_text(GATED.format(backend="faulty", fault="error@0"))
    (tmp_path / "results" / "now").rename(tmp_path / "results" / "before")
    shell("measure")
    trials = tmp_path / "results" / "now" / "trials.jsonl"
    lines = trials.read_text().splitlines(keepends=True)
    named = [line.replace("error@0", "sleep=0.001@0", 1).replace("error@0", "sleep:0.001@0") for line in lines]
    trials.write_text("".join(named))
    assert "FAILS: faulty@celery-solo-c1-first-task-predict-sleep=0.001@0: ok -> errors" in shell("compare", code=1)
    shell("summary")
    assert "**ok → errors**" in (tmp_path / "summary.md").read_text()
