"""What a trial does beside watching: an interrupt at any look, what evidence is of, a site that is closed whatever breaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.judge.watchdog import State, Verdict
from harness.measure.monitor import Sample
from harness.observe.diagnosis import Evidence
from harness.records.outcomes import Outcome
from harness.run.one_trial import with_log
from harness.trial.assignment import Assignment
from harness.trial.trial import STANDING, Trial, keep_evidence
from harness.trial.watcher import Seen
from harness.trial.worker_log import last_error, last_line, last_words, read
from tests import handmade, plain_trial, replay
from tests.plain_trial import CHILD, MAIN, NEVER_ENDS, OTHER, Listening
from tests.replay import NAMES, StoredSite


@pytest.mark.parametrize("name", NAMES)
def test_stacks_of_what_stands_the_log_of_what_ended_and_nothing_of_what_is_done(name: str) -> None:
    played = replay.once(name)
    end, folder, known = played.left.ended, played.folder / "evidence" / "one", played.stored.history.evidence
    if end.by == "done":
        assert end.evidence is None
    elif end.by in STANDING:
        assert end.evidence == replace(known or Evidence(path=folder), path=folder / "stacks.txt")
    else:
        assert end.evidence == Evidence(path=folder / "worker.log")
        assert (folder / "worker.log").read_text() == (played.folder / "worker.log").read_text()


@pytest.mark.parametrize(("partial", "kept"), [(Verdict(state=State.HUNG, pids=(CHILD,), partial=True), True), (None, False)])
def test_what_hangs_in_part_still_stands_when_the_load_is_done(partial: Verdict | None, kept: bool, tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    work = replay.assignment(one)
    found = keep_evidence(work, StoredSite(one.history, work), Seen(ended_by="done", partial=partial))
    assert (found is not None) is kept
    assert found is None or found.path.name == "stacks.txt"


@pytest.mark.parametrize("look", [1, 2, 5, 8])
@pytest.mark.parametrize("name", ["ok-prefork", "hung-deadlock-threads", "crashed-signal-11-prefork", "slow-threads"])
def test_an_interrupt_at_any_look_takes_no_evidence_and_leaves_the_earlier_one(name: str, look: int, tmp_path: Path) -> None:
    earlier = tmp_path / "evidence" / "one" / "stacks.txt"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("of an earlier try")
    looks = iter(range(1, 1000))
    left, site = replay.watched(replay.stored(name, tmp_path), interrupted=lambda: next(looks) >= look)
    assert (left.interrupted, left.ended.by, left.ended.evidence) == (True, "interrupted", None)
    assert site.asked[-1] == "close interrupted"
    assert "evidence" not in site.asked
    assert earlier.read_text() == "of an earlier try"
    assert next(looks) == look + 1


@pytest.mark.parametrize("name", NAMES)
def test_a_trial_that_was_not_interrupted_says_so(name: str) -> None:
    assert not replay.once(name).left.interrupted


@pytest.mark.parametrize("name", ["hung-deadlock-threads", "ok-prefork", "crashed-exit-3-solo"])
def test_what_an_earlier_try_kept_makes_way(name: str, tmp_path: Path) -> None:
    earlier = tmp_path / "evidence" / "one" / "stacks-of-before.txt"
    earlier.parent.mkdir(parents=True)
    earlier.write_text("old")
    replay.watched(replay.stored(name, tmp_path))
    assert not earlier.exists()


def test_the_processes_that_hang_are_looked_at_first(tmp_path: Path) -> None:
    _, site = replay.watched(plain_trial.trial(tmp_path, NEVER_ENDS), Listening)
    assert isinstance(site, Listening)
    assert site.of("evidence") == [(CHILD,)]


def test_where_some_hang_and_the_trial_is_cut_off_those_are_looked_at_first(tmp_path: Path) -> None:
    others = plain_trial.answered(range(10, 700), 0.9, each_s=0.05, pid=OTHER)
    one = plain_trial.trial(
        tmp_path,
        [*NEVER_ENDS, plain_trial.child(0.5, OTHER), *others],
        cell=replace(plain_trial.CELL, concurrency=2),
        settings=plain_trial.SETTINGS.model_copy(update={"limit_s": 5.0}),
        pids=lambda at_s: (MAIN, CHILD, OTHER),
    )
    left, site = replay.watched(one, Listening)
    assert isinstance(site, Listening)
    assert (left.ended.by, site.of("evidence")) == ("limit", [(CHILD,)])
    assert left.ended.partial is not None
    assert (left.ended.partial.hung, left.ended.partial.executors) == (1, 2)


def test_at_a_limit_without_a_verdict_what_is_overdue_is_looked_at_first(tmp_path: Path) -> None:
    left, site = replay.watched(replay.stored("refused-not-ready-threads", tmp_path), Listening)
    assert isinstance(site, Listening)
    assert left.ended.verdict is not None
    assert left.ended.verdict.state is State.UNDECIDED
    assert site.of("evidence") == [left.ended.verdict.pids] != [()]


class Breaks(StoredSite):
    """A site at which a look fails."""

    def now(self) -> float:
        if self.clock_s > self.started_s + 1.0:
            raise OSError("no such process")
        return super().now()

    def close(self, ended_by: str) -> Sample | None:
        self.asked.append(f"close {ended_by!r}")
        return None


def test_a_site_is_closed_whatever_breaks(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    made: list[Breaks] = []

    def site(work: Assignment) -> Breaks:
        made.append(Breaks(one.history, work))
        return made[0]

    with pytest.raises(OSError, match="no such process"):
        Trial(replay.assignment(one), site).run()
    assert made[0].asked == ["settled", "go", "close ''"]


@pytest.mark.parametrize("name", ["ok-prefork", "hung-deadlock-solo", "crashed-exit-3-solo", "slow-threads"])
def test_the_last_sample_is_that_of_the_closing_or_else_that_of_the_last_look(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    samples = [sample for _, sample in one.history.samples]
    without, _ = replay.watched(one.changed(last=None))
    closing = replace(samples[0], at_s=9e9)
    assert without.machine.last in samples[1:]
    assert replay.watched(one.changed(last=closing))[0].machine.last == closing


@pytest.mark.parametrize("name", ["ok-prefork", "hung-deadlock-solo", "crashed-exit-3-solo"])
def test_kills_for_memory_are_counted_of_every_trial(name: str, tmp_path: Path) -> None:
    left, _ = replay.watched(replay.stored(name, tmp_path).changed(oom_kills=3, oom_counted="here"))
    assert (left.ended.oom_kills, left.ended.oom_counted) == (3, "here")
    assert replay.once(name).left.ended.oom_kills == replay.once(name).stored.history.oom_kills


@pytest.mark.parametrize(
    ("log", "line"),
    [("one\ntwo\n", "two"), ("one\n  two  \n\n   \n", "two"), (" \n\n", "the log is empty"), ("é" * 400, "é" * 300)],
)
def test_the_last_line_of_the_log_that_says_something(log: str, line: str, tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    (tmp_path / "worker.log").write_text(log)
    assert last_line(read(replay.assignment(one).log)) == line


TRACEBACK = "Traceback (most recent call last):"


@pytest.mark.parametrize(
    ("log", "error"),
    [
        (f"one\n{TRACEBACK}\n  File x\n    y()\nValueError: no\n[2026 ERROR] child exited\n", "ValueError: no"),
        (f"{TRACEBACK}\n  a\nKeyError: 1\n{TRACEBACK}\n  a\nOSError: 2\nx", "OSError: 2"),
        (f"{TRACEBACK}\n  cut off", ""),
        (f'{TRACEBACK}\n  File "/srv/shop/tasks.py", line 11, in <module>\n    load()\n'
         '  File "/x/lib/python3.11/site-packages/m.py", line 3, in load\nValueError: no\n', "ValueError: no (tasks.py:11)"),
        ("no\nerror", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_last_exception_of_the_log_is_kept(log: str, error: str, tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    (tmp_path / "worker.log").write_text(log)
    assert last_error(read(replay.assignment(one).log)) == error


BANNER = """ -------------- harness@vm v5.7.0 (collider)
--- ***** -----
-- ******* ---- Linux-6.1 2026-11-27 02:40:53
- *** --- * ---
- ** ---------- [config]
- ** ---------- .> app:         tasks:0x7f17593ac590
-- ******* ---- .> task events: OFF (enable -E to monitor tasks in this worker)
 -------------- [queues]
                .> celery           exchange=celery(direct) key=celery


"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (BANNER, ""),
        ("", ""),
        (f"{BANNER}x is terminating: Concurrent access.\n\n - It is not safe.\n - Try another.\n",
         "x is terminating: Concurrent access. / - It is not safe. / - Try another."),
        (f"{BANNER}one\ntwo\nthree\nfour\n", "two / three / four"),
        ("phase first\nloading weights\nphase warmup\n", "loading weights"),
        ("phase first\nphase warmup\n", ""),
    ],
)  # fmt: skip
def test_the_last_words_of_the_log_are_what_a_library_says_before_it_ends_the_process(
    log: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "worker.log").write_text(log)
    assert last_words(read(tmp_path / "worker.log")) == words


def test_a_fatal_error_is_the_last_error(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text(f"{BANNER}Fatal Python error: Segmentation fault\n\nThread 0x1:\n  File x, line 1\n")
    assert last_error(read(tmp_path / "worker.log")) == "Fatal Python error: Segmentation fault"


def test_a_fatal_error_that_somebody_logs_is_none(tmp_path: Path) -> None:
    (tmp_path / "worker.log").write_text(f"{BANNER}Fatal Python error: deadlock\nlooked at: Fatal Python error: deadlock\n")
    assert last_error(read(tmp_path / "worker.log")) == ""


def test_a_log_of_broken_text_can_be_read(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    (tmp_path / "worker.log").write_bytes(b"fine\n\xff broken")
    assert last_line(read(replay.assignment(one).log)) == "\ufffd broken"


@pytest.mark.parametrize(
    ("outcome", "evidence", "kept"),
    [
        (Outcome.ERRORS, "", "evidence/one/worker.log"),
        (Outcome.ERRORS, "evidence/one/stacks.txt", "evidence/one/stacks.txt"),
        (Outcome.OK, "", ""),
        (Outcome.SKIPPED, "", ""),
    ],
)
def test_what_did_not_end_well_keeps_the_log_if_it_has_no_other_evidence(
    outcome: Outcome, evidence: str, kept: str, tmp_path: Path
) -> None:
    work = replay.assignment(replay.stored("errors-load-prefork", tmp_path))
    work.log.write_text("ValueError: no")
    record = with_log(handmade.record(cell_id="one", outcome=outcome, evidence=evidence), work, work.evidence.parent.parent)
    assert record.ended.evidence == kept
    assert not kept.endswith(".log") or (work.evidence / "worker.log").read_text() == "ValueError: no"
