"""The archive of somebody's own application, unpacked elsewhere: its script ends as the probe did, without the harness."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from harness.environments import Environment
from tests.integration.conftest import Harness

TASKS = """
import os

from celery import Celery

for name in ("BROKER_URL", "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):  # as a .env file that is read by hand
    os.environ[name] = "redis://nobody.example/0"
app = Celery("acme", broker="redis://nobody.example/0")  # where no broker is


@app.task(ignore_result=True)
def quote(n):
    if n == 5:
        raise ValueError("no quote for %d at %s" % (n, os.environ["ACME_RATE"]))
    return 2 * n
"""


def test_the_script_of_an_application_s_archive_ends_as_the_probe_did(
    harness: Harness, celery_environment: Environment, tmp_path: Path
) -> None:
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "acmetasks.py").write_text(TASKS)
    (tmp_path / "rows.json").write_text(json.dumps([[3], {"n": 5}]))
    (tmp_path / "acme.env").write_text("ACME_RATE=7\n")
    ran = harness(
        "bundle", "--app", "acmetasks:app", "--task", "acmetasks.quote", "--args", "rows.json", "--cwd", "acme", "--env-file",
        "acme.env", "--python", celery_environment.python, "--pools", "solo", "--noise-limit", 100, "--run", "probed",
        "--with-source", "--out", "case.tar.gz",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (tmp_path / "acme").rename(tmp_path / "gone")
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(["tar", "-xzf", tmp_path / "case.tar.gz", "-C", tmp_path / "elsewhere"], check=True)
    (folder,) = (tmp_path / "elsewhere").iterdir()
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    alone = subprocess.run(
        [celery_environment.python, "reproduce.py", "--requests", "6"], cwd=folder, env={**kept, "PATH": os.defpath},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "outcome: errors (3 x ValueError: no quote for 5 at 7)" in alone.stdout, alone.stdout + alone.stderr
    assert alone.returncode == 0
