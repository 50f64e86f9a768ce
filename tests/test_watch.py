"""`harness watch` over plain values: when it looks, what it tells, what it keeps. A real worker: `integration`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import CannotWrite
from harness.live.answer import Report
from harness.live.executor import State
from harness.live.find import Worker
from harness.live.quick import First, Judged
from harness.live.watch import loop
from harness.live.watch.event import Event, Kind, as_json, line
from harness.live.watch.loop import Budget, Means, Watch
from harness.live.watch.pulse import Pulse, counters
from harness.live.watch.worker import FIRST_AGAIN_S, ODD_S, QUIET_S, STILL_S, Watched
from harness.observe.eyes import Eyes
from harness.observe.roles import Role
from tests.test_live import CHILD, MAIN, READS, SECOND, child, said, seen
from tests.waiting import wait_until

EVERY_S = 5.0
STUCK = said(seen(child(), child(SECOND, Role.IDLE)))
WAITS = said(seen(child(**READS)))
YOUNG = said(seen(child(**READS), since_s=6.0))


@dataclass
class World:
    """What there is to be seen. `still`: suspects; `idle`: children that wait for the main process; `report`: the judge's word
    on any suspects; `look_s`, `glance_s`: CPU
    seconds of a look, and of a glance at stacks."""

    now_s: float = 0.0
    workers: dict[int, Worker] = field(default_factory=lambda: {MAIN: Worker(main=MAIN, app="shop", hostname="web@here")})
    counts: dict[int, int] = field(default_factory=lambda: {CHILD: 1})
    still: frozenset[int] = frozenset()
    idle: frozenset[int] = frozenset()
    hidden: tuple[int, ...] = ()
    report: Report | None = None
    switches: int = 0
    looked: list[float] = field(default_factory=list)
    glanced: list[frozenset[int]] = field(default_factory=list)
    told: list[bool] = field(default_factory=list)
    cpu_s: float = 0.0
    look_s: float = 0.01
    glance_s: float = 0.0

    def first(self, worker: Worker, before: Eyes | None = None) -> First | None:
        self.looked.append(self.now_s)
        self.cpu_s += self.look_s
        eyes = before or Eyes(main=worker.main, tree=list, pool=frozenset, events=None)
        processes = tuple(
            replace(one, threads=tuple(replace(thread, switches=self.switches) for thread in one.threads))
            for one in map(child, sorted(self.still))
        )
        still = {pid: frozenset({pid}) for pid in self.still}
        return First(worker=worker, eyes=eyes, looks=((self.now_s, processes),), still=still, outside=frozenset(),
                     hidden=self.hidden) if worker.main in self.workers else None  # fmt: skip

    def worst(self, first: First, suspects: Collection[int], *, told: bool) -> Judged | None:
        self.glanced.append(frozenset(suspects))
        self.told.append(told)
        self.cpu_s += self.glance_s
        return Judged().and_also(self.report, suspects) if self.report else None

    def counters(self, main: int) -> dict[int, int]:
        return {main: int(self.now_s * 1e6) + 1, **self.counts} if main in self.workers else {}

    def means(self) -> Means:
        return Means(
            pids=lambda: list(self.workers), main_of=lambda pid: pid, described=lambda pid: self.workers[pid],
            is_here=lambda pid: True, counters=self.counters, idle=lambda main, pids: self.idle & set(pids), first=self.first,
            worst=self.worst, clock=lambda: self.now_s, wall=lambda: 1000.0 + self.now_s, cpu_s=lambda: self.cpu_s,
        )  # fmt: skip


def run(world: World, watch: Watch, seconds: float) -> list[Event]:
    """The events of so many seconds of rounds."""
    found = []
    until = world.now_s + seconds
    while world.now_s < until:
        found += list(watch.round())
        world.now_s += EVERY_S
    return found


def begun(world: World | None = None, **more: Any) -> tuple[World, Watch]:
    world = world or World(**more)
    return world, Watch(every_s=EVERY_S, means=world.means())


def told(events: list[Event]) -> list[tuple[Kind, str, str]]:
    return [(one.kind, one.before, one.after) for one in events]


def test_a_worker_is_told_once_and_looked_at_more_and_more_seldom_while_all_is_well() -> None:
    world, watch = begun(counts={})
    assert told(run(world, watch, 600)) == [(Kind.NEW, "new", "works")]
    gaps = [later - earlier for earlier, later in zip(world.looked, world.looked[1:], strict=False)]
    assert gaps[0] == FIRST_AGAIN_S
    assert gaps == sorted(gaps)
    assert gaps[-1] == QUIET_S
    assert world.glanced == []


def test_a_child_that_stands_still_is_looked_at_soon_and_what_is_proved_is_told_with_its_evidence() -> None:
    world, watch = begun()
    run(world, watch, 200)
    before = len(world.looked)
    world.counts, world.still, world.report = {CHILD: 2}, frozenset({CHILD}), STUCK
    begin_s = world.now_s
    (event,) = run(world, watch, 60)
    assert (event.kind, event.before, event.after) == (Kind.STATE, "works", "stuck")
    assert event.at - 1000.0 - begin_s <= STILL_S + EVERY_S
    assert event.still_since == {CHILD: 1000.0 + begin_s}
    assert event.worker["executors"][0]["task_id"] == "id-60"
    assert world.glanced[0] == {CHILD}
    assert len(world.looked) > before


def test_idle_children_cost_no_look() -> None:
    world, watch = begun(idle=frozenset({CHILD}))
    run(world, watch, 600)
    quiet, other = begun(counts={})
    run(quiet, other, 600)
    assert world.looked == quiet.looked


def test_a_main_process_that_stands_still_itself_excuses_none_of_its_children() -> None:
    watched = Watched(worker=Worker(main=MAIN))
    for now_s in (0.0, STILL_S):
        watched.beat({MAIN: 5, CHILD: 7}, now_s)
    watched.dismiss(STILL_S, lambda main, pids: pids)
    assert watched.looked_at == {}


def test_a_suspect_that_was_found_harmless_is_not_glanced_at_again_until_it_has_run() -> None:
    world, watch = begun(still=frozenset({SECOND}), report=said(seen(child(SECOND, Role.IDLE))))
    run(world, watch, 300)
    assert len(world.looked) > 3
    assert world.glanced == [{SECOND}]
    world.switches = 1
    run(world, watch, 120)
    assert world.glanced == [{SECOND}, {SECOND}]


def test_what_stays_stuck_is_told_once_and_glanced_at_seldom_and_its_end_is_told() -> None:
    world, watch = begun(still=frozenset({CHILD}), report=STUCK)
    assert told(run(world, watch, 2000)) == [(Kind.NEW, "new", "stuck")]
    gaps = [later - earlier for earlier, later in zip(world.looked, world.looked[1:], strict=False)]
    assert gaps == [ODD_S] * len(gaps)
    world.counts, world.still, world.report = {CHILD: 9}, frozenset(), None
    assert told(run(world, watch, 30)) == [(Kind.STATE, "stuck", "works")]


def test_a_wait_is_told_once_it_lasts() -> None:
    world, watch = begun(still=frozenset({CHILD}), report=YOUNG)
    assert told(run(world, watch, 30)) == [(Kind.NEW, "new", "works")]
    world.report = WAITS
    assert told(run(world, watch, 300)) == [(Kind.STATE, "works", "waiting")]
    assert world.told[-1] is False, "what it waits for was looked up when it was told"
    assert True in world.told


def test_what_may_not_be_looked_at_is_told_as_such() -> None:
    world, watch = begun(hidden=(MAIN,))
    (event,) = run(world, watch, 60)
    assert (event.after, "doctor" in event.reason) == ("cannot-say", True)


def test_a_restarted_worker_is_the_same_one() -> None:
    world, watch = begun()
    run(world, watch, 30)
    world.workers = {70: Worker(main=70, app="shop", hostname="web@%h")}
    events = run(world, watch, 30)
    assert told(events) == [
        (Kind.GONE, "works", "gone"), (Kind.RESTARTED, "gone", "restarted"), (Kind.STATE, "restarted", "works"),
    ]  # fmt: skip
    assert (events[1].pid, events[1].reason) == (70, "it was process 50")
    assert watch.restarts == {"shop, web@%h": 1}


def test_another_worker_is_a_new_one_and_none_of_those_that_were_named() -> None:
    other = {70: Worker(main=70, app="mail", hostname="mail@here")}
    world, watch = begun()
    run(world, watch, 30)
    world.workers |= other
    assert told(run(world, watch, 30)) == [(Kind.NEW, "new", "works")]
    world = World()
    watch = Watch(every_s=EVERY_S, means=world.means(), named=[world.workers[MAIN]])
    run(world, watch, 30)
    world.workers = other
    assert told(run(world, watch, 30)) == [(Kind.GONE, "works", "gone")]
    world.workers = {71: Worker(main=71, app="shop", hostname="web@here")}
    assert told(run(world, watch, 10))[0] == (Kind.RESTARTED, "gone", "restarted")


def test_a_worker_in_a_container_is_watched_only_if_it_is_named() -> None:
    world = World()
    means = replace(world.means(), is_here=lambda pid: False)
    assert run(world, Watch(every_s=EVERY_S, means=means), 30) == []
    assert run(world, Watch(every_s=EVERY_S, means=means, named=[world.workers[MAIN]]), 30) != []


def test_a_shell_that_becomes_a_worker_is_found() -> None:
    world = World(counts={})
    workers, world.workers = world.workers, {}
    means = replace(world.means(), pids=lambda: [MAIN], main_of=lambda pid: pid if world.workers else 0)
    watch = Watch(every_s=EVERY_S, means=means)
    run(world, watch, 20)
    world.workers = workers
    assert told(run(world, watch, 10)) == [(Kind.NEW, "new", "works")]


def test_it_says_if_it_was_itself_late() -> None:
    world, watch = begun()
    run(world, watch, 60)
    world.now_s += 90.0
    (event,) = run(world, watch, 5)
    assert (event.kind, event.since_s, watch.late_s) == (Kind.LATE, 90.0, 90.0)
    assert "late by 90 s" in line(event)


def test_a_worker_that_gives_much_to_look_at_is_looked_at_within_the_budget() -> None:
    world, watch = begun(look_s=0.0, glance_s=1.0, still=frozenset({CHILD}), report=STUCK)
    hours = 8.0
    run(world, watch, hours * 3600)
    assert len(world.glanced) > 3
    assert world.cpu_s <= loop.BURST_S + loop.SHARE * hours * 3600 + world.glance_s


def test_what_is_over_is_told_whether_or_not_there_is_a_budget_for_glances() -> None:
    world, watch = begun(glance_s=100.0, still=frozenset({CHILD}), report=STUCK)
    run(world, watch, 600)
    glances = len(world.glanced)
    world.counts, world.still = {CHILD: 9}, frozenset()
    assert told(run(world, watch, 60)) == [(Kind.STATE, "stuck", "works")]
    assert len(world.glanced) == glances


def test_a_budget_grows_with_time() -> None:
    now = [100.0]
    budget = Budget(lambda: now[0])
    assert budget.allows()
    budget.spent_s = loop.BURST_S
    assert not budget.allows()
    now[0] += 1.0
    assert budget.allows()


def test_a_pulse_knows_what_stands_still_and_since_when() -> None:
    pulse = Pulse()
    assert pulse.beat({1: 5, 2: 7}, 0.0) == {1, 2}
    assert pulse.beat({1: 6, 2: 7}, 5.0) == {1}
    assert pulse.still(5.0, 5.0) == {2}
    assert (pulse.since_s(1), pulse.since_s(2), pulse.since_s(3)) == (5.0, 0.0, None)
    assert pulse.beat({2: 7}, 10.0) == frozenset()
    assert set(pulse.known) == {2}


def test_counters_are_those_of_the_kernel_and_none_once_a_worker_has_ended() -> None:
    found = counters(os.getpid())
    assert found[os.getpid()] > 10**6
    assert counters(2**22 - 1) == {}
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        assert wait_until(lambda: counters(ended.pid) == {}), "it is there until somebody waits for it"


def test_a_line_shows_no_text_of_others_as_it_is() -> None:
    event = Event(at=0.0, kind=Kind.STATE, pid=7, name="\x1b[31mshop", before="works", after="stuck", reason="x", since_s=12.0)
    assert line(event) == "1970-01-01T00:00:00Z worker 7 (\\x1b[31mshop): works -> stuck, for 12 s: x"


def test_the_lines_of_json_are_what_was_promised() -> None:
    event = Event(
        at=0.0, kind=Kind.STATE, pid=7, before="works", after="stuck", reason="x", since_s=1.25, still_since={8: 60.0}
    )
    found = json.loads(as_json(event))
    assert set(found) == {"schema", "at", "event", "pid", "name", "from", "to", "reason", "since_s", "worker", "still_since"}
    assert (found["since_s"], found["still_since"]) == (1.2, {"8": "1970-01-01T00:01:00Z"})


def test_the_textfile_has_a_state_of_each_worker_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    from harness.live.watch.textfile import Textfile

    world, watch = begun(still=frozenset({CHILD}), report=STUCK)
    file = tmp_path / "celery.prom"
    metrics = Textfile(file, watch)
    run(world, watch, 30)
    metrics.write()
    text = file.read_text()
    assert 'harness_worker_state{pid="50",state="stuck",worker="shop, web@here"} 1.0' in text
    assert 'harness_worker_state{pid="50",state="works",worker="shop, web@here"} 0.0' in text
    assert f"harness_watch_rounds_total {float(watch.rounds)}" in text
    assert [one.name for one in tmp_path.iterdir()] == ["celery.prom"]
    with pytest.raises(CannotWrite):
        Textfile(tmp_path / "nowhere" / "celery.prom", watch).write()


def test_the_states_that_are_told_are_those_of_why() -> None:
    assert {one.value for one in State} == {"works", "stuck", "waiting", "cannot-say"}


def test_another_worker_with_the_name_of_one_that_was_named_is_not_watched_while_that_one_lives() -> None:
    world = World()
    watch = Watch(every_s=EVERY_S, means=world.means(), named=[world.workers[MAIN]])
    run(world, watch, 30)
    world.workers |= {70: Worker(main=70, app="shop", hostname="web@here")}
    assert run(world, watch, 30) == []
    del world.workers[MAIN]
    assert told(run(world, watch, 300)) == [(Kind.GONE, "works", "gone")], "it was there before: it is no restart"


def test_a_child_that_had_only_just_stopped_at_the_last_look_is_looked_at_once_it_has_stood_for_long() -> None:
    watched = Watched(worker=Worker(main=MAIN))
    watched.beat({MAIN: 1, CHILD: 7}, 0.0)
    world = World(now_s=1.0)
    first = world.first(world.workers[MAIN])
    assert first is not None
    watched.found(first, Judged(), 1.0)
    assert not watched.due(STILL_S)
    watched.beat({MAIN: 2, CHILD: 7}, STILL_S + 2.0)
    assert watched.due(STILL_S + 2.0)


def test_the_eyes_of_one_look_serve_the_next_as_long_as_the_processes_are_the_same() -> None:
    world, watch = begun()
    run(world, watch, 20)
    eyes = watch.workers[MAIN].eyes
    assert eyes is not None
    run(world, watch, 60)
    assert watch.workers[MAIN].eyes is eyes
    world.counts = {SECOND: 1}
    run(world, watch, 120)
    assert watch.workers[MAIN].eyes is not eyes
