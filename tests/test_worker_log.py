"""What is read of a worker's log."""

from __future__ import annotations

from pathlib import Path

from harness.trial import worker_log

ROOT = """
Running a worker with superuser privileges when the
worker accepts messages serialized with pickle is a very bad idea!

If you really want to continue then you have to set the C_FORCE_ROOT
environment variable (but please think about this before you do).

User information: uid=0 euid=0 gid=0 egid=0

"""


def test_why_celery_does_not_run_as_root_is_told_and_not_how_it_ends(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text(ROOT)
    assert worker_log.last_line(log) == worker_log.NO_ROOT
    log.write_text(f"{ROOT}ValueError: no model\n")
    assert worker_log.last_line(log) == "ValueError: no model"
