"""A proof that is confirmed beside the next trial: who waits for whom, and what takes it back. Over trials written by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.observe.looks import ProcessLook
from harness.trial import watcher
from harness.trial.floor import Floor, State, Turn
from harness.trial.watcher import Watcher
from tests import plain_trial, replay
from tests.plain_trial import IDLE, NEVER_ENDS, START_S, cut, ended, phase
from tests.replay import StoredSite
from tests.test_watcher_proofs import HANGS, WORKS

SHOWN_S, CONFIRM_S = 3.0, 15.0


class Site(StoredSite):
    """Notes when it was looked at."""

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.looked: list[float] = []

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        self.looked.append(self.clock_s - START_S)
        return super().look(closely=closely)


def switched(*at_s: float) -> list[tuple[float, tuple[ProcessLook, ...]]]:
    """Looks at a child whose thread is switched to at these moments."""
    found = [(0.0, IDLE)]
    for count, moment_s in enumerate(at_s, 1):
        threads = tuple(replace(one, switches=one.switches + count) for one in IDLE[1].threads)
        found += [(moment_s - 0.01, found[-1][1]), (moment_s, (IDLE[0], replace(IDLE[1], threads=threads)))]
    return found


def watched(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    turn: Turn,
    wrote: list[plain_trial.Wrote] = NEVER_ENDS,
    looks: Sequence[tuple[float, tuple[ProcessLook, ...]]] = ((0.0, IDLE),),
) -> tuple[watcher.Seen, Site]:
    """A request that is held to hang from SHOWN_S on."""
    one = plain_trial.trial(folder, wrote, settings=cut(confirm_s=CONFIRM_S), looks=looks)
    site = Site(one.history, replay.assignment(one, turn=turn))
    monkeypatch.setattr(watcher, "judge", lambda looks: HANGS if looks[-1].at_s - START_S >= SHOWN_S else WORKS)
    return Watcher(site.work, site).watch(), site


def test_nobody_looks_while_it_stands_and_it_goes_on_record_once_it_is_seen_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, site = watched(tmp_path, monkeypatch, Turn(may_stand=True))
    assert (seen.ended_by, seen.withdrawn) == ("verdict", [])
    assert site.clock_s - START_S >= SHOWN_S + CONFIRM_S
    assert not [at_s for at_s in site.looked if SHOWN_S + 1 < at_s < SHOWN_S + CONFIRM_S - 3]
    assert [at_s for at_s in site.looked if at_s > SHOWN_S + CONFIRM_S - 3]


def test_the_phases_of_the_load_generator_are_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = watched(tmp_path, monkeypatch, Turn(may_stand=True), [*NEVER_ENDS, phase(8.0, "measure")])
    assert (seen.ended_by, seen.withdrawn) == ("verdict", [])


def test_a_trial_that_may_not_stand_is_looked_at_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, site = watched(tmp_path, monkeypatch, Turn())
    assert seen.ended_by == "verdict"
    assert [at_s for at_s in site.looked if SHOWN_S + 1 < at_s < SHOWN_S + CONFIRM_S - 3]


@pytest.mark.parametrize("answers", [True, False])
def test_a_trial_that_went_on_while_it_stood_ends_and_spoils_what_was_measured(
    answers: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    floor = Floor()
    turn, other = floor.turn(may_stand=True), floor.turn(interrupted=lambda: True)
    steps: list[Callable[[], None]] = [other.measure, other.leave]
    stand, stir = turn.stand, turn.stir
    monkeypatch.setattr(turn, "stand", lambda: (stand(), steps[0]()))
    monkeypatch.setattr(turn, "stir", lambda: (steps[1](), stir()))
    wrote = [*NEVER_ENDS, ended(8.0, 4)] if answers else NEVER_ENDS
    seen, _ = watched(tmp_path, monkeypatch, turn, wrote, switched(*[] if answers else [8.0]))
    assert seen.ended_by == "withdrawn"
    assert len(turn.withdrawn) == len(seen.withdrawn) == 1
    assert turn.disturbed
    assert bool(other.disturbed) is answers, "what ran without an event is not known to have run beside it"


def test_what_is_switched_to_now_and_then_is_looked_at_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = Turn(may_stand=True)
    monkeypatch.setattr(turn, "stand", lambda: pytest.fail("it cannot be held to it"))
    seen, _ = watched(tmp_path, monkeypatch, turn, looks=switched(*(0.5 * step for step in range(1, 60))))
    assert seen.ended_by == "verdict"


def test_the_withdrawn_proofs_of_an_earlier_try_stay_with_the_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, _ = watched(tmp_path, monkeypatch, Turn(withdrawn=("it went on",)))
    assert seen.withdrawn == ["it went on"]


# -- the floor


def in_thread(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    return thread


def test_one_is_measured_only_while_no_other_stirs() -> None:
    floor = Floor()
    one, two = floor.turn(), floor.turn()
    one.stir()
    thread = in_thread(two.measure)
    thread.join(0.2)
    assert two.state is State.STARTS
    one.leave()
    thread.join(10)
    assert two.state is State.MEASURED


def test_one_that_stands_does_not_stir_while_another_is_measured_and_comes_before_the_next() -> None:
    floor = Floor()
    stands, measured, following = floor.turn(), floor.turn(), floor.turn()
    stands.stand()
    measured.measure()
    wants = in_thread(stands.stir)
    wants.join(0.2)
    assert (stands.state, stands.wants_to_stir) == (State.STANDS, True)
    waits = in_thread(following.measure)
    measured.leave()
    wants.join(10)
    waits.join(0.2)
    assert (stands.state, following.state) == (State.STIRS, State.STARTS)
    stands.leave()
    waits.join(10)
    assert following.state is State.MEASURED


def test_who_is_interrupted_waits_for_nobody() -> None:
    floor = Floor()
    floor.turn().stir()
    turn = floor.turn(interrupted=lambda: True)
    turn.measure()
    assert turn.state is State.MEASURED


def test_numbers_are_given_again() -> None:
    floor = Floor()
    one, two = floor.turn(), floor.turn()
    one.leave()
    assert (one.number, two.number, floor.turn().number) == (0, 1, 0)
