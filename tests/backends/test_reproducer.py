"""An archive of a cell, unpacked elsewhere: its script alone, without the harness, ends as the cell did."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

from harness import environments
from tests.integration.conftest import ROOT, block, experiment, run_harness

# how others use the cores is not what is tested
QUIET = "measure_s = 0.5\nstable_limit_s = 0.2\nrequests = 10\nconfirm_s = 2.0\nnoise_limit = 100.0\ncontrols = false"


def run_quick(folder: Path, cell: str) -> None:
    """Run cells of the shipped experiment, in short."""
    shipped = (ROOT / "experiments" / "quick.toml").read_text()
    settings, count = re.subn(r"measure_s = .*\nrequests = .*", QUIET, shipped)
    assert count == 1
    (folder / "short.toml").write_text(settings)
    ran = run_harness(folder, "run", "short.toml", "--select", cell, "--out", "run", limit_s=600)
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("cell", "outcome"),
    [
        ("tensorflow2-prefork-c2-import-predict", "hung"),
        ("tensorflow1-threads-c2-import-predict", "errors"),
        ("theano-prefork-c2-import-predict", "ok"),
    ],
)
def test_the_script_of_an_archive_ends_as_the_cell_did(cell: str, outcome: str, tmp_path: Path) -> None:
    run_quick(tmp_path, cell)
    ran = run_harness(tmp_path, "bundle", cell, "--run", "run")
    assert ran.returncode == 0, ran.stderr
    elsewhere = tmp_path / "elsewhere"
    with tarfile.open(tmp_path / f"run/{cell}.tar.gz") as archive:
        archive.extractall(elsewhere, filter="data")
    folder = elsewhere / cell
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


def test_what_cannot_be_packed_is_said(tmp_path: Path) -> None:
    run_harness(tmp_path, "run", experiment(tmp_path, block("null", "solo")), "--out", "run")
    missing = run_harness(tmp_path, "bundle", "nothing", "--run", "run")
    assert (missing.returncode, "has no cell 'nothing'" in missing.stderr) == (3, True), missing.stderr
    control = run_harness(tmp_path, "bundle", "null@celery-solo-c1-first-task-predict", "--run", "run")
    assert (control.returncode, "no worker of a real backend" in control.stderr) == (3, True), control.stderr
