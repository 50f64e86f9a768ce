"""A trial over stored histories: what ends it, what is kept of it, and what it does to its site, in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.client.plan import EXIT_BROKER_LOST
from harness.judge.watchdog import State
from harness.observe.progress import Progress
from harness.trial import trial
from harness.trial.paces import LONGER, TIMES
from tests import replay
from tests.replay import NAMES, Stored

OK = [name for name in NAMES if name.startswith("ok-")]
HUNG = [name for name in NAMES if name.startswith("hung-")]
LOADED = [name for name in OK if "baseline" not in name]
ANSWERED = "ok-prefork"


def at(name: str, folder: Path, seconds: float, **codes: int) -> Stored:
    """The history with processes that end `seconds` after the worker was ready."""
    one = replay.stored(name, folder)
    left, _ = replay.watched(one)
    moment = (left.signs.ready_at_s or 0.0) + seconds
    known = {f"{who}_s": moment for who in codes} | dict(codes)
    return one.changed(codes=known)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_thing_done_to_a_site_is_to_close_it(name: str, tmp_path: Path) -> None:
    one = replay.once(name)
    assert one.asked[-1] == f"close {one.left.ended.by}"
    assert sum(each.startswith("close") for each in one.asked) == 1


@pytest.mark.parametrize("name", NAMES)
def test_stacks_are_taken_where_processes_still_stand_and_else_the_log_unless_all_went_well(name: str, tmp_path: Path) -> None:
    left, asked = replay.once(name).left, replay.once(name).asked
    assert ("evidence" in asked) is (left.ended.by in trial.STANDING)
    assert (left.ended.evidence is None) is (left.ended.by == "done")
    if left.ended.by not in (*trial.STANDING, "done"):
        assert left.ended.evidence is not None
        assert left.ended.evidence.path.name == "worker.log"


@pytest.mark.parametrize("name", LOADED)
def test_the_load_begins_once_the_worker_has_settled(name: str, tmp_path: Path) -> None:
    assert replay.once(name).asked[:2] == ("settled", "go")


def test_a_baseline_that_makes_its_own_load_is_told_to_begin_too() -> None:
    assert "go" in replay.once("ok-baseline").asked


@pytest.mark.parametrize("name", NAMES)
def test_what_is_left_is_frozen_and_holds_nothing_that_lives(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    with pytest.raises(dataclasses.FrozenInstanceError):
        left.trial = 2  # type: ignore[misc]
    assert not [one for one in everything(left) if isinstance(one, Progress) or hasattr(one, "poll") or hasattr(one, "fileno")]


def everything(value: Any) -> list[Any]:
    """The value and all that it holds, at any depth."""
    parts: list[Any] = []
    if dataclasses.is_dataclass(value):
        parts = [getattr(value, field.name) for field in dataclasses.fields(value)]
    elif isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, tuple | list | set | frozenset):
        parts = list(value)
    return [value, *(each for part in parts for each in everything(part))]


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupt_ends_a_trial_at_its_next_look_and_leaves_earlier_evidence(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    kept = one.folder / "evidence" / "one" / "stacks.txt"
    kept.parent.mkdir(parents=True)
    kept.write_text("of an earlier try")
    left, site = replay.watched(one, interrupted=lambda: True)
    if left.ended.by not in ("worker-exit", "done", "broker-exit", "client-exit"):
        assert left.interrupted
        assert "evidence" not in site.asked
        assert kept.read_text() == "of an earlier try"


@pytest.mark.parametrize("name", HUNG)
def test_earlier_evidence_goes_when_there_is_a_newer_trial(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    old = one.folder / "evidence" / "one" / "stacks.txt"
    old.parent.mkdir(parents=True)
    old.write_text("of an earlier try")
    replay.watched(one)
    assert not old.exists()


@pytest.mark.parametrize("seconds", [0.05, 0.4, 0.8])
@pytest.mark.parametrize(
    ("codes", "by", "exits"),
    [
        ({"worker": 3}, "worker-exit", ("exit 3", "")),
        ({"worker": -9}, "worker-exit", ("SIGKILL", "")),
        ({"client": 1}, "client-exit", ("", "exit 1")),
        ({"client": -15}, "client-exit", ("", "SIGTERM")),
        ({"client": EXIT_BROKER_LOST}, "broker-cut", ("", "exit 4")),
        ({"client": EXIT_BROKER_LOST, "broker": 1}, "broker-exit", ("", "")),
        ({"broker": 1}, "broker-exit", ("", "")),
        ({"broker": 1, "worker": 3}, "broker-exit", ("", "")),
        ({"client": 1, "worker": 3}, "client-exit", ("", "exit 1")),
    ],
)
def test_whose_process_ends_too_soon_is_told_by_name(
    seconds: float, codes: dict[str, int], by: str, exits: tuple[str, str], tmp_path: Path
) -> None:
    left, _ = replay.watched(at(ANSWERED, tmp_path, seconds, **codes))
    assert left.ended.by == by
    assert (left.ended.worker_exit, left.ended.client_exit) == exits


def test_a_client_that_ends_well_before_its_last_phase_has_not_saved_what_it_saw(tmp_path: Path) -> None:
    left, _ = replay.watched(at(ANSWERED, tmp_path, 0.3, client=0))
    assert left.ended.by == "client-exit"


@pytest.mark.parametrize("confirm_s", [0.0, 1.0, 3.0])
@pytest.mark.parametrize(
    "name", ["hung-deadlock-prefork", "hung-deadlock-gevent", "hung-lost-reply-threads", "hung-tensorflow2-prefork"]
)
def test_a_hang_is_watched_for_as_long_as_was_asked_before_it_goes_on_record(
    name: str, confirm_s: float, tmp_path: Path
) -> None:
    one = replay.stored(name, tmp_path)
    left, site = replay.watched(one, settings=one.history.settings.model_copy(update={"confirm_s": confirm_s}))
    assert (left.ended.by, left.ended.judged_s is None) == ("verdict", False)
    assert left.ended.verdict is not None
    times = TIMES if left.ended.verdict.how in LONGER else 1
    watched_s = site.ended_s - (left.ended.judged_s or 0.0)
    assert times * confirm_s <= watched_s <= times * confirm_s + 2.0
    assert left.ended.verdict.state is State.HUNG


@pytest.mark.parametrize("name", HUNG)
def test_the_moment_of_a_hang_is_when_it_was_shown_not_when_it_was_confirmed(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    soon, _ = replay.watched(one, settings=one.history.settings.model_copy(update={"confirm_s": 0.0}))
    assert soon.ended.judged_s == replay.once(name).left.ended.judged_s


@pytest.mark.parametrize("name", OK)
def test_a_trial_that_is_answered_ends_without_a_verdict(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    assert (left.ended.by, left.ended.partial, left.ended.census) == ("done", None, None)


@pytest.mark.parametrize("name", LOADED)
def test_a_trial_is_cut_off_at_its_limit_counted_from_ready(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    left, site = replay.watched(one, settings=one.history.settings.model_copy(update={"limit_s": 0.3}))
    assert left.ended.by == "limit"
    assert left.signs.ready_at_s is not None
    taken = [step for step in site.history.steps if step > left.signs.ready_at_s + 0.3]
    assert left.signs.published <= replay.once(name).left.signs.published
    assert taken, "it would have gone on"


@pytest.mark.parametrize("name", ["refused-not-ready-threads", "refused-import-error-prefork"])
def test_a_worker_that_is_not_ready_in_time_is_cut_off(name: str, tmp_path: Path) -> None:
    one = replay.stored(name, tmp_path)
    left, site = replay.watched(one, settings=one.history.settings.model_copy(update={"ready_limit_s": 0.05}))
    assert left.ended.by == "ready-limit"
    assert left.signs.ready_at_s is None
    assert "go" not in site.asked


def test_a_worker_that_would_not_take_the_requests_gets_none(tmp_path: Path) -> None:
    left, site = replay.watched(replay.stored(ANSWERED, tmp_path).changed(no_consumer="no consumer for queue 'x'"))
    assert (left.ended.by, left.ended.no_consumer) == ("no-consumer", "no consumer for queue 'x'")
    assert "go" not in site.asked


@dataclasses.dataclass
class Striker:
    """A fault from outside that notes when it is called."""

    struck: bool = False
    calls: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def __call__(self, progress: Progress, main: int) -> None:
        self.calls.append((progress.phase, main))


def test_a_fault_from_outside_is_called_in_the_measured_phase_alone(tmp_path: Path) -> None:
    striker = Striker()
    one = replay.stored(ANSWERED, tmp_path)
    left, _ = replay.watched(one, outside=striker)
    assert striker.calls
    assert set(striker.calls) == {("measure", one.history.main)}
    assert left.ended.never_struck
    assert not replay.watched(one, outside=Striker(struck=True))[0].ended.never_struck
    assert not replay.watched(one)[0].ended.never_struck


@pytest.mark.parametrize("name", LOADED)
def test_depth_and_noise_are_those_of_the_measured_phase(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    assert left.machine.before is not None
    assert left.machine.after is not None
    assert left.machine.before.at_s >= (left.measured_from_s or 0.0)
    assert len(left.machine.noise) == len(left.machine.depths) >= 2
    assert left.machine.before.at_s < left.machine.after.at_s


@pytest.mark.parametrize("name", ["crashed-signal-11-prefork", "respawning-prefork"])
def test_children_that_died_are_counted(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    assert left.signs.dead
    assert replay.once(name).stored.history.main not in left.signs.dead


@pytest.mark.parametrize("name", LOADED)
def test_nobody_died_where_all_went_well(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    assert (left.signs.dead, left.signs.lost) == (frozenset(), frozenset())


def told(name: str, value: Any) -> Callable[[Stored], Stored]:
    """A history in which that question has always had this answer."""
    return lambda one: one.changed(**{name: ((one.history.started_s, value),)})


@pytest.mark.parametrize(("state", "by"), [("T", "client-stopped"), ("t", "client-stopped"), ("S", "verdict")])
def test_before_a_worker_is_blamed_for_lost_answers_the_client_is_looked_at(state: str, by: str, tmp_path: Path) -> None:
    one = told("client_states", state)(replay.stored("hung-lost-reply-threads", tmp_path))
    assert replay.watched(one)[0].ended.by == by


def test_a_client_that_runs_may_be_late_to_take_its_answers(tmp_path: Path) -> None:
    one = told("client_states", "R")(replay.stored("hung-lost-reply-threads", tmp_path))
    assert replay.watched(one)[0].ended.by == "limit"


def test_a_broker_that_does_not_answer_is_no_fault_of_the_worker(tmp_path: Path) -> None:
    from harness.broker import Census

    one = told("censuses", Census(answers=False))(replay.stored("hung-lost-reply-threads", tmp_path))
    left, _ = replay.watched(one)
    assert (left.ended.by, left.ended.census) == ("broker-silent", Census(answers=False))


def test_a_message_that_is_still_in_the_broker_may_come_back(tmp_path: Path) -> None:
    from harness.broker import Census

    one = told("censuses", Census(answers=True, messages=1, connections=2))(replay.stored("hung-lost-reply-threads", tmp_path))
    assert replay.watched(one)[0].ended.by == "limit"


def test_a_worker_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    one = replay.stored("hung-lost-reply-threads", tmp_path).changed(log="Unrecoverable error: OperationalError()")
    left, _ = replay.watched(one)
    assert left.ended.by == "limit"


def test_the_last_line_that_says_something_is_kept_of_the_log(tmp_path: Path) -> None:
    one = replay.stored(ANSWERED, tmp_path)
    for text, line in (("a\nb\n\n  \n", "b"), ("", "the log is empty"), ("x" * 400, "x" * 300)):
        (one.folder / "worker.log").write_text(text)
        assert replay.watched(one)[0].ended.log_line == line
    (one.folder / "worker.log").unlink()
    assert replay.watched(one)[0].ended.log_line == "no log"


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_phase_is_between_the_clients_own_moments(name: str, tmp_path: Path) -> None:
    left = replay.once(name).left
    phases = left.signs.phase_at_s
    assert left.measured_from_s == phases.get("measure")
    if "drain" in phases:
        assert left.measured_to_s == phases["drain"]
    elif "measure" in phases:
        assert left.measured_to_s == (left.signs.last_event_s or phases["measure"])
