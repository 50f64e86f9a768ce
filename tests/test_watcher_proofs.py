"""When a proof goes on record, what takes it back, and dead children: over trials written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.judge.blocked import How
from harness.judge.watchdog import State, Verdict
from harness.trial import watcher
from harness.trial.application import Application, Limits
from harness.trial.watcher import Watcher
from tests import plain_trial, replay
from tests.plain_trial import (
    CHILD,
    IDLE,
    MAIN,
    NEVER_ENDS,
    OTHER,
    START_S,
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


def judged(
    verdicts: Sequence[tuple[float, Verdict]], folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: float
) -> tuple[watcher.Seen, float]:
    """A request that never ends, with a judge that says these from these moments on; and the last look."""
    seen, last_s, _ = heard(verdicts, folder, monkeypatch, **settings)
    return seen, last_s


def heard(
    verdicts: Sequence[tuple[float, Verdict]], folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: float
) -> tuple[watcher.Seen, float, list[tuple[float, str]]]:
    """Likewise, and what was said to the person who waits, and when."""
    one = plain_trial.trial(folder, NEVER_ENDS, settings=cut(**settings))
    said: list[tuple[float, str]] = []
    work = replay.assignment(one, say=lambda text: said.append((site.clock_s - START_S, text)))
    site = StoredSite(one.history, work)
    monkeypatch.setattr(
        watcher, "judge", lambda looks: [told for at_s, told in verdicts if looks[-1].at_s - START_S >= at_s - 1e-6][-1]
    )
    seen = Watcher(work, site).watch()
    return seen, site.clock_s - START_S - plain_trial.EVERY_S, said


WORKS = Verdict(state=State.WORKING)
UNSURE = Verdict(state=State.UNDECIDED, reason="cannot tell")
HANGS = Verdict(state=State.HUNG, how=How.FUTEX, since_s=round((START_S + 0.81) * 1e9) * 1e-9)
BEREFT, SPINS = replace(HANGS, how=How.BEREFT), replace(HANGS, how=How.SPIN)
PARTLY = replace(HANGS, partial=True)


@pytest.mark.parametrize(("proof", "times"), [(HANGS, 1), (BEREFT, 4), (SPINS, 4)])
@pytest.mark.parametrize("confirm_s", [0.0, 2.0, 5.0])
def test_a_proof_goes_on_record_once_it_has_stood(
    proof: Verdict, times: int, confirm_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, last_s = judged([(0.0, WORKS), (3.0, proof)], tmp_path, monkeypatch, confirm_s=confirm_s)
    assert (seen.ended_by, seen.verdict, seen.withdrawn) == ("verdict", proof, [])
    assert seen.judged_s == pytest.approx(START_S + 3.1, abs=0.11)
    assert last_s == pytest.approx(seen.judged_s - START_S + times * confirm_s, abs=0.21)


def test_a_proof_is_told_at_once_and_so_is_that_it_does_not_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = replace(HANGS, reason="2 of 2 processes stand still")
    _, _, said = heard([(0.0, WORKS), (3.0, proof)], tmp_path / "a", monkeypatch, confirm_s=6.0)
    assert [text for _, text in said] == [
        "hung: 2 of 2 processes stand still. This is proved, and goes on record if it stands for 6 s"
    ]
    assert said[0][0] == pytest.approx(3.1, abs=0.21)
    told = [(0.0, WORKS), (3.0, proof), (5.0, UNSURE)]
    _, _, said = heard(told, tmp_path / "b", monkeypatch, confirm_s=60.0, limit_s=9.0)
    assert [text for _, text in said[1:]] == ["the proof does not stand: it was not seen any more: cannot tell"]
    _, _, said = heard([(0.0, WORKS), (3.0, proof)], tmp_path / "c", monkeypatch, confirm_s=0.0)
    assert said == []


@pytest.mark.parametrize("doubt", [WORKS, UNSURE])
@pytest.mark.parametrize(("doubted_s", "lapses"), [(0.3, False), (1.7, False), (2.8, True)])
def test_a_proof_that_is_not_seen_for_two_seconds_is_confirmed_anew(
    doubt: Verdict, doubted_s: float, lapses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [(0.0, WORKS), (3.0, HANGS), (4.0, doubt), (4.0 + doubted_s, HANGS)]
    seen, last_s = judged(told, tmp_path, monkeypatch, confirm_s=6.0)
    assert (seen.ended_by, seen.withdrawn) == ("verdict", [])  # it was right all the time
    assert last_s == pytest.approx((4.0 + doubted_s if lapses else 3.0) + 6.1, abs=0.21)
    assert seen.judged_s is not None
    assert last_s - (seen.judged_s - START_S) == pytest.approx(6.0, abs=0.21)


@pytest.mark.parametrize("doubt", [WORKS, UNSURE])
def test_a_proof_that_is_never_seen_again_is_withdrawn_and_says_why(
    doubt: Verdict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [(0.0, WORKS), (3.0, HANGS), (5.0, doubt)]
    seen, _ = judged(told, tmp_path, monkeypatch, confirm_s=60.0, limit_s=9.0)
    assert (seen.ended_by, len(seen.withdrawn)) == ("limit", 1)
    assert seen.withdrawn[0].startswith("for 1.7 s it was held proved: ")
    assert seen.withdrawn[0].endswith(f"; then it was not seen any more: {doubt.reason or 'it works'}")


def test_a_trial_is_not_cut_off_while_a_proof_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, last_s = judged([(0.0, WORKS), (3.0, HANGS)], tmp_path, monkeypatch, confirm_s=6.0, limit_s=5.0)
    assert (seen.ended_by, last_s) == ("verdict", pytest.approx(9.1, abs=0.21))
    seen, last_s = judged([(0.0, WORKS), (3.0, HANGS), (5.0, WORKS)], tmp_path, monkeypatch, confirm_s=60.0, limit_s=5.0)
    assert (seen.ended_by, len(seen.withdrawn), last_s) == ("limit", 1, pytest.approx(7.0, abs=0.21))


def test_a_partial_proof_is_kept_and_does_not_end_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = replace(PARTLY, hung=2)
    seen, last_s = judged([(0.0, WORKS), (3.0, PARTLY), (5.0, second), (6.0, WORKS)], tmp_path, monkeypatch, limit_s=9.0)
    assert (seen.ended_by, seen.partial, last_s) == ("limit", PARTLY, pytest.approx(9.6))
    assert seen.judged_s == pytest.approx(START_S + 3.1, abs=0.11)
    assert seen.shown_s is None


def test_a_partial_proof_counts_only_once_it_has_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [(0.0, WORKS), (7.0, PARTLY)]
    seen, _ = judged(told, tmp_path, monkeypatch, confirm_s=2.0, limit_s=12.0)
    assert (seen.ended_by, seen.partial) == ("limit", PARTLY)
    seen, _ = judged(told, tmp_path, monkeypatch, confirm_s=15.0, limit_s=12.0)
    assert (seen.ended_by, seen.partial, seen.judged_s) == ("limit", None, None)


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
    _, _, said = heard([(0.0, WORKS), (3.0, respawns)], tmp_path / "told", monkeypatch, confirm_s=4.0)
    assert [text.partition(". This is proved")[0] for _, text in said] == ["respawning: 3 children died"]
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
    assert (len(watching.seen.withdrawn), watching.seen.shown_s) == (1, None)


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
    assert len(left.signs.dead) == 4
    assert left.ended.verdict is not None
    assert left.ended.verdict.state is not State.RESPAWNING


def test_an_application_with_its_own_limits_is_judged_by_them(tmp_path: Path) -> None:
    limits = Limits(soft_s=5.0, hard_s=7.0, rate_per_s=0.5, put_off_s=9.0)
    app = Application(
        app="a", tasks=("t",), python=tmp_path, folder=tmp_path, own_variables={}, rows=tmp_path, limits_of=(limits,)
    )
    one = plain_trial.trial(tmp_path, NEVER_ENDS, settings=cut(limit_s=3.0))
    work = replay.assignment(one, application=app)
    watching = Watcher(work, StoredSite(one.history, work))
    watching.watch()
    look = watching.looks[-1]
    assert (look.limit_s, look.rate_limited, look.put_off_s) == (7.0, True, 9.0)
    left, _ = ends(one, application=app)
    assert left.signs.has_put_off, "how long requests wait for an executor is not known"
    assert left.rate_interval_s == 2.0


def app_of(folder: Path) -> Application:
    return Application(app="a", tasks=("t",), python=folder, folder=folder, own_variables={}, rows=folder)


@pytest.mark.parametrize(("limit_s", "last_s"), [(60.0, 0.6 + 7.0 + 4 * 5.0), (15.0, 15.5)])
def test_a_stall_of_an_application_that_may_pause_its_consuming_counts_once_it_has_stood(
    limit_s: float, last_s: float, tmp_path: Path
) -> None:
    one = plain_trial.trial(tmp_path, plain_trial.STANDS, settings=cut(confirm_s=5.0, limit_s=limit_s))
    left, at_s = ends(one, application=app_of(tmp_path))
    assert left.ended.verdict is not None
    assert (left.ended.by, left.ended.verdict.state) == ("verdict", State.STALLED)
    assert at_s == pytest.approx(last_s, abs=0.35)


def test_a_worker_that_consumes_again_was_not_stalled(tmp_path: Path) -> None:
    again = [*plain_trial.STANDS, begun(20.0, 0), ended(20.1, 0), received(20.2, 0), phase(20.3, "done")]
    one = plain_trial.trial(tmp_path, again, settings=cut(confirm_s=5.0, limit_s=60.0), codes={"client_s": 20.5, "client": 0})
    left, _ = ends(one, application=app_of(tmp_path))
    assert (left.ended.by, left.ended.withdrawn) == ("done", ())


def test_a_worker_that_no_longer_consumes_is_watched_to_the_limit_and_said_so(tmp_path: Path) -> None:
    log = "Requeuing undeliverable message for queue 'gold': No consumers."
    one = plain_trial.trial(tmp_path, plain_trial.STANDS, settings=cut(confirm_s=1.0, limit_s=30.0), log=log)
    left, at_s = ends(one, application=app_of(tmp_path))
    assert (left.ended.by, at_s) == ("limit", pytest.approx(30.5, abs=0.2))
    assert left.ended.verdict is not None
    assert "no longer consumes the queue 'gold' (cancel_consumer)" in left.ended.verdict.doubt
