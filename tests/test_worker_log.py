"""What is read of a worker's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.observe import diagnosis
from harness.records.ends import ends
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
    assert worker_log.last_line(worker_log.read(log)) == worker_log.NO_ROOT
    log.write_text(f"{ROOT}ValueError: no model\n")
    assert worker_log.last_line(worker_log.read(log)) == "ValueError: no model"


def test_of_a_huge_log_both_ends_are_read_and_no_traceback_goes_on_behind_the_middle(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with open(log, "wb") as file:  # sparse: nobody who read it whole would come to its end
        file.write(b"Loky-backed parallel loops cannot be called in a x, setting n_jobs=1\n")
        file.write(b"Traceback (most recent call last):\n" + b'  File "/srv/tasks.py", line 1, in load\n' * 30_000)
        file.seek(1 << 40)
        file.write(b"half a line\nValueError is a word\nthe end\n")
    lines = worker_log.read(log)
    assert worker_log.serial(lines).endswith("setting n_jobs=1")
    assert worker_log.last_error(lines) == ""
    assert worker_log.last_line(lines) == "the end"
    assert diagnosis.log_tail(log).endswith("the end\n")
    assert len(diagnosis.log_tail(log)) == diagnosis.LOG_TAIL_BYTES


def test_of_a_long_line_the_beginning_is_looked_at_and_a_log_of_one_line_has_a_last_line(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("x" * (worker_log.FIRST_BYTES + worker_log.LAST_BYTES + 1))
    lines = worker_log.read(log)
    assert lines is not None
    assert [len(line) for line in lines] == [worker_log.LOOKED_AT, len(worker_log.GAP), worker_log.LOOKED_AT]
    assert set(worker_log.last_line(lines)) == {"x"}


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [(2, 3, (b"ab", b"fgh")), (0, 3, (b"", b"fgh")), (6, 5, (b"abcdef", b"gh")), (9, 9, (b"abcdefgh", b""))],
)
def test_the_ends_of_a_file_do_not_overlap(first: int, last: int, found: tuple[bytes, bytes], tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(b"abcdefgh")
    assert ends(tmp_path / "one", first=first, last=last) == found
    assert ends(tmp_path / "none", first=first, last=last) == (b"", b"")
