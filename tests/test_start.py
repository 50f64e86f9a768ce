"""What a trial starts its worker and its load with: commands, the worker's spec, the load's plan. Nothing is started."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness import places
from harness.client import own_message
from harness.client.plan import Plan
from harness.experiment import seeds
from harness.experiment.matrix import Cell
from harness.places import CHECKOUT
from harness.trial import load, start
from harness.trial.assignment import Assignment
from harness.worker import contract
from tests import replay
from tests.scenes import CELL, scene
from tests.test_live_site import application

FULL = Cell(
    backend="faulty", environment="celery", pool="prefork", concurrency=3, placement="import", call="direct", parent="build",
    batch=8, engine_threads="2x1", prefetch=7, fault="sleep:2.5@10x1", max_tasks=9, start_window_s=4.0, compile_cache="cold",
)  # fmt: skip


def assigned(folder: Path, cell: Cell = CELL, **changes: Any) -> Assignment:
    return replace(replay.assignment(scene(folder)), cell=cell, **changes)


def test_the_spec_says_everything_that_a_worker_reads_and_nothing_else(tmp_path: Path) -> None:
    spec = start.spec_of(assigned(tmp_path, FULL, trial=2, bundle=Path("/bundles/digits")), queue="harness-1", prefix="abc")
    assert set(spec) == set(contract.SPEC_KEYS)
    assert spec == {
        "backend": "faulty", "placement": "import", "call": "direct", "parent": "build", "bundle": "/bundles/digits",
        "batch": 8, "intra": 2, "inter": 1, "cache_dir": str(tmp_path / "compile-cache"),
        "events_dir": str(tmp_path / "events"), "prefetch": 7, "celery": {"worker_max_tasks_per_child": 9},
        "proc_alive_timeout": 4.0, "queue": "harness-1",
        "options": {"kind": "sleep", "value": 2.5, "after": 10, "times": 1, "trial": 2, "folder": str(tmp_path)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [("intra", None), ("inter", None), ("celery", {}), ("proc_alive_timeout", 600.0), ("parent", "nothing"), ("prefetch", 4)],
)
def test_what_a_cell_leaves_open_has_its_usual_value(key: str, value: object, tmp_path: Path) -> None:
    assert start.spec_of(assigned(tmp_path), queue="q", prefix="p")[key] == value


def test_a_warm_compile_cache_is_the_environments_and_a_cold_one_the_trials_own(tmp_path: Path) -> None:
    work = assigned(tmp_path)
    work = replace(work, environment=replace(work.environment, cache_dir=Path("/warm")))
    assert start.spec_of(work, queue="q", prefix="p")["cache_dir"] == "/warm"
    cold = replace(work, cell=replace(CELL, compile_cache="cold"))
    assert start.spec_of(cold, queue="q", prefix="p")["cache_dir"] == str(tmp_path / "compile-cache")


def test_the_spec_can_be_written_down(tmp_path: Path) -> None:
    for cell in (CELL, FULL):
        spec = start.spec_of(assigned(tmp_path, cell), queue="q", prefix="p")
        assert json.loads(json.dumps(spec)) == spec


def test_a_worker_of_somebodys_own_application_gets_the_spec_that_its_visitor_reads(tmp_path: Path) -> None:
    theirs = replace(application(tmp_path), settings={"task_acks_late": True})
    work = assigned(tmp_path, application=theirs)
    assert start.spec_of(work, queue="prices", prefix="abc") == {
        "app": "shop", "tasks": ["shop.price"], "of_rows": [], "turns": [], "deliveries": [],
        "rows": str(tmp_path / "rows.json"), "prefix": "abc",
        "events_dir": str(tmp_path / "events"), "settings": {"task_acks_late": True},
    }  # fmt: skip
    place = start.place_of(work, {})
    assert (place.working_folder, place.application) == (tmp_path, theirs)


@pytest.mark.parametrize("elsewhere", ["", "redis://127.0.0.1:7/0"])
def test_the_worker_finds_the_broker_where_the_client_does_unless_it_is_told_another_way(
    elsewhere: str, tmp_path: Path
) -> None:
    work = assigned(tmp_path, worker_broker_url=elsewhere)
    place = start.place_of(work, {"batch": 1})
    assert place.broker_url == (elsewhere or "redis://127.0.0.1:1/0")
    assert (place.environment, place.folder, place.application, place.spec) == (work.environment, tmp_path, None, {"batch": 1})
    assert load.plan_of(work, queue="q", prefix="p").url == "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    ("pool", "words"),
    [
        ("prefork", ["--pool", "prefork"]),
        ("prefork-spawn", ["--pool", "prefork", "--pool-start-method", "spawn"]),
        ("threads", ["--pool", "threads"]),
        ("gevent", ["--pool", "gevent"]),
        ("eventlet", ["--pool", "eventlet"]),
        ("solo", ["--pool", "solo"]),
    ],
)
def test_a_worker_is_started_as_a_user_would_start_it(pool: str, words: list[str], tmp_path: Path) -> None:
    command = start.command_of(assigned(tmp_path, replace(CELL, pool=pool, concurrency=3)))
    programs = [str(tmp_path / "bin" / name) for name in ("python", "celery")]
    assert command == [
        *programs, "-A", "harness.worker.app", "worker", *words, "--concurrency", "3", "--loglevel", "WARNING",
        "--without-mingle", "--hostname", "harness@%h",
    ]  # fmt: skip


@pytest.mark.parametrize(("processes", "program"), [(1, "harness.worker.baseline"), (4, "harness.worker.ceiling")])
def test_a_baseline_is_one_process_or_several(processes: int, program: str, tmp_path: Path) -> None:
    command = start.command_of(assigned(tmp_path, replace(CELL.baseline(), concurrency=processes)))
    number = [str(processes)] if processes > 1 else []
    python, result = str(tmp_path / "bin" / "python"), str(tmp_path / "requests.npz")
    assert command == [python, "-m", program, "1.0", "5", result, *number]


def test_an_application_is_started_by_its_own_interpreter(tmp_path: Path) -> None:
    work = assigned(tmp_path, application=application(tmp_path))
    assert start.command_of(work)[:6] == ["/theirs/bin/python", "-m", "celery", "-A", "shop", "worker"]
    result = str(tmp_path / "requests.npz")
    serial = start.command_of(replace(work, cell=CELL.baseline()))
    assert serial[:6] == ["/theirs/bin/python", "-m", "harness.worker.serial", "1.0", "5", result]
    assert serial[6:8] == ["2", "6.0"], "two witnesses beside each other, who may take some of the trial's limit"
    assert serial[8:] == ["14.0", "0"], "the calls take the rest, if they are slow"
    patient = replace(work, cell=CELL.baseline(), settings=work.settings.model_copy(update={"limit_s": 400.0}))
    assert start.command_of(patient)[6:] == ["2", "20.0", "90.0", "0"]


def test_the_plan_says_what_to_send(tmp_path: Path) -> None:
    settings = replay.assignment(scene(tmp_path)).settings.model_copy(
        update={"measure_s": 3.0, "requests": 40, "warmup_limit_s": 7.0, "stable_limit_s": 2.0, "limit_s": 30.0, "seed": 9}
    )
    work = assigned(tmp_path, replace(FULL, traffic="closed-16"), settings=settings, rows=320, trial=4)
    assert load.plan_of(work, queue="harness-1", prefix="abc") == Plan(
        url="redis://127.0.0.1:1/0", queue="harness-1", traffic="closed-16", rows=320, batch=8, measure_s=3.0, requests=40,
        warmup_limit_s=7.0, stable_limit_s=2.0, search_s=15.0, executors=3, by_thread=False, in_flight_warmup=16, at_once=3,
        arrivals_seed=seeds.seed_for("arrivals", 9, 4), rows_seed=seeds.seed_for("rows", 9, 4),
        events_dir=str(tmp_path / "events"), result=str(tmp_path / "requests.npz"), prefix="abc", messages="",
        kept=str(own_message.place(places.home(), "redis://127.0.0.1:1/0")),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("pool", "concurrency", "executors", "by_thread"),
    [("prefork", 3, 3, False), ("threads", 3, 3, True), ("gevent", 3, 1, False), ("solo", 1, 1, False)],
)
def test_so_many_executors_have_to_answer_in_warm_up_as_can_be_told_apart(
    pool: str, concurrency: int, executors: int, by_thread: bool, tmp_path: Path
) -> None:
    plan = load.plan_of(assigned(tmp_path, replace(CELL, pool=pool, concurrency=concurrency)), queue="q", prefix="p")
    assert (plan.executors, plan.by_thread) == (executors, by_thread)


@pytest.mark.parametrize(("traffic", "concurrency", "in_flight"), [("single", 4, 8), ("closed-4", 1, 4), ("closed-4", 2, 4)])
def test_warm_up_keeps_twice_as_many_requests_in_flight_as_there_are_executors_at_least(
    traffic: str, concurrency: int, in_flight: int, tmp_path: Path
) -> None:
    cell = replace(CELL, traffic=traffic, concurrency=concurrency)
    assert load.plan_of(assigned(tmp_path, cell), queue="q", prefix="p").in_flight_warmup == in_flight


def test_an_applications_messages_are_its_own(tmp_path: Path) -> None:
    theirs = replace(application(tmp_path), messages=tmp_path / "messages.json")
    plan = load.plan_of(assigned(tmp_path, application=theirs), queue="q", prefix="p")
    assert plan.messages == str(tmp_path / "messages.json")


def test_the_load_gets_its_plan_in_a_file_and_none_of_the_users_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[Any, Any]] = []
    monkeypatch.setattr(load, "OwnedProcess", lambda argv, **given: started.append((argv, given)))
    for name, value in {"SECRET": "word", "PATH": "/bin", "HOME": "/home/me"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("LANG", raising=False)
    work = assigned(tmp_path)
    plan = load.plan_of(work, queue="q", prefix="p")
    load.start(work, plan)
    ((argv, given),) = started
    assert argv == [sys.executable, "-m", "harness.client", str(tmp_path / "plan.json")]
    told = json.loads((tmp_path / "plan.json").read_text())
    assert Plan(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()}) == plan
    assert given["log"] == tmp_path / "client.log"
    assert given["env"] == {
        "PATH": "/bin", "HOME": "/home/me", "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    }  # fmt: skip
