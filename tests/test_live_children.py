"""Which children of a worker's main process serve its pool."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.live import eyes, witness
from harness.live.eyes import Eyes, serves_pool
from harness.machine import procfs
from harness.observe.roles import Role
from tests.test_live import CHILD, child, seen

BEGIN = [("BaseProcess._bootstrap", "/v/billiard/process.py"), ("Popen._launch", "/v/billiard/popen_fork.py")]
RUN = ("BaseProcess.run", "/v/billiard/process.py")


@pytest.mark.parametrize(
    ("inner", "serves"),
    [
        ([("slow", "/app/shop.py"), ("Worker.__call__", "/v/billiard/pool.py"), RUN], True),
        ([("__call__", "/v/billiard/pool.py"), ("run", "/v/billiard/process.py")], True),
        ([("Service.start", "/v/celery/beat.py"), ("_Process.run", "/v/celery/beat.py")], False),
        ([("serve", "/app/metrics.py"), RUN], False),
        ([("hook", "/app/shop.py"), ("_run_after_forkers", "/v/billiard/util.py")], None),
        ([RUN], None),
        ([], None),
    ],
)  # fmt: skip
def test_a_child_serves_the_pool_if_billiard_runs_its_loop(inner: list[tuple[str, str]], serves: bool | None) -> None:
    assert serves_pool([*inner, *BEGIN]) is serves


def test_a_child_that_serves_no_pool_does_not_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = [("_Process.run", "/v/celery/beat.py"), *BEGIN]
    frames = [{"name": name, "filename": file} for name, file in shown]
    monkeypatch.setattr(eyes.stacks, "dumped", lambda pid, *options: [{"thread_name": "MainThread", "frames": frames}])
    watcher = Eyes(main=1, tree=list, pool=frozenset, events=None)
    starting = child(role=Role.STARTING)
    assert watcher._named(starting) == replace(starting, role=Role.UNKNOWN)
    monkeypatch.setattr(eyes.stacks, "dumped", lambda pid, *options: None)
    assert watcher._named(starting).role is Role.UNKNOWN  # it is not asked again
    assert watcher._named(child(61, Role.STARTING)).role is Role.STARTING


def test_those_that_were_seen_to_serve_are_not_asked_and_others_count_unless_they_serve_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beat, program, blind, asked = 70, 71, 72, list[int]()

    def tells(pid: int) -> bool | None:
        asked.append(pid)
        return False if pid == beat else None

    monkeypatch.setattr(procfs, "children", lambda pid: [CHILD, beat, program, blind])
    monkeypatch.setattr(witness, "of_pool", tells)
    monkeypatch.setattr(witness.children, "is_of_pool", lambda pid: pid != program)
    assert witness.strangers(seen(child())) == {beat, program}
    assert asked == [beat, blind]
