"""What the watcher looks at, when, and what the judge is told: over stored trials and over trials written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from harness.experiment.matrix import Cell
from harness.judge import watchdog
from harness.observe.looks import Look
from harness.observe.roles import Role
from harness.trial import watcher
from harness.trial.application import Application
from harness.trial.left import Left
from harness.trial.watcher import KEPT_LOOKS, Watcher
from harness.worker import contract
from tests import plain_trial, replay
from tests.plain_trial import (
    CHILD,
    IDLE,
    MAIN,
    NEVER_ENDS,
    OTHER,
    STANDS,
    START_S,
    Listening,
    answered,
    begun,
    child,
    phase,
    process,
    published,
    ready,
)  # fmt: skip
from tests.replay import NAMES, Stored, StoredSite

BUSY = (process(MAIN, "epoll"), process(CHILD, "futex", "running"))


def listened(one: Stored, **changes: Any) -> tuple[Left, Listening]:
    left, site = replay.watched(one, Listening, **changes)
    assert isinstance(site, Listening)
    return left, site


@cache
def heard(name: str) -> tuple[Left, Listening]:
    with TemporaryDirectory() as folder:
        return listened(replay.stored(name, Path(folder)))


@pytest.mark.parametrize("name", NAMES)
def test_depths_and_noise_are_read_in_the_measured_phase_only(name: str) -> None:
    left, site = heard(name)
    phases = {key: at_s - site.started_s for key, at_s in left.signs.phase_at_s.items()}
    assert bool(site.when("depth")) is ("measure" in [phase for phase, _ in site.of("sample")])
    assert all(at_s >= phases["measure"] for at_s in site.when("depth"))
    assert len(left.machine.noise) == len(site.when("depth"))
    assert sum(at_s > phases.get("drain", 9e9) for at_s in site.when("depth")) <= 1  # the first look after it is the last


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_phase_begins_and_ends_with_a_whole_reading_and_no_other_is_one(name: str) -> None:
    left, site = heard(name)
    edges = [phase for phase, edge in site.of("sample") if edge]
    assert edges[:1] == (["measure"] if "measure" in [phase for phase, _ in site.of("sample")] else [])
    assert len(edges) == len({*edges}) <= 2
    assert (left.machine.before is None) is (left.machine.after is None) is (not left.machine.noise)


def test_a_sample_is_due_half_a_second_after_the_last_one(tmp_path: Path) -> None:
    _, site = listened(plain_trial.trial(tmp_path, STANDS))
    assert site.when("sample")[:4] == pytest.approx([0.0, 0.6, 0.7, 1.2])  # a phase is seen at the look after it
    assert site.of("sample")[:4] == [("", False), ("", False), ("measure", True), ("measure", False)]


def test_a_broker_that_does_not_answer_adds_no_depth(tmp_path: Path) -> None:
    one = replay.stored("ok-prefork", tmp_path)
    left, site = listened(one.changed(depths=((one.history.started_s, None),)))
    assert site.when("depth")
    assert left.machine.depths == ()


def test_the_worker_settles_until_no_thread_computes(tmp_path: Path) -> None:
    _, site = listened(plain_trial.trial(tmp_path, STANDS, looks=[(0.0, BUSY), (1.0, BUSY), (1.14, IDLE)]))
    begin_s = site.when("look")[0]
    (settled_s,) = site.when("settled")
    assert [replace(look, python_tids=frozenset({look.pid})) for look in site.of("settled")[0]] == [
        replace(look, role=Role.UNKNOWN) for look in IDLE
    ]
    assert settled_s == pytest.approx(1.1)
    while_settling = [at_s for at_s in site.when("look") if at_s <= settled_s]
    assert while_settling == pytest.approx([begin_s + 0.1 * step for step in range(len(while_settling))])
    assert set(site.of("look")[: len(while_settling)]) == {frozenset()}


def test_a_worker_that_goes_on_computing_is_not_waited_for_longer_than_two_seconds(tmp_path: Path) -> None:
    _, site = listened(plain_trial.trial(tmp_path, STANDS, looks=[(0.0, BUSY)]))
    assert site.when("settled") == pytest.approx([site.when("look")[0] + 2.0])


def test_serial_calls_that_are_measured_already_are_not_waited_for(tmp_path: Path) -> None:
    """They call the task as soon as they are ready: while one waited for them to settle, their measured phase was over."""
    own = replace(plain_trial.CELL, pool="in-process")
    theirs = Application(
        app="shop", tasks=("shop.price",), python=tmp_path, folder=tmp_path, own_variables={}, rows=tmp_path, queue_keys=()
    )
    one = plain_trial.trial(tmp_path / "one", STANDS, cell=own, client=False, looks=[(0.0, BUSY)])
    for application, waits_s in ((theirs, 0.0), (None, 2.0)):
        _, site = listened(one, application=application)
        assert site.when("settled") == pytest.approx([site.when("look")[0] + waits_s])


def looks_of(one: Stored, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> tuple[list[list[Look]], Watcher]:
    """The looks that the judge was shown, each time; and the watcher."""
    shown: list[list[Look]] = []

    def judge(looks: Sequence[Look]) -> watchdog.Verdict:
        shown.append(list(looks))
        return watchdog.judge(looks)

    monkeypatch.setattr(watcher, "judge", judge)
    work = replay.assignment(one, **changes)
    watching = Watcher(work, StoredSite(one.history, work))
    watching.watch()
    return shown, watching


def test_the_judge_is_told_all_that_is_known_of_an_overdue_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, watching = looks_of(plain_trial.trial(tmp_path, NEVER_ENDS), monkeypatch)
    look, progress = shown[-1][-1], watching.site.progress
    assert (look.ready, look.waiting, look.unanswered, look.ended, look.dead_children) == (True, 0, 0, 4, 0)
    assert look.stages == tuple(progress.open.values())
    assert look.last_progress_s == progress.last_event_s
    assert (look.pace_s, look.slowest_s, look.cold_s) == (pytest.approx(0.012), pytest.approx(0.012), 0.01)
    assert (look.limit_s, look.rate_limited) == (0.0, False)
    assert (look.executors, look.executor_kind) == (1, "processes")
    assert look.furniture == {MAIN: "epoll", CHILD: "futex"}
    assert [one.python_tids for one in look.processes] == [None, frozenset({CHILD})]  # only the suspect is looked into
    assert look.at_s == pytest.approx(watching.seen.judged_s)


def test_the_judge_is_told_of_a_worker_that_is_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads = [(0.2, contract.IMPORT_BEGIN, -1, MAIN), (0.3, contract.LOAD_BEGIN, 1, MAIN)]
    shown, _ = looks_of(plain_trial.trial(tmp_path, loads), monkeypatch)
    assert {look.ready for look in shown[0]} == {False}
    assert [stage.kind for stage in shown[0][-1].stages] == ["load"]
    assert shown[0][-1].last_progress_s == pytest.approx(START_S + 0.3)
    assert shown[0][-1].furniture == {}


@pytest.mark.parametrize("pace_s", [None, 0.001, 0.5])
def test_the_pace_is_that_of_the_baseline_or_of_the_worker_whichever_is_longer(pace_s: float | None, tmp_path: Path) -> None:
    one = plain_trial.trial(tmp_path, NEVER_ENDS)
    work = replay.assignment(one, baseline_s=pace_s, baseline_slowest_s=pace_s)
    watching = Watcher(work, StoredSite(one.history, work))
    assert (watching.pace_s, watching.slowest_s) == (pace_s, pace_s)
    watching.watch()
    assert (watching.pace_s, watching.slowest_s) == (pytest.approx(max(0.012, pace_s or 0.0)),) * 2


def test_a_request_is_looked_into_once_it_has_taken_long_and_not_before(tmp_path: Path) -> None:
    _, site = listened(plain_trial.trial(tmp_path, NEVER_ENDS))
    closely = [at_s for at_s, what, detail in site.heard if what == "look" and detail]
    assert closely[0] == pytest.approx(1.5)  # begun at 0.81; patience is 1.5 s, and 0.4 of it 0.6 s
    assert {detail for _, what, detail in site.heard if what == "look"} == {frozenset(), frozenset({CHILD})}
    assert {round(later - now, 1) for now, later in pairwise(closely)} <= {0.2, 0.3}  # no more often than every 0.2 s


def done_after(at_s: float, wrote: Sequence[plain_trial.Wrote], folder: Path) -> Stored:
    ends = [ready(), child(0.5), phase(0.6, "measure"), *wrote, phase(at_s, "done")]
    return plain_trial.trial(folder, ends, codes={"client_s": at_s + 0.2, "client": 0})


def test_requests_that_end_in_time_are_never_looked_into(tmp_path: Path) -> None:
    left, site = listened(done_after(21.0, answered(range(40), 0.6, each_s=0.5), tmp_path))
    assert left.ended.by == "done"
    assert len(site.when("look")) == 1


def test_what_was_looked_at_before_things_moved_on_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = [
        wrote for i in (0, 10) for wrote in (*answered(range(i, i + 5), 0.7 + 0.2 * i), *answered([i + 5], 1.0 + 0.2 * i, 1.5))
    ]
    slow += answered(range(20, 40), 4.8, each_s=0.05)
    shown, watching = looks_of(done_after(6.0, slow, tmp_path), monkeypatch)
    assert watching.seen.ended_by == "done"
    assert len({looks[0].at_s for looks in shown}) == 2
    assert watching.looks == []


def test_only_the_last_looks_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = [(0.1 * i, (IDLE[0], replace(BUSY[1], cpu_s=0.1 * i))) for i in range(5, 600)]
    shown, watching = looks_of(plain_trial.trial(tmp_path, NEVER_ENDS, looks=[(0.0, IDLE), *busy]), monkeypatch)
    assert watching.seen.ended_by == "limit"
    assert {len(looks) for looks in shown} == set(range(1, KEPT_LOOKS + 2))
    assert [look.at_s for look in shown[-1]] == sorted(look.at_s for look in shown[-1])
    assert shown[-1][-1].at_s == pytest.approx(START_S + 40.4, abs=0.21)


@pytest.mark.parametrize(
    ("pool", "concurrency", "kind", "executors"),
    [
        ("prefork", 3, "processes", 3),
        ("threads", 4, "threads", 4),
        ("gevent", 5, "greenlets", 5),
        ("solo", 1, "threads", 1),
        ("in-process", 1, "threads", 1),
        ("in-process", 4, "processes", 4),
    ],
)
def test_the_judge_is_told_what_runs_requests(
    pool: str, concurrency: int, kind: str, executors: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell(backend="null", environment="celery", pool=pool, concurrency=concurrency)
    shown, _ = looks_of(plain_trial.trial(tmp_path, NEVER_ENDS, cell=cell, client=pool != "in-process"), monkeypatch)
    assert {(look.executor_kind, look.executors) for look in shown[-1]} == {(kind, executors)}


def test_nothing_waits_for_a_baseline_and_nothing_is_unanswered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = [*NEVER_ENDS, published(0.7, 20), published(0.7, 21), *answered([22], 0.72)[:-1]]
    own = replace(plain_trial.CELL, pool="in-process")
    of_baseline, _ = looks_of(plain_trial.trial(tmp_path / "own", waits, cell=own, client=False), monkeypatch)
    of_worker, _ = looks_of(plain_trial.trial(tmp_path / "worker", waits), monkeypatch)
    assert (of_baseline[-1][-1].waiting, of_baseline[-1][-1].unanswered) == (0, 0)
    assert (of_worker[-1][-1].waiting, of_worker[-1][-1].unanswered) == (2, 1)


def tree(*ends: tuple[float, int]) -> Callable[[float], Sequence[int]]:
    """The worker's processes at a moment: each of these is there until then."""
    return lambda at_s: (MAIN, *(pid for until_s, pid in ends if at_s < until_s))


def test_children_that_died_and_the_requests_they_held_are_noted(tmp_path: Path) -> None:
    wrote = [*NEVER_ENDS, child(0.5, OTHER), published(0.8, 9), begun(0.82, 9, OTHER)]
    left, _ = listened(plain_trial.trial(tmp_path, wrote, pids=tree((0.9, CHILD), (99.0, OTHER))))
    assert left.signs.dead == {CHILD}
    assert left.signs.lost == {4}


def test_what_a_dead_child_loaded_is_no_lost_request(tmp_path: Path) -> None:
    wrote = [*NEVER_ENDS, (0.82, contract.LOAD_BEGIN, 7, CHILD)]
    left, _ = listened(plain_trial.trial(tmp_path, wrote, pids=tree((0.9, CHILD))))
    assert left.signs.lost == {4}


def test_a_child_that_the_sample_missed_and_the_whole_tree_shows_has_not_died(tmp_path: Path) -> None:
    one = plain_trial.trial(tmp_path, NEVER_ENDS, pids=tree((0.9, CHILD)))
    left, _ = listened(one.changed(pids=((START_S, frozenset({MAIN, CHILD})),)))
    assert left.signs.dead == frozenset()
    assert left.ended.verdict is not None
    assert left.ended.verdict.pids == (CHILD,)


def test_the_whole_tree_is_read_only_when_a_child_seems_to_have_died_anew(tmp_path: Path) -> None:
    _, site = listened(plain_trial.trial(tmp_path, NEVER_ENDS, pids=tree((0.9, CHILD))))
    assert len(site.when("pids")) == 1
    assert len(site.when("sample")) > 5


def test_the_workers_own_process_is_no_child_that_died(tmp_path: Path) -> None:
    left, _ = listened(plain_trial.trial(tmp_path, [*STANDS, child(0.5, MAIN)], pids=lambda at_s: (CHILD,)))
    assert left.signs.dead == frozenset()
