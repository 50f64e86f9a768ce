"""Real cells: each Keras, and an engine without, served by real Celery workers; and the famous question.

Of some, an archive is unpacked elsewhere: its script alone, without the harness, ends as the cell did.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from harness import environments
from tests.backends.test_contract import environment
from tests.integration.conftest import cells, run_harness

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


#: cells whose archives are tried
ARCHIVED = {
    "tensorflow2-prefork-c2-import-predict": "hung",
    "tensorflow1-threads-c2-import-predict": "errors",
    "theano-prefork-c2-import-predict": "ok",
}


@pytest.fixture(scope="session")
def run_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of this cell alone; each cell is run once."""

    @cache
    def of(cell: str) -> Path:
        backend = cell.partition("-")[0]
        environment(backend)
        folder = tmp_path_factory.mktemp("cell")
        name = f"{EXPERIMENTS.get(backend, 'quick')}.toml"
        shipped = (Path(__file__).resolve().parents[2] / "experiments" / name).read_text()
        patient = re.sub(
            r"(?m)^(warmup_)?limit_s = .*$", r"\1limit_s = 200.0", shipped
        )  # a cold cache is filled in the first request
        (folder / "one.toml").write_text(
            patient.replace(
                "measure_s = 3.0",
                "measure_s = 0.5\nstable_limit_s = 0.2\nconfirm_s = 2.0\nnoise_limit = 100.0\ncontrols = false",
            )
        )
        done = run_harness(folder, "run", "one.toml", "--select", cell, "--out", "run", limit_s=600)
        assert done.returncode == 0, done.stderr
        return folder / "run"

    return of


@pytest.mark.parametrize(("cell", "outcome", "word"), CELLS)
def test_a_real_cell_ends_as_it_truly_does(cell: str, outcome: str, word: str, run_of: Callable[[str], Path]) -> None:
    run = run_of(cell)
    row = cells(run).iloc[0]
    assert row["outcome"] in outcome.split("|"), row["reason"]
    assert word in row["reason"]
    if outcome.startswith("ok"):
        assert row["ok"] == row["requests"]
        assert row["ok"] >= 30
    if outcome == "hung":
        assert (run / row["evidence"]).read_text().count("Thread") >= 1


@pytest.mark.parametrize(("cell", "outcome"), ARCHIVED.items())
def test_the_script_of_an_archive_ends_as_the_cell_did(
    cell: str, outcome: str, run_of: Callable[[str], Path], tmp_path: Path
) -> None:
    run = run_of(cell)
    ran = run_harness(run.parent, "bundle", cell, "--run", "run")
    assert ran.returncode == 0, ran.stderr
    subprocess.run(["tar", "-xzf", run / f"{cell}.tar.gz", "-C", tmp_path], check=True)
    folder = tmp_path / cell
    for path in folder.glob("*.py"):
        assert not re.search(r"^\s*(import|from) harness", path.read_text(), re.MULTILINE), path
    assert json.loads((folder / "cell.json").read_text())["outcome"] == outcome
    assert (outcome != "ok") == (folder / "evidence").exists()
    python = environments.prepare(cell.partition("-")[0]).python
    kept = ("HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
    variables = {name: os.environ[name] for name in kept if name in os.environ} | {"PATH": os.defpath}
    alone = subprocess.run(
        [python, "reproduce.py", "--requests", "10"], cwd=folder, env=variables, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert f"outcome: {outcome}" in alone.stdout, alone.stdout + alone.stderr
    assert alone.returncode == 0
