"""What ends a trial, at which moment, and what takes a proof back: over trials written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.broker import Census
from harness.client.plan import EXIT_BROKER_LOST
from harness.judge.blocked import How
from harness.judge.watchdog import State, Verdict
from harness.observe.looks import ProcessLook
from harness.trial import watcher
from harness.trial.application import Application, Limits
from harness.trial.left import Left
from harness.trial.watcher import Watcher
from harness.worker import contract
from tests import plain_trial, replay
from tests.plain_trial import (
    CHILD,
    IDLE,
    MAIN,
    NEVER_ENDS,
    NO_ANSWER,
    OTHER,
    SETTINGS,
    STANDS,
    START_S,
    Wrote,
    answered,
    begun,
    child,
    ended,
    phase,
    process,
    published,
    ready,
    received,
)  # fmt: skip
from tests.replay import Stored, StoredSite

SLEEPS = (IDLE[0], replace(process(CHILD, "sleep")))


def ends(one: Stored, **changes: Any) -> tuple[Left, float]:
    """What is left, and when the last look was, in seconds from the start."""
    times: list[float] = []

    class Timed(StoredSite):
        def close(self, ended_by: str) -> Any:
            times.append(self.clock_s - self.started_s)
            return super().close(ended_by)

    left, _ = replay.watched(one, Timed, **changes)
    return left, round(times[0] - plain_trial.EVERY_S, 3)  # the watcher sleeps once more


def cut(**limits: float) -> Any:
    return SETTINGS.model_copy(update=limits)


def sends_for_ever(folder: Path, **more: Any) -> Stored:
    return plain_trial.trial(folder, [ready(), child(0.5), phase(0.6, "measure"), *answered(range(600), 0.6, 0.1)], **more)


@pytest.mark.parametrize("limit_s", [1.05, 3.05, 20.05])
def test_the_limit_counts_from_ready_and_ends_the_trial_at_the_first_look_after_it(limit_s: float, tmp_path: Path) -> None:
    left, last_s = ends(sends_for_ever(tmp_path, settings=cut(limit_s=limit_s, ready_limit_s=0.7)))
    assert (left.ended.by, last_s) == ("limit", pytest.approx(0.5 + limit_s + 0.05))


@pytest.mark.parametrize("limit_s", [1.05, 3.05, 20.05])
def test_the_limit_for_becoming_ready_counts_from_the_start(limit_s: float, tmp_path: Path) -> None:
    one = plain_trial.trial(
        tmp_path, [(0.2, contract.IMPORT_BEGIN, -1, MAIN)], settings=cut(ready_limit_s=limit_s, limit_s=0.3)
    )
    left, last_s = ends(one)
    assert (left.ended.by, last_s) == ("ready-limit", pytest.approx(limit_s + 0.05))


@pytest.mark.parametrize("at_s", [0.05, 0.65, 1.25, 3.35])
@pytest.mark.parametrize(
    ("who", "code", "by", "worker_exit", "client_exit"),
    [
        ("worker", 0, "worker-exit", "exit 0", ""),
        ("worker", 7, "worker-exit", "exit 7", ""),
        ("worker", -11, "worker-exit", "SIGSEGV", ""),
        ("client", 0, "client-exit", "", "exit 0"),
        ("client", 1, "client-exit", "", "exit 1"),
        ("client", -9, "client-exit", "", "SIGKILL"),
        ("client", EXIT_BROKER_LOST, "broker-exit", "", "exit 4"),
        ("broker", 1, "broker-exit", "", ""),
    ],
)
def test_a_process_that_ends_at_any_moment_ends_the_trial_at_the_next_look(
    at_s: float, who: str, code: int, by: str, worker_exit: str, client_exit: str, tmp_path: Path
) -> None:
    left, last_s = ends(sends_for_ever(tmp_path, codes={f"{who}_s": at_s, who: code}))
    assert (left.ended.by, last_s) == (by, pytest.approx(at_s + 0.05))
    assert (left.ended.worker_exit, left.ended.client_exit) == (worker_exit, client_exit)


def test_the_load_of_a_baseline_is_its_worker(tmp_path: Path) -> None:
    one = sends_for_ever(tmp_path, codes={"worker_s": 2.0, "worker": 3}, client=False)
    left, _ = ends(one)
    assert (left.ended.by, left.ended.worker_exit, left.ended.client_exit) == ("worker-exit", "exit 3", "")


class EndsMeanwhile(StoredSite):
    """The client writes its last events after they were read, and has ended when its exit code is asked for."""

    def client_code(self) -> int | None:
        if self.clock_s < START_S + 1.95:
            return None
        self.clock_s += 0.01
        return 0


@pytest.mark.parametrize(("at_s", "by"), [(2.005, "done"), (9.0, "client-exit")])
def test_what_a_client_wrote_just_before_it_ended_is_read(at_s: float, by: str, tmp_path: Path) -> None:
    wrote = [ready(), child(0.5), phase(0.6, "measure"), *answered(range(90), 0.6), phase(at_s, "done")]
    left, _ = replay.watched(plain_trial.trial(tmp_path, wrote), EndsMeanwhile)
    assert left.ended.by == by


def test_a_worker_that_is_refused_is_sent_nothing_and_ends_at_once(tmp_path: Path) -> None:
    left, last_s = ends(plain_trial.trial(tmp_path, STANDS, no_consumer="no consumer for queue 'q'"))
    assert (left.ended.by, left.ended.no_consumer) == ("no-consumer", "no consumer for queue 'q'")
    assert last_s == pytest.approx(0.6, abs=0.11)


def test_a_layer_that_cannot_be_built_ends_the_trial(tmp_path: Path) -> None:
    one = plain_trial.trial(tmp_path, [(0.3, contract.UNSUPPORTED, -1, MAIN)])
    (tmp_path / "events" / "unsupported.txt").write_text("LSTM\n")
    left, last_s = ends(one)
    assert (left.ended.by, left.ended.unsupported, last_s) == ("unsupported", "LSTM", pytest.approx(0.4, abs=0.11))


def test_a_broker_that_ended_outweighs_all_but_a_worker_that_is_refused(tmp_path: Path) -> None:
    gone = {"broker_s": 0.1, "broker": 1, "client_s": 0.1, "client": 1, "worker_s": 0.1, "worker": 1}
    left, _ = ends(plain_trial.trial(tmp_path, STANDS, codes=gone))
    assert (left.ended.by, left.ended.client_exit, left.ended.worker_exit) == ("broker-exit", "", "")


# A stall, and whose fault it is


def told(name: str, value: Any) -> dict[str, Any]:
    """A question that has always this answer."""
    return {name: ((START_S, value),)}


def test_a_stall_is_judged_once_nothing_has_moved_for_seven_seconds(tmp_path: Path) -> None:
    left, last_s = ends(plain_trial.trial(tmp_path, STANDS))
    assert left.ended.by == "verdict"
    assert left.ended.verdict is not None
    assert left.ended.verdict.state is State.STALLED
    assert last_s == pytest.approx(7.7, abs=0.15)
    assert left.ended.judged_s is None
    assert left.ended.census == Census(answers=True, messages=0, connections=1)


@pytest.mark.parametrize("wrote", [STANDS, NO_ANSWER])
@pytest.mark.parametrize(
    ("state", "by"),
    [("S", "verdict"), ("", "verdict"), ("R", "limit"), ("T", "client-stopped"), ("t", "client-stopped")],
)
def test_the_client_is_looked_at_before_the_worker_is_blamed(
    wrote: Sequence[Wrote], state: str, by: str, tmp_path: Path
) -> None:
    left, _ = ends(plain_trial.trial(tmp_path, wrote, **told("client_states", state)))
    assert left.ended.by == by


@pytest.mark.parametrize("wrote", [STANDS, NO_ANSWER])
def test_a_broker_that_does_not_answer_is_no_fault_of_the_worker(wrote: Sequence[Wrote], tmp_path: Path) -> None:
    left, _ = ends(plain_trial.trial(tmp_path, wrote, **told("censuses", Census(answers=False))))
    assert (left.ended.by, left.ended.census) == ("broker-silent", Census(answers=False))


@pytest.mark.parametrize(("wrote", "by"), [(STANDS, "verdict"), (NO_ANSWER, "limit")])
def test_a_message_in_the_broker_may_bring_a_lost_answer_and_no_stall_to_an_end(
    wrote: Sequence[Wrote], by: str, tmp_path: Path
) -> None:
    left, _ = ends(plain_trial.trial(tmp_path, wrote, **told("censuses", Census(answers=True, messages=1, connections=1))))
    assert left.ended.by == by


@pytest.mark.parametrize(("log", "after_s"), [("Unrecoverable error: OSError()", 40.0), ("Recoverable error", 3.0), ("", 3.0)])
def test_a_worker_that_is_about_to_end_is_waited_for_as_long_as_celery_may_take(
    log: str, after_s: float, tmp_path: Path
) -> None:
    left, last_s = ends(plain_trial.trial(tmp_path, NO_ANSWER, log=log, settings=cut(limit_s=60.0)))
    assert left.ended.by == "verdict"
    assert last_s == pytest.approx(0.62 + after_s, abs=0.3)


@pytest.mark.parametrize(("died", "after_s"), [(True, 13.0), (False, 3.0)])
def test_the_answer_for_a_dead_child_is_waited_for_as_long_as_billiard_may_take(
    died: bool, after_s: float, tmp_path: Path
) -> None:
    wrote = [*NO_ANSWER, child(0.5, OTHER)]
    pids = (MAIN, CHILD) if died else (MAIN, CHILD, OTHER)
    left, last_s = ends(plain_trial.trial(tmp_path, wrote, pids=lambda at_s: pids, settings=cut(limit_s=60.0)))
    assert (left.ended.by, left.signs.dead) == ("verdict", {OTHER} if died else frozenset())
    assert left.ended.verdict is not None
    assert left.ended.verdict.how is How.LOST
    assert last_s == pytest.approx(0.62 + after_s, abs=0.3)


class Moves(StoredSite):
    """While the broker is asked, an answer comes."""

    def census(self) -> Census:
        if not self.history.client_states:
            self.progress.last_event_s = self.clock_s
        return super().census()


@pytest.mark.parametrize("wrote", [STANDS, NO_ANSWER])
def test_what_moved_while_the_broker_was_asked_takes_the_blame_back(wrote: Sequence[Wrote], tmp_path: Path) -> None:
    left, _ = replay.watched(plain_trial.trial(tmp_path, wrote), Moves)
    assert left.ended.by == "limit"


class Slow(StoredSite):
    """Looking into processes takes time."""

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        found = super().look(closely=closely)
        self.clock_s += 0.01 if closely else 0.0
        return found


def test_what_moved_while_threads_were_looked_at_takes_the_verdict_back(tmp_path: Path) -> None:
    stays, _ = replay.watched(plain_trial.trial(tmp_path / "stays", NEVER_ENDS), Slow)
    assert stays.ended.verdict is not None
    assert stays.ended.judged_s is not None
    meanwhile = [*NEVER_ENDS, ended(stays.ended.judged_s - START_S + 0.005, 4)]
    moves, _ = replay.watched(plain_trial.trial(tmp_path / "moves", meanwhile), Slow)
    assert moves.ended.verdict is not None
    assert (stays.ended.verdict.how, moves.ended.verdict.how) == (How.FUTEX, How.LOST)


# A proof, and what takes it back


def judged(
    verdicts: Sequence[tuple[float, Verdict]], folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: float
) -> tuple[watcher.Seen, float]:
    """A request that never ends, with a judge that says these from these moments on; and the last look."""
    one = plain_trial.trial(folder, NEVER_ENDS, settings=cut(**settings))
    work = replay.assignment(one)
    site = StoredSite(one.history, work)
    monkeypatch.setattr(
        watcher, "judge", lambda looks: [said for at_s, said in verdicts if looks[-1].at_s - START_S >= at_s - 1e-6][-1]
    )
    seen = Watcher(work, site).watch()
    return seen, site.clock_s - START_S - plain_trial.EVERY_S


WORKS = Verdict(state=State.WORKING)
UNSURE = Verdict(state=State.UNDECIDED, reason="cannot tell")
HANGS = Verdict(state=State.HUNG, how=How.FUTEX, since_s=round((START_S + 0.81) * 1e9) * 1e-9)
BEREFT = replace(HANGS, how=How.BEREFT)
PARTLY = replace(HANGS, partial=True)


@pytest.mark.parametrize(("proof", "times"), [(HANGS, 1), (BEREFT, 4)])
@pytest.mark.parametrize("confirm_s", [0.0, 2.0, 5.0])
def test_a_proof_goes_on_record_once_it_has_stood(
    proof: Verdict, times: int, confirm_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, last_s = judged([(0.0, WORKS), (3.0, proof)], tmp_path, monkeypatch, confirm_s=confirm_s)
    assert (seen.ended_by, seen.verdict, seen.withdrawn) == ("verdict", proof, 0)
    assert seen.judged_s == pytest.approx(START_S + 3.1, abs=0.11)
    assert last_s == pytest.approx(seen.judged_s - START_S + times * confirm_s, abs=0.21)


@pytest.mark.parametrize("doubt", [WORKS, UNSURE])
@pytest.mark.parametrize(("doubted_s", "withdrawn"), [(0.3, 0), (1.7, 0), (2.8, 1)])
def test_a_proof_that_cannot_be_seen_for_two_seconds_is_withdrawn(
    doubt: Verdict, doubted_s: float, withdrawn: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [(0.0, WORKS), (3.0, HANGS), (4.0, doubt), (4.0 + doubted_s, HANGS)]
    seen, last_s = judged(told, tmp_path, monkeypatch, confirm_s=6.0)
    assert (seen.ended_by, seen.withdrawn) == ("verdict", withdrawn)
    assert last_s == pytest.approx((4.0 + doubted_s if withdrawn else 3.0) + 6.1, abs=0.21)
    assert seen.judged_s is not None
    assert last_s - (seen.judged_s - START_S) == pytest.approx(6.0, abs=0.21)


def test_a_trial_is_not_cut_off_while_a_proof_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, last_s = judged([(0.0, WORKS), (3.0, HANGS)], tmp_path, monkeypatch, confirm_s=6.0, limit_s=5.0)
    assert (seen.ended_by, last_s) == ("verdict", pytest.approx(9.1, abs=0.21))
    seen, last_s = judged([(0.0, WORKS), (3.0, HANGS), (5.0, WORKS)], tmp_path, monkeypatch, confirm_s=60.0, limit_s=5.0)
    assert (seen.ended_by, seen.withdrawn, last_s) == ("limit", 1, pytest.approx(7.0, abs=0.21))


def test_a_partial_proof_is_kept_and_does_not_end_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = replace(PARTLY, hung=2)
    seen, last_s = judged([(0.0, WORKS), (3.0, PARTLY), (5.0, second), (6.0, WORKS)], tmp_path, monkeypatch, limit_s=9.0)
    assert (seen.ended_by, seen.partial, last_s) == ("limit", PARTLY, pytest.approx(9.6))
    assert seen.judged_s == pytest.approx(START_S + 3.1, abs=0.11)
    assert seen.shown_s is None


def test_a_whole_proof_after_a_partial_one_keeps_the_moment_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, _ = judged([(0.0, WORKS), (3.0, PARTLY), (5.0, HANGS)], tmp_path, monkeypatch)
    assert (seen.ended_by, seen.partial, seen.verdict) == ("verdict", PARTLY, HANGS)
    assert seen.judged_s == pytest.approx(START_S + 3.1, abs=0.11)


def test_workers_that_only_respawn_end_the_trial_once_that_has_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    respawns = Verdict(state=State.RESPAWNING, reason="3 children died")
    seen, last_s = judged([(0.0, WORKS), (3.0, respawns)], tmp_path, monkeypatch, confirm_s=4.0)
    assert (seen.ended_by, seen.verdict, seen.judged_s) == ("verdict", respawns, None)
    assert last_s == pytest.approx(7.1, abs=0.21)


def goes_on(folder: Path, **more: Any) -> Stored:
    """One of two children is stuck for five seconds, while the other serves; then it goes on."""
    wrote = [
        ready(), child(0.5), child(0.5, OTHER), phase(0.6, "measure"), *answered(range(4), 0.6), published(0.8, 4),
        begun(0.81, 4), *answered(range(10, 300), 0.9, 0.05, OTHER), ended(5.81, 4), received(5.82, 4),
    ]  # fmt: skip
    looks = [(0.0, (*IDLE, process(OTHER, "epoll")))]
    cell = replace(plain_trial.CELL, concurrency=2)
    return plain_trial.trial(folder, wrote, cell=cell, looks=looks, pids=lambda at_s: (MAIN, CHILD, OTHER), **more)


@pytest.mark.parametrize(("limit_s", "stands"), [(4.0, True), (8.0, False)])
def test_a_partial_proof_is_withdrawn_when_what_hung_goes_on(limit_s: float, stands: bool, tmp_path: Path) -> None:
    left, _ = ends(goes_on(tmp_path, settings=cut(limit_s=limit_s)))
    assert left.ended.by == "limit"
    assert (left.ended.partial is not None) is stands
    assert (left.ended.judged_s is not None) is stands


def test_any_progress_withdraws_a_proof_that_was_shown(tmp_path: Path) -> None:
    late = [*NEVER_ENDS, ended(6.0, 4), received(6.01, 4), phase(6.1, "done")]
    one = plain_trial.trial(tmp_path, late, settings=cut(confirm_s=10.0), codes={"client_s": 6.5, "client": 0})
    work = replay.assignment(one)
    watching = Watcher(work, StoredSite(one.history, work))
    assert watching.watch().ended_by == "done"
    assert (watching.seen.withdrawn, watching.seen.shown_s) == (1, None)


def respawns(folder: Path, generations: int, **more: Any) -> Stored:
    """Each child is gone after a second, with the request that it has begun."""
    kids = list(range(200, 200 + generations))
    wrote = [ready(0.1), phase(0.2, "first"), published(0.3, 0)]
    wrote += [wrote for place, pid in enumerate(kids) for wrote in (child(0.2 + place, pid), begun(0.3 + place, 0, pid))]
    alive = {pid: place + 1.0 for place, pid in enumerate(kids)}
    return plain_trial.trial(
        folder, wrote, pids=lambda at_s: (MAIN, *(pid for pid in kids if at_s < alive[pid])), looks=[(0.0, IDLE[:1])], **more
    )


def test_three_generations_without_an_answer_are_a_respawn_loop(tmp_path: Path) -> None:
    left, last_s = ends(respawns(tmp_path, 6))
    assert left.ended.verdict is not None
    assert (left.ended.by, left.ended.verdict.state) == ("verdict", State.RESPAWNING)
    assert left.signs.dead == {200, 201, 202}
    assert left.signs.lost == {0}
    assert last_s == pytest.approx(3.5, abs=0.6)


def test_an_answer_among_them_begins_the_count_anew(tmp_path: Path) -> None:
    one = respawns(tmp_path, 4)
    plain_trial.write(tmp_path / "events", [phase(0.2, "first"), published(0.3, 0), published(0.3, 1), received(2.5, 1)])
    left, _ = ends(one)
    assert left.ended.verdict is None or left.ended.verdict.state is not State.RESPAWNING


def test_an_application_with_its_own_limits_is_judged_by_them(tmp_path: Path) -> None:
    limits = Limits(soft_s=5.0, hard_s=7.0, rate_per_s=0.5)
    app = Application(app="a", task="t", python=tmp_path, folder=tmp_path, own_variables={}, rows=tmp_path, limits=limits)
    one = plain_trial.trial(tmp_path, NEVER_ENDS, settings=cut(limit_s=3.0))
    work = replay.assignment(one, application=app)
    watching = Watcher(work, StoredSite(one.history, work))
    watching.watch()
    look = watching.looks[-1]
    assert (look.limit_s, look.rate_limited) == (7.0, True)
    left, _ = ends(one, application=app)
    assert left.rate_interval_s == 2.0
