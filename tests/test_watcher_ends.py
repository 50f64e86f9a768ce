"""What ends a trial, at which moment, and who is blamed for a stall: over trials written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.broker import Census
from harness.client.plan import EXIT_BROKER_LOST
from harness.judge.blocked import How
from harness.judge.outcome import classify
from harness.judge.watchdog import State
from harness.observe.looks import ProcessLook
from harness.records.cpu import Cpu
from harness.records.outcomes import Outcome
from harness.run import observed
from harness.trial.watcher import LET_GO_S
from harness.worker import contract
from tests import plain_trial, replay
from tests.plain_trial import (
    CHILD,
    IDLE,
    MAIN,
    NEVER_ENDS,
    NO_ANSWER,
    OTHER,
    STANDS,
    START_S,
    Wrote,
    answered,
    begun,
    child,
    cut,
    ended,
    ends,
    phase,
    process,
    published,
    ready,
    received,
)
from tests.replay import Stored, StoredSite


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
        ("client", EXIT_BROKER_LOST, "broker-cut", "", "exit 4"),
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


@pytest.mark.parametrize(
    ("codes", "last_s"),
    [
        ({}, 3.0 + LET_GO_S),  # a thread keeps the process
        ({"worker_s": 3.5, "worker": 0}, 3.5),
        ({"worker_s": 3.5, "worker": -14}, 3.5),  # Python restores what SIGALRM does while a timer is armed
        ({"worker_s": 3.5, "worker": -11}, 3.5),
        ({"worker_s": 9.5, "worker": -11}, 3.0 + LET_GO_S),
    ],
)
def test_calls_that_were_all_made_are_done_however_their_process_ends(
    codes: dict[str, float | int | None], last_s: float, tmp_path: Path
) -> None:
    wrote = [ready(), phase(0.6, "measure"), *answered(range(20), 0.6, 0.1), phase(3.0, "done")]
    left, at_s = ends(plain_trial.trial(tmp_path, wrote, codes=codes, client=False))
    assert (left.ended.by, left.ended.worker_exit, at_s) == ("done", "", pytest.approx(last_s, abs=0.21))


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


class Breeds(StoredSite):
    """A worker whose children die before they can say anything: another one every second."""

    def children(self) -> frozenset[int]:
        return frozenset({2000 + int(self.clock_s - START_S)})


@pytest.mark.parametrize(("pool", "state"), [("prefork", State.RESPAWNING), ("threads", State.STALLED)])
def test_children_that_die_unheard_are_counted_by_the_kernel(pool: str, state: State, tmp_path: Path) -> None:
    one = plain_trial.trial(
        tmp_path, [ready(), phase(0.6, "measure"), published(0.6, 0)], looks=[(0.0, IDLE[:1])],
        cell=replace(plain_trial.CELL, pool=pool),
    )  # fmt: skip
    left, _ = replay.watched(one, Breeds)
    assert left.ended.verdict is not None
    assert left.ended.verdict.state is state
    assert bool(left.signs.dead) is (pool == "prefork")


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


@pytest.mark.parametrize("first_s", [0.02, 20.0])
def test_a_slow_first_load_does_not_excuse_a_later_silence(first_s: float, tmp_path: Path) -> None:
    """A thread sleeps in turns beside the request that never ends, so that nothing is proved."""
    at_s = 0.6 + first_s
    wrote = [
        ready(), child(0.5), phase(0.55, "warmup"), published(0.6, 0), begun(0.6, 0), ended(at_s, 0), received(at_s, 0),
        phase(at_s, "measure"), published(at_s, 1), begun(at_s, 1),
    ]  # fmt: skip
    beside = (process(MAIN, "epoll"), process(CHILD, "futex", "sleep"))
    left, _ = ends(plain_trial.trial(tmp_path, wrote, looks=[(0.0, beside)], settings=cut(limit_s=45.0)))
    outcome, reason = classify(observed.observations(left, None, Cpu()))
    assert (left.ended.by, outcome) == ("limit", Outcome.WAITING)
    assert "waits in sleep, which may still end" in reason
