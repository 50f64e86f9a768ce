"""What looks at a running worker never stops it, whatever its Python keeps, and knows billiard's own handler of a signal."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.live import taken, versions
from harness.live.eyes import Eyes
from harness.live.tasks import Task
from harness.machine import procfs
from harness.machine.native_ids import PLACES, native_ids
from harness.observe import eyes, stacks
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role
from harness.observe.stacks import Glance
from tests.test_watchdog import FUTEX

ME = os.getpid()


@contextmanager
def waiting() -> Iterator[threading.Thread]:
    """A thread that waits."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        yield thread
    finally:
        over.set()
        thread.join()


def test_the_kernels_ids_are_read_from_memory() -> None:
    with waiting() as other:
        mine, its = threading.get_ident(), other.ident or 0
        assert native_ids(ME, [mine, its]) == {mine: threading.get_native_id(), its: other.native_id}


def test_where_other_words_stand_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = threading.get_ident()
    monkeypatch.setattr(procfs, "memory", lambda pid, place, size: b"\1\0\0\0")
    assert native_ids(ME, [mine]) == {}
    monkeypatch.setattr(procfs, "memory", lambda pid, place, size: threading.get_native_id().to_bytes(4, "little"))
    assert native_ids(ME, [mine]) == {mine: threading.get_native_id()}
    assert native_ids(ME, [mine, mine + 1]) == {}  # two threads are never one
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert native_ids(ME, [mine]) == {}
    assert set(PLACES) == {"x86_64", "aarch64"}


def look(
    monkeypatch: pytest.MonkeyPatch, handle: int, native: int | None = None, *, events: Path | None = None
) -> tuple[Any, list[bool]]:
    """At ourselves, as if py-spy said this of our main thread, and whether it was to stop us, each time."""
    frames = [{"name": "ask", "filename": "/srv/shop.py", "short_filename": "shop.py", "line": 3}]
    said = [{"thread_id": handle, "os_thread_id": native, "frames": frames, "thread_name": "MainThread"}]
    stops = []

    def ask(argv: Sequence[str], limit_s: float) -> tuple[str, str]:
        stops.append("--nonblocking" not in argv)
        return json.dumps(said), ""

    monkeypatch.setattr(stacks, "_ask", ask)
    me = procfs.process(ME)
    assert me is not None
    watching = eyes.Eyes(main=ME, tree=lambda: [me], pool=lambda: (), events=events)
    (found,) = watching.look(closely=frozenset({ME}))
    watching.look(closely=frozenset({ME}))  # a glance holds for a while
    return found, stops


@pytest.mark.parametrize("native", [None, threading.get_native_id()], ids=["not kept", "kept"])
@pytest.mark.parametrize("ours", [True, False])
def test_a_process_is_looked_into_without_a_stop_whatever_its_python_keeps(
    native: int | None, ours: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found, stops = look(monkeypatch, threading.get_ident(), native, events=tmp_path if ours else None)
    assert found.python_tids == {threading.get_native_id()}
    assert stops == [False]


@pytest.mark.parametrize("ours", [True, False])
def test_one_whose_threads_memory_does_not_tell_is_stopped_only_if_it_is_ours(
    ours: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found, stops = look(monkeypatch, 4096, events=tmp_path if ours else None)
    assert found.python_tids is None
    assert stops[:3] == ([False, False, True] if ours else [False, False, False])[: len(stops)]
    assert any(stops) is ours


def test_a_thread_in_a_container_has_the_number_that_it_has_here(monkeypatch: pytest.MonkeyPatch) -> None:
    tid = threading.get_native_id()
    monkeypatch.setattr(procfs, "numbers_here", lambda pid: {1: tid})
    found, stops = look(monkeypatch, 4096, native=1)
    assert (found.python_tids, stops) == ({tid}, [False])
    text = 'Thread 1 (idle): "MainThread"\n    ask (shop.py:3)\nThread 2 (idle)\n    wait (x.py:4)\n'
    assert stacks.frames_of(stacks._with_ids(ME, text), tid) == ("ask (shop.py:3)",)
    monkeypatch.setattr(procfs, "memory", lambda pid, place, size: b"\1\0\0\0")
    assert native_ids(ME, [4096]) == {4096: tid}  # of an old Python, too


@pytest.mark.parametrize(("version", "left"), [("3.6.4.0", frozenset()), ("4.2.1", {signal.SIGUSR2}), ("", {signal.SIGUSR2})])
def test_a_handler_that_billiard_3_gives_each_child_is_none_of_the_applications(
    version: str, left: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(procfs, "caught_signals", lambda pid: frozenset({signal.SIGUSR2}))
    me = procfs.process(ME)
    assert me is not None
    child = replace(me, pid=ME + 1, parent=ME)
    watching = Eyes(main=ME, tree=lambda: [me, child], pool=lambda: (), events=None)
    watching._billiard = version
    main, its = watching.look(closely=frozenset())
    assert (main.caught, its.caught) == ({signal.SIGUSR2}, left)


def test_versions_are_those_installed_beside_the_files_of_the_stacks(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "site-packages"
    for name in ("billiard-3.6.4.0.dist-info", "celery-5.2.7.dist-info", "celery_redbeat-2.dist-info", "acme-1.dist-info"):
        (packages / name).mkdir(parents=True)
    files = [f"{packages}/celery/app/trace.py", "/srv/shop.py", "<frozen runpy>"]
    assert versions.beside(ME, files) == {"billiard": "3.6.4.0", "celery": "5.2.7"}
    assert versions.beside(ME, ["/srv/shop.py"]) == {}


def test_versions_are_told_without_stacks_by_the_environment_of_the_command_and_are_never_guessed(tmp_path: Path) -> None:
    packages = tmp_path / "lib" / "python3.11" / "site-packages"
    for name in ("celery-5.2.7-py3.11.egg-info", "kombu-5.2.4.dist-info"):
        (packages / name).mkdir(parents=True)
    command = [f"{tmp_path}/bin/celery"]
    assert versions._places(ME, command).count(str(packages)) == 1
    assert versions.of(ME, command, [f"{packages}/kombu/x.py"]) == {"celery": "5.2.7", "kombu": "5.2.4"}
    (packages / "celery-5.2.7-py3.11.egg-info").rmdir()
    assert versions.beside(ME, [f"{packages}/kombu/x.py"]) == {"kombu": "5.2.4"}


def test_the_interpreter_that_path_names_has_its_packages_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (packages := tmp_path / "lib" / "python3.11" / "site-packages").mkdir(parents=True)
    (program := tmp_path / "bin" / "python").parent.mkdir()
    program.symlink_to(sys.executable)
    monkeypatch.setattr(procfs, "variables", lambda pid: {"PATH": f"/nowhere:{program.parent}"})
    assert str(packages) in versions._places(ME, ["python"])
    assert str(packages) not in versions._places(ME, ["other"])


def test_of_two_folders_with_a_package_the_one_that_the_stack_is_in_first_counts(tmp_path: Path) -> None:
    folders = [tmp_path / name / "site-packages" for name in ("a", "b")]
    for folder, found in zip(folders, ("kombu-5.7.0.dist-info", "kombu-5.2.4.dist-info"), strict=True):
        (folder / found).mkdir(parents=True)
    assert versions.beside(ME, [f"{folders[1]}/kombu/x.py", f"{folders[0]}/y.py"]) == {"kombu": "5.2.4"}


def test_threads_of_an_old_python_get_the_kernels_ids_in_texts() -> None:
    mine = threading.get_ident()
    text = f'Thread 0x{mine:X} (idle): "MainThread"\n    ask (shop.py:3)\n'
    assert stacks.frames_of(stacks._with_ids(ME, text), threading.get_native_id()) == ("ask (shop.py:3)",)
    assert stacks._with_ids(ME, "Thread 0x8 (idle)\n") == "Thread 0x8 (idle)\n"


@pytest.mark.parametrize(
    ("names", "python", "native"),
    [
        (("celery", "celery", "tf_Compute"), {1, 2}, True),
        (("celery", "celery", "celery"), {1, 2}, True),  # an engine's thread that has the program's name
        (("celery", "celery"), {1, 2}, False),  # a thread of the application's own in the main process, such as one of metrics
        (("celery",), {1}, False),
        (("celery", "tf_Compute"), None, False),  # unread
    ],
)
def test_a_child_lacks_threads_of_an_engine_only_if_they_run_no_python(
    names: Sequence[str], python: set[int] | None, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = tuple(replace(procfs.threads(ME)[0], tid=tid, name=name) for tid, name in enumerate(names, 1))
    parent, child = (
        ProcessLook(pid=pid, cpu_s=0.0, children=(), threads=each) for pid, each in ((1, threads), (9, threads[:1]))
    )
    functions = None if python is None else dict.fromkeys(python, "run (metrics.py:3)")
    told = functions and stacks.Glance(foreign=frozenset(), gil_owner=None, functions=functions, own=frozenset(), ids={})
    monkeypatch.setattr(stacks, "glance", lambda pid, ours: told)
    watching = eyes.Eyes(main=1, tree=list, pool=lambda: (), events=None)
    assert watching._lost_native(parent, child) is native


def test_who_traces_a_process_and_what_it_handles_stand_in_its_status(monkeypatch: pytest.MonkeyPatch) -> None:
    status = "Name:\tpython\nState:\tt (tracing stop)\nTracerPid:\t77\nSigCgt:\t0000000000000202\n"
    monkeypatch.setattr(procfs, "read", lambda path: status)
    assert (procfs.tracer(7), procfs.caught_signals(7)) == (77, {signal.SIGINT, signal.SIGUSR1})
    monkeypatch.setattr(procfs, "read", lambda path: None)
    assert (procfs.tracer(7), procfs.caught_signals(7)) == (0, set())


def test_a_child_that_had_not_begun_when_the_worker_was_ready_has_no_new_handlers() -> None:
    """A spawned one is there, and imports still: its handlers are billiard's, which come at the end of its start."""
    pool = {2}
    watching = eyes.Eyes(main=1, tree=list, pool=lambda: pool, events=None)
    plain = ProcessLook(pid=1, cpu_s=0.0, children=(), threads=())
    watching.settled([replace(plain, caught=frozenset({2})), replace(plain, pid=2), replace(plain, pid=3)])
    handles = frozenset({1, 15})
    assert watching.known(3, handles) == frozenset(), "it is nobody's child yet: a program, say"
    pool.add(3)
    assert watching.known(3, handles) == handles
    assert watching.known(2, handles) == frozenset(), "this one had begun: it has them for itself"
    assert watching.known(1, handles) == frozenset({2})


def test_a_process_is_glanced_at_again_only_once_one_of_its_threads_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[int]()

    def glance(pid: int, *_: Any, **__: Any) -> Glance:
        asked.append(pid)
        return Glance(foreign=frozenset(), gil_owner=None, functions={}, own=frozenset({pid}), ids={}, role=Role.IDLE)

    monkeypatch.setattr(stacks, "glance", glance)
    monkeypatch.setattr(eyes, "GLANCE_EVERY_S", 0.0)
    here = Eyes(main=1, tree=list, pool=tuple, events=None)
    rests = ProcessLook(pid=7, cpu_s=1.0, children=(), threads=(replace(FUTEX, tid=7),))
    runs = replace(rests, threads=(replace(FUTEX, tid=7, switches=FUTEX.switches + 1),))
    computes = replace(rests, threads=(replace(FUTEX, tid=7, waits_in="running"),))
    for look, glances in ((rests, 1), (rests, 1), (runs, 2), (runs, 2), (rests, 3), (computes, 4), (computes, 5)):
        assert (here._stacks(look)["role"], len(asked)) == (Role.IDLE, glances)


def test_a_child_whose_stacks_show_nothing_of_celery_is_asked_for_in_its_main_process_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, told = list[list[int]](), dict[str, Any](found={7: Task(pid=7, tid=7, id="a", apart=True)})

    def of(main: int, pids: list[int]) -> Any:
        asked.append(pids)
        return told["found"]

    monkeypatch.setattr(taken, "of", of)
    here = Eyes(main=1, tree=list, pool=tuple, events=None)
    silent = ProcessLook(pid=7, cpu_s=1.0, children=(), threads=(), python_tids=frozenset({7}))
    other, unread = replace(silent, pid=8), replace(silent, pid=9, python_tids=None)
    for _ in range(3):
        first, second, third = here._with_taken((silent, other, unread), {7, 8, 9})
        assert (first.role, first.tracing) == (Role.RUNNING, frozenset({7}))
        assert second.role is third.role is Role.UNKNOWN
    assert asked == [[7, 8]]
    told["found"] = None  # the main process could not be read this time
    assert here._with_taken((silent,), {7})[0].role is Role.RUNNING
    assert here._with_taken((replace(silent, role=Role.IDLE),), {7})[0].role is Role.IDLE
