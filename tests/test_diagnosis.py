"""Evidence can be had where py-spy may not look, and is free of this machine's paths."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.machine import procfs, python_locks
from harness.machine.processes import OwnedProcess
from harness.machine.procfs import Thread
from harness.observe import greenlets, placed, roles, stacks
from harness.observe.diagnosis import Subject, collect, lost_threads
from harness.observe.progress import Progress
from harness.observe.roles import Role
from tests.test_watchdog import FUTEX
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
HANGING = """
import sys, threading, time
from harness.worker import self_report
self_report.answer_signals(sys.argv[1])
print("up", flush=True)
def stuck_here(): time.sleep(300)
stuck_here()
"""
LOCKED = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
BUSY = """
import sys, threading
from harness.worker import self_report
self_report.answer_signals(sys.argv[1])
def deeper(n): return deeper(n - 1) if n else 0
def busy():
    while True: deeper(50)
for _ in range(3): threading.Thread(target=busy, daemon=True).start()
print("up", flush=True)
busy()
"""

LIB = "/usr/lib/python3.11"
SITE = "/srv/venv/lib/python3.11/site-packages"
THREAD = (("run", f"{LIB}/threading.py"), ("_bootstrap_inner", f"{LIB}/threading.py"), ("_bootstrap", f"{LIB}/threading.py"))
POOL = (("_worker", f"{LIB}/concurrent/futures/thread.py"), *THREAD)
MAIN = (
    ("main", f"{SITE}/click/core.py"),
    ("main", f"{SITE}/celery/bin/celery.py"),
    ("<module>", "/srv/venv/bin/celery"),
)
ASYNLOOP = (
    ("poll", f"{SITE}/kombu/utils/eventio.py"),
    ("create_loop", f"{SITE}/kombu/asynchronous/hub.py"),
    ("asynloop", f"{SITE}/celery/worker/loops.py"),
    ("Blueprint.start", f"{SITE}/celery/bootsteps.py"),
    ("WorkController.start", f"{SITE}/celery/worker/worker.py"),
)
SCRIPT = (*ASYNLOOP, ("worker_main", f"{SITE}/celery/app/base.py"), ("<module>", "/srv/shop/run.py"))
WRAPPED_CHILD = (
    ("Connection._recv", f"{SITE}/billiard/connection.py"),
    ("Worker.workloop", f"{SITE}/billiard/pool.py"),
    ("sentry_workloop", f"{SITE}/sentry_sdk/integrations/celery/__init__.py"),
    ("Worker.__call__", f"{SITE}/billiard/pool.py"),
    ("BaseProcess._bootstrap", f"{SITE}/billiard/process.py"),
    ("Popen._launch", f"{SITE}/billiard/popen_fork.py"),
    *SCRIPT[4:],
)
#: (function, file), innermost first
OWN = {
    "the main process": (
        ("poll", f"{SITE}/kombu/utils/eventio.py"),
        ("asynloop", f"{SITE}/celery/worker/loops.py"),
        *MAIN,
    ),
    "the main process of a distribution": (
        ("read_response", "/usr/lib/python3/dist-packages/redis/connection.py"),
        ("synloop", "/usr/lib/python3/dist-packages/celery/worker/loops.py"),
        ("_run_module_as_main", "<frozen runpy>"),
    ),
    "an idle child": (("recv", f"{SITE}/billiard/connection.py"), ("workloop", f"{SITE}/billiard/pool.py"), *MAIN),
    "the timer": (("wait", f"{LIB}/threading.py"), ("run", f"{SITE}/celery/utils/timer2.py"), *THREAD),
    "an idle spawned child": (
        ("recv", f"{SITE}/billiard/connection.py"),
        ("workloop", f"{SITE}/billiard/pool.py"),
        ("spawn_main", f"{SITE}/billiard/spawn.py"),
        ("<module>", "<string>"),
    ),
    "an idle thread of the pool": POOL,
    "an idle child of a wrapped loop": WRAPPED_CHILD,
    "the main process of a script": SCRIPT,
    "the main process under a profiler": (*ASYNLOOP, ("<module>", f"{LIB}/cProfile.py")),
    "an idle thread of the pool that is watched": (POOL[0], ("run", f"{SITE}/sentry_sdk/integrations/threading.py"), *THREAD),
    "a timer that is watched": (
        ("wait", f"{LIB}/threading.py"),
        ("Timer.run", f"{SITE}/celery/utils/timer2.py"),
        ("run", f"{SITE}/sentry_sdk/integrations/threading.py"),
        *THREAD,
    ),
    "an idle thread whose queue is Python code": (("wait", f"{LIB}/threading.py"), ("get", f"{LIB}/queue.py"), *POOL),
}
THEIRS = {
    "a task": (("predict", "/srv/shop/tasks.py"), ("trace_task", f"{SITE}/celery/app/trace.py"), *MAIN),
    "a listener of Redis": (
        ("read_response", f"{SITE}/redis/connection.py"),
        ("run", f"{SITE}/redis/client.py"),
        *THREAD,
    ),
    "a listener of kombu's that calls the application": (
        ("on_message", "/srv/shop/events.py"),
        ("drain_events", f"{SITE}/kombu/connection.py"),
        *THREAD,
    ),
    "a thread of gevent's": (("run", f"{SITE}/gevent/threadpool.py"),),
    "a consumer of kombu's, started by the application": (
        ("poll", f"{SITE}/kombu/utils/eventio.py"),
        ("consume", f"{SITE}/kombu/mixins.py"),
        ("run", f"{SITE}/kombu/mixins.py"),
        *THREAD,
    ),
    "a receiver of Celery's events": (
        ("recv", f"{SITE}/redis/connection.py"),
        ("drain_events", f"{SITE}/kombu/connection.py"),
        ("capture", f"{SITE}/celery/events/receiver.py"),
        *THREAD,
    ),
    "a timer of threading's": (("wait", f"{LIB}/threading.py"), *THREAD),
    "a function in an executor": (("run", f"{LIB}/concurrent/futures/thread.py"), *POOL),
    "an executor's thread that waits for another's queue": (
        ("get", f"{LIB}/queue.py"),
        ("run", f"{LIB}/concurrent/futures/thread.py"),
        *POOL,
    ),
    "a project's folder that is called celery": (("loop", "/srv/shop/celery/loop.py"), *THREAD),
    "a project's queue.py": (("wait", "/srv/shop/queue.py"), ("run", f"{SITE}/celery/utils/timer2.py"), *THREAD),
    "a handler in the loop of a script": (("heard", "/srv/shop/hooks.py"), *SCRIPT),
    "a handler in a wrapped child": (("heard", "/srv/shop/hooks.py"), *WRAPPED_CHILD),
    "a thread without a frame": (),
}


@pytest.mark.parametrize("frames", OWN.values(), ids=OWN)
def test_a_thread_that_runs_celery_alone_is_celerys_own(frames: tuple[tuple[str, str], ...]) -> None:
    assert roles.is_own(frames)


@pytest.mark.parametrize("frames", THEIRS.values(), ids=THEIRS)
def test_a_thread_that_may_run_the_applications_code_is_not(frames: tuple[tuple[str, str], ...]) -> None:
    assert not roles.is_own(frames)


GREENLET = (("switch", f"{SITE}/gevent/_greenlet_primitives.py"), ("run", f"{SITE}/gevent/greenlet.py"))
EVENTLET = (("switch", f"{SITE}/eventlet/hubs/hub.py"), ("main", f"{SITE}/eventlet/greenthread.py"))
#: (function, file) of a suspended greenlet, innermost first -> whether it may run the application's code
GREENLETS = {
    "gevent's hub": ((("run", f"{SITE}/gevent/hub.py"),), False),
    "eventlet's hub": ((("wait", f"{SITE}/eventlet/hubs/poll.py"), ("run", f"{SITE}/eventlet/hubs/hub.py")), False),
    "gevent's native threads": ((("_begin", f"{SITE}/gevent/threadpool.py"),), False),
    "a sleep of gevent's that somebody spawned": ((("sleep", f"{SITE}/gevent/hub.py"), *GREENLET[1:]), True),
    "a read of gevent's that somebody spawned": ((("recv", f"{SITE}/gevent/_socketcommon.py"),), True),
    "a sleep of eventlet's that somebody spawned": ((("sleep", f"{SITE}/eventlet/greenthread.py"), *EVENTLET), True),
    "what the loop will call by itself": ((("set", "<event loop>"),), True),
    "the consumer": ((*GREENLET[:1], ("poll", f"{SITE}/kombu/utils/eventio.py"), *MAIN), False),
    "the pool's": ((*GREENLET[:1], ("apply_target", f"{SITE}/celery/concurrency/base.py"), *GREENLET[1:]), False),
    "a task": ((("predict", "/srv/shop/tasks.py"), ("apply_target", f"{SITE}/celery/concurrency/base.py"), *EVENTLET), True),
    "a listener of Redis": ((*EVENTLET[:1], ("run", f"{SITE}/redis/client.py"), *THREAD, *EVENTLET[1:]), True),
    "a consumer of kombu's": ((("run", f"{SITE}/kombu/mixins.py"), *THREAD, *EVENTLET), True),
    "a receiver of events": ((("capture", f"{SITE}/celery/events/receiver.py"), *THREAD, *EVENTLET), True),
    "somebody's timer": ((("wait", f"{LIB}/threading.py"), *THREAD, *EVENTLET), True),
    "a folder that is called celery": ((("loop", "/srv/celery/loop.py"), *EVENTLET), True),
}  # fmt: skip


@pytest.mark.parametrize(("frames", "foreign"), GREENLETS.values(), ids=GREENLETS)
def test_a_greenlet_is_celerys_own_by_its_root_and_by_all_its_frames(
    frames: tuple[tuple[str, str], ...], foreign: bool
) -> None:
    told = [{"function": name, "file": file, "line": 1, "timeout": None, "request": None} for name, file in frames]
    assert greenlets.read(told).foreign is foreign


def told_of(*files: str, **innermost: object) -> bool:
    frames = [{"function": "wait", "file": file, "line": 1, "timeout": None, "request": None} for file in files]
    frames[0].update(innermost)  # type: ignore[arg-type]
    return greenlets.read(frames).on_lock


def test_a_wait_in_c_for_a_lock_of_gevents_is_seen_by_the_lock_that_lists_the_greenlet() -> None:
    tasks = "/srv/shop/tasks.py"
    assert told_of(tasks, linked=True, timer=False)
    assert not told_of(tasks, linked=False, timer=False)
    assert not told_of(tasks, linked=True, timer=True), "a Timeout will strike"
    assert not told_of(f"{SITE}/gevent/select.py", tasks, linked=True, timer=False), "the event of a select is set by a socket"
    assert told_of(f"{SITE}/gevent/event.py", tasks, linked=True, timer=False)


IDLE_CHILD = (
    ("recv", f"{SITE}/billiard/connection.py"),
    ("Worker.workloop", f"{SITE}/billiard/pool.py"),
    ("_bootstrap", f"{SITE}/billiard/process.py"),
    *MAIN,
)
TASK = (("predict", "/srv/shop/tasks.py"), ("trace_task", f"{SITE}/celery/app/trace.py"))
#: the stacks of a process by thread, the main one first -> what it does
ROLES = {
    "an idle child": ((IDLE_CHILD,), Role.IDLE),
    "an idle child with a frame of Python 3.13's own": (
        ((*IDLE_CHILD[:3], ("__init__", "__init__"), *IDLE_CHILD[3:]),),
        Role.IDLE,
    ),
    "a child inside a task": (((*TASK, *IDLE_CHILD),), Role.RUNNING),
    "a child inside a handler around a task": (
        ((("before", "/srv/shop/hooks.py"), ("trace_task", f"{SITE}/celery/app/trace.py"), *IDLE_CHILD),),
        Role.RUNNING,
    ),
    "a child in the application's handler": ((((("load", "/srv/shop/tasks.py")), *IDLE_CHILD[2:]),), Role.STARTING),
    "a child in Celery's own start": (((("setup", f"{SITE}/celery/concurrency/prefork.py"), *IDLE_CHILD[2:]),), Role.STARTING),
    "a child in a handler of its end": (
        (
            (
                ("join", "/usr/lib/python3.11/threading.py"),
                ("flush", "/srv/shop/tasks.py"),
                ("Signal.send", f"{SITE}/celery/utils/dispatch/signal.py"),
                ("process_destructor", f"{SITE}/celery/concurrency/prefork.py"),
                ("Worker._do_exit", f"{SITE}/billiard/pool.py"),
                ("Worker.__call__", f"{SITE}/billiard/pool.py"),
                *IDLE_CHILD[2:],
            ),
        ),
        Role.ENDING,
    ),
    "a child that joins what is left at its exit": (
        ((("join", f"{SITE}/billiard/process.py"), ("_exit_function", f"{SITE}/billiard/util.py"), *IDLE_CHILD[2:]),),
        Role.ENDING,
    ),
    "a child in the application's function of that name": (
        ((("_do_exit", "/srv/shop/pool.py"), *IDLE_CHILD[2:]),),
        Role.STARTING,
    ),
    "a spawned child that imports": (
        ((("<module>", "/srv/shop/tasks.py"), ("spawn_main", f"{SITE}/billiard/spawn.py"), ("<module>", "<string>")),),
        Role.STARTING,
    ),
    "a main process at rest": ((OWN["the main process"],), Role.MAIN),
    "a main process inside a handler": (((("heard", "/srv/shop/hooks.py"), *OWN["the main process"]),), Role.HELD),
    "a thread that runs a task": ((OWN["the main process"], (*TASK, *POOL)), Role.RUNNING),
    "a hub of gevent at rest": (((("run", f"{SITE}/gevent/hub.py"),),), Role.MAIN),
    "an idle child of a wrapped loop": ((WRAPPED_CHILD,), Role.IDLE),
    "a main process that a script has started": ((SCRIPT,), Role.MAIN),
    "a main process without Celery's program": ((SCRIPT[:5],), Role.MAIN),
    "a main process of a script inside a handler": (((("heard", "/srv/shop/hooks.py"), *SCRIPT),), Role.HELD),
    "a child of billiard's that a task has forked": (
        (
            (
                ("wait", "/srv/shop/tasks.py"),
                ("Process._bootstrap", f"{SITE}/billiard/process.py"),
                ("Popen._launch", f"{SITE}/billiard/popen_fork.py"),
                *TASK,
                *SCRIPT[2:],
            ),
        ),
        Role.STARTING,
    ),
    "a process of somebody else's": (((("serve", "/srv/shop/server.py"),),), Role.UNKNOWN),
    "a process without a frame": (((),), Role.UNKNOWN),
}


@pytest.mark.parametrize(("threads", "role"), ROLES.values(), ids=ROLES)
def test_what_a_process_does_is_told_by_its_stacks(threads: tuple[tuple[tuple[str, str], ...], ...], role: Role) -> None:
    stacks_of = {7 + number: stack for number, stack in enumerate(threads)}
    assert roles.role(7, stacks_of) is role
    assert bool(roles.tracing(stacks_of)) is (role is Role.RUNNING)


def helper(*below: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """The main stack of a process that Python's own multiprocessing has forked."""
    return (
        ("recv", f"{LIB}/multiprocessing/connection.py"),
        ("write_lines", "/srv/shop/log.py"),
        ("BaseProcess._bootstrap", f"{LIB}/multiprocessing/process.py"),
        ("Popen._launch", f"{LIB}/multiprocessing/popen_fork.py"),
        *below,
    )


@pytest.mark.parametrize("below", [(("<module>", "/srv/shop/tasks.py"), *MAIN), (*TASK, *SCRIPT[2:])], ids=["import", "task"])
def test_a_process_that_billiard_has_not_started_does_nothing_for_the_pool(below: tuple[tuple[str, str], ...]) -> None:
    assert roles.role(7, {7: helper(*below)}, is_main=False) is Role.UNKNOWN
    assert not roles.tracing({7: helper(*below)})


VENDOR = "/srv/shop/vendor"


@pytest.mark.parametrize(
    ("threads", "role"), [(SCRIPT, Role.MAIN), (WRAPPED_CHILD, Role.IDLE), ((*TASK, *WRAPPED_CHILD[1:]), Role.RUNNING)]
)
def test_celery_is_known_outside_of_site_packages(threads: tuple[tuple[str, str], ...], role: Role) -> None:
    there = [(name, file.replace(SITE, VENDOR)) for name, file in threads]
    assert roles.role(7, {7: there}) is not role
    assert roles.role(7, placed.settled({7: there})) is role


def test_each_part_of_celery_may_lie_in_a_wheel_of_its_own() -> None:
    there = [(name, file.replace(f"{SITE}/", "/c/kombu-5.7-py3-none-any.whl/")) for name, file in SCRIPT]
    redis = ("read", "/c/redis-5.0-py3-none-any.whl/redis/connection.py")
    assert roles.role(7, placed.settled({7: [redis, *there[1:]]})) is Role.MAIN


def test_a_project_in_a_folder_that_is_called_celery_is_not_taken_for_it() -> None:
    stack = [("handle", "/srv/celery/app/trace.py"), ("serve", "/srv/celery/worker/worker.py"), ("main", "/srv/celery/run.py")]
    assert placed.settled({7: stack}) == {7: stack}


def test_a_process_tells_its_own_stacks_where_py_spy_may_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "_ask", lambda argv, limit_s: ("", "Permission denied"))
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with OwnedProcess([sys.executable, "-c", HANGING, str(tmp_path)], log=log, env=environment) as process:
        assert wait_until(lambda: log.exists() and "up" in log.read_text())
        text = stacks.stacks(process.pid, tmp_path / f"stacks-{process.pid}.txt")
    assert "Permission denied" in text
    assert "stuck_here" in text


@pytest.mark.parametrize(("ready_at_s", "told"), [(None, "its start waits for a sleep to end"), (1.0, "")])
def test_what_a_worker_waits_for_before_it_is_ready_is_told(tmp_path: Path, ready_at_s: float | None, told: str) -> None:
    log, progress = tmp_path / "log", Progress(tmp_path)
    progress.ready_at_s = ready_at_s
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with OwnedProcess([sys.executable, "-c", HANGING, str(tmp_path)], log=log, env=environment) as process:
        assert wait_until(lambda: log.exists() and "up" in log.read_text() and procfs.threads(process.pid)[0].state == "S")
        subject = Subject(
            main=process.pid, first=(), tree=(process.pid,), at_ready={}, log=log, progress=progress, request_id=str
        )
        waits = collect(tmp_path / "evidence", subject).waits
    assert [text.partition(",")[0] for text in waits] == ([told] if told else [])


def test_the_lock_of_python_that_a_thread_waits_for_is_told_by_memory(tmp_path: Path) -> None:
    log, progress = tmp_path / "log", Progress(tmp_path)
    with OwnedProcess([sys.executable, "-c", LOCKED], log=log, env={"PATH": os.environ["PATH"]}) as process:
        assert wait_until(lambda: python_locks.waited_for(process.pid, process.pid))
        subject = Subject(
            main=process.pid, first=(), tree=(process.pid,), at_ready={}, log=log, progress=progress, request_id=str
        )
        assert collect(tmp_path / "evidence", subject).lock == "threading.Lock"


def test_asking_for_greenlets_does_nothing_to_a_process_without_any(tmp_path: Path) -> None:
    """A threads worker was asked, too, and faulthandler's look at its running threads crashed it now and then."""
    log = tmp_path / "log"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    with OwnedProcess([sys.executable, "-c", BUSY, str(tmp_path)], log=log, env=environment) as process:
        assert wait_until(lambda: log.exists() and "up" in log.read_text())
        for _ in range(1000):
            greenlets.ask(process.pid)
            time.sleep(0.0005)
        assert process.poll() is None
        assert greenlets.answer(tmp_path, process.pid) is None
        assert not (tmp_path / f"stacks-{process.pid}.txt").read_bytes()


def test_what_the_parent_has_started_since_the_fork_is_not_lost() -> None:
    def thread(name: str, started: int) -> Thread:
        return replace(FUTEX, name=name, started_ticks=started)

    parent = (thread("python", 100), thread("engine", 150), thread("engine", 900), thread("late", 800))
    child = (thread("python", 500),)
    assert lost_threads(parent, child) == {"engine": 1}
    assert lost_threads(parent, (*child, thread("engine", 600))) == {}
    unknown = tuple(replace(one, started_ticks=0) for one in child)
    assert lost_threads(parent, unknown) == {"engine": 2, "late": 1}
