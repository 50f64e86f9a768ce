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
    raised = "Traceback (most recent call last):\n  File x\ncelery.platforms.SecurityWarning: You're running the worker with"
    log.write_text(raised + ROOT.partition("a worker with")[2].replace("C_FORCE_ROOT", ""))
    assert worker_log.last_line(worker_log.read(log)).startswith("celery.platforms.SecurityWarning: You're running")
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


GIVEN_UP = """[2026-11-28 22:14:46,656: ERROR/ForkPoolWorker-1] Task tasks.predict[f1] raised unexpected: BadInput('three')
Traceback (most recent call last):
  File "/srv/shop/plugin.py", line 8, in score
    raise BadInput("three")
plugin.BadInput: three
[2026-11-28 22:14:46,667: CRITICAL/MainProcess] Unrecoverable error: ModuleNotFoundError("No module named 'plugin'")
Traceback (most recent call last):
  File "/x/lib/python3.11/site-packages/celery/worker/worker.py", line 271, in start
    self.blueprint.start(self)
  File "/x/lib/python3.11/site-packages/celery/concurrency/asynpool.py", line 330, in _recv_message
    {source}
    ^^^^^
ModuleNotFoundError: No module named 'plugin'
[2026-11-28 22:15:17,791: ERROR/MainProcess] Task handler raised error: WorkerLostError('exitcode 0 Job: 8.')
Traceback (most recent call last):
  File "/x/lib/python3.11/site-packages/billiard/pool.py", line 1367, in mark_as_worker_lost
    raise WorkerLostError(
billiard.exceptions.WorkerLostError: Worker exited prematurely: exitcode 0 Job: 8.
[2026-11-28 22:15:17,792: WARNING/MainProcess] Requeuing undeliverable message for queue 'celery': No consumers.
"""  # fmt: skip
GONE = "ModuleNotFoundError: No module named 'plugin'"


@pytest.mark.parametrize(
    ("source", "unread"),
    [
        ("message = load(bufv)", GONE),
        ("message = load(BytesIO(bufv))", GONE),
        ("raise (OSError('End of file during message') if Hr", ""),
    ],
)
def test_what_a_worker_gave_up_for_is_its_last_error_whatever_came_of_it(source: str, unread: str) -> None:
    lines = GIVEN_UP.replace("{source}", source).splitlines()
    assert worker_log.last_error(lines) == GONE
    assert worker_log.unread(lines) == unread


MAIN = "[2026-11-28 10:00:00,000: CRITICAL/MainProcess] Unrecoverable error: OSError()"


@pytest.mark.parametrize(
    "line",
    [
        "[x] Unrecoverable error: says a task",
        "Unrecoverable error: no",
        f"[22:48: WARNING/ForkPoolWorker-1] {MAIN}",
        f"{MAIN}\nx",
    ],
)
def test_a_word_of_a_tasks_own_is_no_sign_that_the_worker_gave_up(line: str) -> None:
    line, *between = line.splitlines()
    after = [*between, "Traceback (most recent call last):", "  File x", "KeyError: 1", *GIVEN_UP.splitlines()[13:]]
    assert worker_log.last_error([line, *after]).startswith("billiard.exceptions.WorkerLostError")
    assert worker_log.unread([line, *after]) == worker_log.unread(None) == ""


AS_ROOT = """/x/y/site-packages/celery/platforms.py:893: SecurityWarning: You're running the worker with superuser privileges:
this is absolutely not recommended!

Please specify a different user using the --uid option.

User information: uid=0 euid=0 gid=0 egid=0

  _warn_or_raise_security_error(egid, euid, gid, uid,
"""
NO_GROUP = """/x/site-packages/celery/platforms.py:870: SecurityWarning: An entry for the specified gid or egid was not found.
We're assuming this is a potential security issue.

  warnings.warn(SecurityWarning(ASSUMING_ROOT), stacklevel=2)
"""


@pytest.mark.parametrize("warning", [AS_ROOT, NO_GROUP + AS_ROOT, AS_ROOT.rpartition("  _warn")[0]])
@pytest.mark.parametrize("after", ["", "model.c: out of handles\n"])
def test_celerys_warning_of_root_is_none_of_a_workers_last_words(warning: str, after: str, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text(f"loading\n{warning}{after}")
    assert worker_log.read(log) == ["loading", *after.splitlines()]
    assert worker_log.last_words(worker_log.read(log)) == " / ".join(["loading", *after.splitlines()])


def test_a_look_for_the_warning_of_root_ends_in_a_log_of_any_kind(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text("platforms.py:1: SecurityWarning: no\n" * 1000 + "x" * 2_000_000 + "\n" * 1000)
    lines = worker_log.read(log)
    assert lines is not None
    assert len(lines) == 1001


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[2026-11-28 22:16:48,994: WARNING/MainProcess] Got shutdown from remote", "control command"),
        ("worker: Warm shutdown (MainProcess)", "signal"),
        ("a task says: Got shutdown from remote", ""),
        ("[1: WARNING/ForkPoolWorker-1] [2: WARNING/MainProcess] Got shutdown from remote", ""),
        ("a task says: worker: Warm shutdown (MainProcess)", ""),
        ("ready", ""),
    ],
)
def test_who_asked_a_worker_to_end_is_read_of_its_log(line: str, words: str) -> None:
    found = worker_log.asked(["loading", line, "the end"])
    assert bool(found) is bool(words)
    assert words in found
    assert worker_log.asked(None) == ""


@pytest.mark.parametrize(
    ("line", "queue"),
    [
        ("[1: WARNING/MainProcess] Restoring undeliverable message for queue 'own': No consumers", "own"),
        ("undeliverable message for somebody", ""),
    ],
)
def test_that_a_queue_was_not_consumed_is_read_of_its_log(line: str, queue: str) -> None:
    assert worker_log.paused(["ready", line, "the end"]) == queue
    assert worker_log.paused(None) == ""


def test_what_eventlet_always_says_is_none_of_a_workers_last_words(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    log.write_text(
        "/x/celery/__init__.py:104: EventletDeprecationWarning: \nEventlet is deprecated. We recommend\n\nsee\n"
        "https://eventlet.readthedocs.io/en/latest/asyncio/migration.html\n\n  import eventlet.debug\n"
        "1 RLock(s) were not greened, to fix this error make sure you run eventlet.monkey_patch() before importing.\n"
        "loading\n"
    )
    assert worker_log.last_words(worker_log.read(log)) == "loading"
