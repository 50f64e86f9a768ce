"""The real site with plain stand-ins for its processes: what it starts, in which order, and how it takes its leave."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from harness.broker import Census, valkey
from harness.client.plan import Plan, request_id
from harness.machine import oom_kills, procfs
from harness.machine.oom_kills import Kills
from harness.observe import diagnosis
from harness.observe.diagnosis import Evidence
from harness.observe.eyes import set_by_billiard
from harness.observe.looks import ProcessLook
from harness.trial import live_site
from harness.trial.application import Application
from harness.trial.assignment import Assignment
from harness.trial.live_site import LiveSite, Means
from harness.trial.supervisor import Place
from harness.worker import contract
from tests import replay
from tests.replay import StoredProgress
from tests.scenes import CELL, IDLE, MAIN, STUCK, T0, request, sample, scene, serving

KEEPER, CLIENT_PID = 9, 2**22 + 1  # no process has this number
Story = list[str]


class Program:
    """A process of ours: alive until it is ended."""

    kernel_cpu_s = 4.5

    def __init__(self, name: str, story: Story, pid: int) -> None:
        self.name, self.story, self.pid, self.keeper_pid = name, story, pid, KEEPER
        self.code: int | None = None

    def poll(self) -> int | None:
        return self.code

    def terminate(self, grace_s: float) -> bool:
        self.story.append(f"{self.name} terminated within {grace_s:g} s")
        return True

    def kill(self) -> None:
        self.story.append(f"{self.name} killed")


@dataclass
class Worker:
    """The worker's side, as `supervisor.WorkerSide` names it."""

    story: Story
    progress: StoredProgress
    process: Program
    idle: Sequence[ProcessLook] = ()
    asked: list[Any] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.process.poll()

    def look(self, *, closely: frozenset[int]) -> tuple[ProcessLook, ...]:
        self.asked.append(closely)
        return (IDLE,)

    def settled(self, processes: Sequence[ProcessLook]) -> None:
        self.idle = processes

    def evidence(self, folder: Path, pids: tuple[int, ...], name: Callable[[int], str]) -> Evidence:
        self.asked.append((folder, pids, name(255)))
        return Evidence(path=folder / "stacks.txt")

    def stop(self, *, at_once: bool) -> bool:
        self.story.append("worker killed" if at_once else "worker asked to go")
        return not at_once


class View:
    """The broker's own view; `lost` once it does not answer."""

    def __init__(self, story: Story) -> None:
        self.story, self.lost = story, False
        self.keys: dict[str, int] = {}

    def llen(self, queue: str) -> int:
        if self.lost:
            raise redis.ConnectionError("refused")
        return self.keys.get(queue, 0)

    def hgetall(self, table: str) -> dict[bytes, bytes]:
        self.llen(table)
        return {b"tag": b'[{}, "", "elsewhere"]'}

    def client_list(self) -> list[dict[str, str]]:
        return [{"name": "harness", "idle": "0"}, {"name": "", "idle": "1"}, {"name": "", "idle": "60"}]

    def delete(self, *names: str) -> None:
        self.story.append(f"forgot {names[0]}")

    def flushdb(self) -> None:
        self.llen("")
        self.story.append("flushed")

    def close(self) -> None:
        self.story.append("view closed")


class Readings:
    """The monitor: notes what it is to watch and what it is asked."""

    def __init__(self, story: Story, **watched: Any) -> None:
        self.story, self.of = story, watched
        self.asked: list[tuple[str, bool]] = []
        story.append("monitor made")

    def sample(self, phase: str, *, edge: bool = False) -> Any:
        self.asked.append((phase, edge))
        self.story.append("sampled")
        return sample(7.0)

    def watched(self) -> str:
        return "what was watched"


class OwnBroker:
    """A broker that is ours, and runs."""

    url = "redis://127.0.0.1:1/0"

    def __init__(self) -> None:
        self.process = Program("broker", [], 77)


@dataclass
class Stage:
    """Makes the site of one trial with stand-ins; `fails`: which of them cannot be had."""

    work: Assignment
    fails: str = ""
    story: Story = field(default_factory=list)
    clock_s: float = T0
    slept: list[float] = field(default_factory=list)
    given: dict[str, Any] = field(default_factory=dict)

    def made(self) -> LiveSite:
        means = Means(
            clock=lambda: self.clock_s, sleep=self._sleep, worker=self._worker, load=self._load, broker_view=self._view,
            monitor=self._monitor,
        )  # fmt: skip
        return LiveSite(self.work, means)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock_s += seconds

    def _begin(self, name: str, given: Any) -> None:
        if self.fails == name:
            raise OSError(f"no {name}")
        self.story.append(f"{name} started")
        self.given[name] = given

    def _worker(self, place: Place, argv: list[str]) -> Any:
        self._begin("worker", (place, argv))
        progress = StoredProgress(self.work.events, lambda: self.clock_s)
        return Worker(self.story, progress, Program("worker process", self.story, MAIN))

    def _load(self, work: Assignment, plan: Plan) -> Any:
        self._begin("load", (work, plan))
        return Program("load", self.story, CLIENT_PID)

    def _view(self, server: Any, prefix: str) -> Any:
        self.given |= {"view": server.url, "connection": View(self.story)}
        return valkey.View(cast(Any, self.given["connection"]), prefix)

    def _monitor(self, **watched: Any) -> Any:
        if self.fails == "monitor":
            raise OSError("no monitor")
        return Readings(self.story, **watched)


def stage(folder: Path, *events: Any, fails: str = "", **changes: Any) -> Stage:
    return Stage(replay.assignment(scene(folder, *events), **{"broker": OwnBroker(), **changes}), fails)


def application(folder: Path) -> Application:
    return Application(
        app="shop", tasks=("shop.price",), python=Path("/theirs/bin/python"), folder=folder, own_variables={},
        rows=folder / "rows.json", queue_keys=("prices",),
    )  # fmt: skip


def test_a_site_starts_the_worker_then_the_load_and_watches_both(tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    assert setting.story == ["worker started", "load started", "monitor made"]
    assert (site.main, site.started_s) == (MAIN, T0)
    assert site._monitor.of == {
        "worker": site.worker.process, "broker": setting.work.broker.process, "client": site.client, "broker_spread": False,
    }  # fmt: skip
    assert setting.given["view"] == setting.work.broker.url


def test_worker_and_load_meet_in_one_queue_that_nobody_else_has(tmp_path: Path) -> None:
    setting, other = stage(tmp_path / "one"), stage(tmp_path / "two")
    sites = [setting.made(), other.made()]
    place, argv = setting.given["worker"]
    work, plan = setting.given["load"]
    assert place.spec["queue"] == plan.queue == sites[0].queues[0]
    assert plan.prefix == sites[0].prefix
    assert sites[0].queues[0].startswith("harness-")
    assert len({site.queues[0] for site in sites}) == len({site.prefix for site in sites}) == 2
    assert work is setting.work
    assert argv[2:5] == ["-A", contract.APP, "worker"]
    assert place.folder == work.folder


def test_a_baseline_makes_its_own_load(tmp_path: Path) -> None:
    setting = stage(tmp_path, cell=CELL.baseline())
    site = setting.made()
    assert setting.story == ["worker started", "monitor made"]
    assert not site.has_client()
    assert site.client_state() == ""
    assert site._monitor.of["client"] is None
    site.worker.process.code = 3
    assert (site.client_code(), site.worker_code()) == (3, 3)
    site.close("done")
    assert "load" not in "".join(setting.story)


@pytest.mark.parametrize(
    ("fails", "undone"), [("worker", []), ("load", ["worker killed"]), ("monitor", ["load killed", "worker killed"])]
)
def test_what_was_started_ends_again_if_a_later_step_fails(fails: str, undone: list[str], tmp_path: Path) -> None:
    setting = stage(tmp_path, fails=fails)
    with pytest.raises(OSError, match=f"no {fails}"):
        setting.made()
    started = [what for what in setting.story if what.endswith("started")]
    assert setting.story == [*started, *undone, "view closed"]


@pytest.mark.parametrize(
    ("ended_by", "sampled"), [("done", True), ("verdict", True), ("interrupted", True), ("limit", True), ("", False)]
)
def test_the_client_ends_before_the_worker_and_ours_is_killed_at_once(ended_by: str, sampled: bool, tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    setting.story.clear()
    last = site.close(ended_by)
    middle = ["sampled"] if sampled else []
    forgets = [f"forgot {site.queues[0]}", f"forgot {site.queues[0]}-template"]
    assert setting.story == ["load terminated within 5 s", *middle, "worker killed", *forgets, "view closed"]
    assert last == (sample(7.0) if sampled else None)
    assert setting.slept == []


def test_a_worker_that_has_ended_is_sampled_no_more(tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    site.worker.process.code = -9
    assert site.close("worker-exit") is None
    assert "sampled" not in setting.story
    assert site.worker_code() == -9


@pytest.mark.parametrize(
    ("whose", "ended_by", "word"),
    [
        ("theirs", "done", "worker asked to go"),
        ("theirs", "interrupted", "worker asked to go"),
        ("theirs", "verdict", "worker killed"),
        ("theirs", "limit", "worker killed"),
        ("their broker", "done", "worker asked to go"),
        ("their broker", "verdict", "worker killed"),
        ("ours", "interrupted", "worker killed"),
    ],
)
def test_what_is_somebody_elses_may_say_goodbye_unless_it_hangs(whose: str, ended_by: str, word: str, tmp_path: Path) -> None:
    changes = {"theirs": {"application": application(tmp_path)}, "their broker": {"broker": replay.NoBroker()}, "ours": {}}
    setting = stage(tmp_path, **changes[whose])
    setting.made().close(ended_by)
    assert [what for what in setting.story if what in ("worker asked to go", "worker killed")] == [word]


def test_only_the_broker_of_an_application_is_emptied(tmp_path: Path) -> None:
    theirs, ours = stage(tmp_path / "a", application=application(tmp_path)), stage(tmp_path / "b")
    for setting in (theirs, ours):
        setting.made().close("done")
    assert [setting.story.count("flushed") for setting in (theirs, ours)] == [1, 0]
    assert [what for what in theirs.story if "forgot" in what] == ["forgot prices", "forgot prices-template"]
    assert theirs.story[-1] == ours.story[-1] == "view closed"


def test_a_broker_that_is_lost_is_left_alone_and_has_no_depth(tmp_path: Path) -> None:
    setting = stage(tmp_path, application=application(tmp_path))
    site = setting.made()
    connection = setting.given["connection"]
    connection.keys["prices"] = 3
    assert site.depth() == (3, 0)
    connection.lost = True
    assert site.depth() is None
    site.close("broker-silent")
    assert not [what for what in setting.story if "forgot" in what or what == "flushed"]
    assert setting.story[-1] == "view closed"


def test_a_worker_that_has_answered_is_given_a_moment_to_note_that_it_is_done(tmp_path: Path) -> None:
    setting = stage(tmp_path, serving(request(1, 2.0, took_s=0.35)))
    site = setting.made()
    setting.clock_s = T0 + 2.1
    site.progress.read()
    assert site.progress.open
    site.close("done")
    assert setting.slept == [live_site.LAST_WORDS_EVERY_S] * 3
    assert not site.progress.open


@pytest.mark.parametrize(
    ("ended_by", "code", "waits_s"), [("done", None, live_site.LAST_WORDS_S), ("done", 0, 0), ("limit", None, 0)]
)
def test_last_words_are_waited_for_only_so_long_of_a_worker_that_lives_and_has_answered(
    ended_by: str, code: int | None, waits_s: float, tmp_path: Path
) -> None:
    setting = stage(tmp_path, serving(request(1, 2.0, upto="begun")))
    site = setting.made()
    setting.clock_s = T0 + 2.1
    site.progress.read()
    site.worker.process.code = code
    site.close(ended_by)
    assert sum(setting.slept) == pytest.approx(waits_s, abs=0.11)


def test_the_last_signs_of_life_are_read_after_the_worker_has_been_stopped(tmp_path: Path) -> None:
    setting = stage(tmp_path, serving())
    site = setting.made()
    setting.clock_s = T0 + 9.0
    assert site.progress.received == 0
    site.close("verdict")
    assert site.progress.received == 1


def test_the_last_sample_is_of_the_phase_that_was_reached(tmp_path: Path) -> None:
    setting = stage(tmp_path, serving())
    site = setting.made()
    setting.clock_s = T0 + 2.0
    site.progress.read()
    site.close("limit")
    assert site._monitor.asked == [("first", False)]


def test_whatever_is_looked_at_is_passed_on(tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    assert site.look(closely=frozenset({MAIN})) == (IDLE,)
    assert site.sample("measure", edge=True) == sample(7.0)
    assert site.evidence((MAIN,)).path == setting.work.evidence / "stacks.txt"
    assert site.worker.asked == [frozenset({MAIN}), (setting.work.evidence, (MAIN,), request_id(site.prefix, 255))]
    assert site._monitor.asked == [("measure", True)]
    assert site.watched() == "what was watched"
    assert site.kernel_cpu_s() == 4.5
    assert site.has_client()
    assert site.census() == Census(answers=True, messages=0, connections=1)
    setting.given["connection"].lost = True
    assert site.census() == Census(answers=False)
    idle = [replace(IDLE, threads=(STUCK,)), replace(IDLE, pid=MAIN + 1)]
    site.settled(idle)
    assert site.worker.idle == idle


def test_codes_are_those_of_the_processes(tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    assert (site.worker_code(), site.client_code(), site.broker_ended()) == (None, None, False)
    site.client.code, site.worker.process.code, setting.work.broker.process.code = 4, 7, 0
    assert (site.worker_code(), site.client_code(), site.broker_ended()) == (7, 4, True)


def test_a_broker_that_is_not_ours_to_watch_has_never_ended(tmp_path: Path) -> None:
    assert not stage(tmp_path, broker=replay.NoBroker()).made().broker_ended()


def test_the_clients_state_is_the_kernels_letter_and_nothing_once_it_has_gone(tmp_path: Path) -> None:
    site = stage(tmp_path).made()
    assert site.client_state() == ""
    site.client.pid = os.getpid()
    assert site.client_state() in ("R", "S")


def test_kills_for_memory_count_from_the_trials_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Path("a")
    counts = iter(Kills(where=oom_kills.OWN, counts={group: count}) for count in (5, 8))
    monkeypatch.setattr(oom_kills, "read", lambda: next(counts))
    site = stage(tmp_path).made()
    assert (site.oom_kills(), site.oom_counted()) == (3, "in its control group")


def test_the_tree_is_everything_below_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = procfs.process(os.getpid())
    monkeypatch.setattr(procfs, "tree", lambda root: [mine] if root == KEEPER else [])
    assert stage(tmp_path).made().pids() == {os.getpid()}


def test_go_is_a_file_beside_the_plan(tmp_path: Path) -> None:
    site = stage(tmp_path).made()
    assert not (tmp_path / "go").exists()
    site.go()
    assert (tmp_path / "go").exists()


def test_the_logs_tail_is_its_last_part_and_nothing_where_there_is_no_log(tmp_path: Path) -> None:
    setting = stage(tmp_path)
    site = setting.made()
    assert site.log_tail() == ""
    setting.work.log.write_bytes(b"early" + b"x" * (diagnosis.LOG_TAIL_BYTES - 3) + b"\xff.\n")
    assert len(site.log_tail()) == diagnosis.LOG_TAIL_BYTES
    assert site.log_tail().endswith("x\ufffd.\n")
    assert "early" not in site.log_tail()


def test_only_an_application_can_consume_another_queue(tmp_path: Path) -> None:
    ours, theirs = stage(tmp_path / "ours"), stage(tmp_path / "theirs", application=application(tmp_path))
    for setting in (ours, theirs):
        (setting.work.events / contract.QUEUES).write_text('["orders"]')
    assert ours.made().no_consumer() == ""
    assert "no consumer for queue 'prices'" in theirs.made().no_consumer()
    assert theirs.made().queues[0] == "prices"


def test_the_machines_noise_is_read_where_the_site_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_site.noise, "read", lambda: "a reading")
    assert stage(tmp_path).made().noise() == "a reading"


@pytest.mark.parametrize(
    ("main", "children", "found"),
    [
        ((), [{12, 15}, {12}], {12}),
        ((12,), [{12}, {12}], {12}),
        ((12,), [{15}, {12}], set()),
        ((12,), [], set()),
        ((), [{10, 15}], set()),
    ],
)
def test_a_signal_that_every_child_handles_is_billiards(
    main: tuple[int, ...], children: list[set[int]], found: set[int]
) -> None:
    looks = [replace(IDLE, pid=7, caught=frozenset(main))]
    looks += [replace(IDLE, pid=8 + number, caught=frozenset(caught)) for number, caught in enumerate(children)]
    assert set_by_billiard(7, looks) == found
