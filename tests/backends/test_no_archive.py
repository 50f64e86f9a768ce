"""What has no archive: no cell of that name, and no worker of a real backend."""

from __future__ import annotations

from pathlib import Path

from tests.integration.conftest import block, experiment, run_harness


def test_what_cannot_be_packed_is_said(tmp_path: Path) -> None:
    run_harness(tmp_path, "run", experiment(tmp_path, block("null", "solo")), "--out", "run")
    missing = run_harness(tmp_path, "bundle", "nothing", "--run", "run")
    assert (missing.returncode, "has no cell 'nothing'" in missing.stderr) == (3, True), missing.stderr
    control = run_harness(tmp_path, "bundle", "null@celery-solo-c1-first-task-predict", "--run", "run")
    assert (control.returncode, "no worker of a real backend" in control.stderr) == (3, True), control.stderr
