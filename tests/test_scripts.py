"""Workers that a script has started, and those that run below a process that is named: found over plain trees of processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from harness.live import choose, find, scripts, versions
from harness.machine import procfs
from harness.machine.procfs import ProcessStat
from harness.observe import stacks

WORKER, OTHER, HUB = (
    "/v/celery/worker/worker.py",
    "/v/lib/python3.11/threading.py",
    "/v/lib/python3.11/site-packages/gevent/hub.py",
)
APP = "/v/celery/app/base.py"
CELERY = ["/v/bin/python", "-m", "celery", "worker"]


def shows(*frames: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"frames": [{"name": name, "filename": file} for name, file in frames]}]


class Machine:
    """Processes: by number, the parent, the program, and the file in its stack, '' if it may not be read."""

    def __init__(self, processes: dict[int, tuple[int, str, str]], lines: dict[int, list[str]] | None = None) -> None:
        self.processes, self.lines, self.asked = processes, lines or {}, list[int]()

    def stat(self, pid: int) -> ProcessStat | None:
        values = {"state": "S", "own_cpu_s": 0.0, "reaped_cpu_s": 0.0, "threads": 1, "started_ticks": 0}
        return ProcessStat(pid=pid, parent=self.processes[pid][0], **values) if pid in self.processes else None  # type: ignore[arg-type]

    def tree(self, pid: int) -> Iterable[ProcessStat]:
        children = [one for one, (parent, _, _) in self.processes.items() if parent == pid]
        return [stat for one in children for stat in (self.stat(one), *self.tree(one)) if stat]

    def dumped(self, pid: int, *options: str) -> list[dict[str, Any]] | None:
        self.asked.append(pid)
        file = self.processes[pid][2]
        return shows(("run" if file == HUB else "<module>", file)) if file else None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(processes: dict[int, tuple[int, str, str]], lines: dict[int, list[str]] | None = None) -> Machine:
        one = Machine(processes, lines)
        monkeypatch.setattr(procfs, "numbers", lambda folder: list(one.processes) if folder == "/proc" else [])
        monkeypatch.setattr(procfs, "process", one.stat)
        monkeypatch.setattr(procfs, "tree", one.tree)
        monkeypatch.setattr(procfs, "read", lambda path: None)
        monkeypatch.setattr(procfs, "link", lambda path: one.processes[int(path.split("/")[2])][1] if "exe" in path else "")
        monkeypatch.setattr(find, "command", lambda pid: one.lines.get(pid, []))
        monkeypatch.setattr(stacks, "dumped", one.dumped)
        monkeypatch.setattr(versions, "has_celery", lambda pid: one.processes[pid][1] != "/other/python3")
        return one

    return made


def test_a_worker_of_a_script_is_found_with_its_children_and_others_are_not(machine: Any) -> None:
    one = machine(
        {
            10: (1, "/v/bin/python3.11", WORKER), 11: (10, "/v/bin/python3.11", WORKER), 12: (10, "/bin/sleep", ""),
            20: (1, "/v/bin/python3", OTHER), 21: (1, "/v/bin/python3", ""), 22: (1, "/v/bin/python3", HUB),
            23: (1, "/other/python3", WORKER), 24: (1, "/bin/bash", ""), 30: (1, "/v/bin/python3", WORKER),
        }
    )  # fmt: skip
    found = scripts.found([30])
    assert (found.mains, found.unasked) == ((10,), (21, 22))
    assert not {11, 12, 23, 24, 30} & set(one.asked)


def test_no_more_than_some_processes_are_asked_and_the_rest_is_told(machine: Any) -> None:
    last = 100 + scripts.MOST + 4
    one = machine(dict.fromkeys(range(100, last), (1, "/v/bin/python3", OTHER)))
    assert scripts.found([]).unasked == tuple(range(100 + scripts.MOST, last))
    assert len(one.asked) == scripts.MOST


@pytest.mark.parametrize(("named", "main"), [(10, 10), (11, 10), (12, 10), (13, 10), (5, 0)])
def test_a_process_of_a_scripts_worker_leads_to_its_main_one(named: int, main: int, machine: Any) -> None:
    machine(
        {
            5: (1, "/bin/bash", ""), 10: (5, "/v/bin/python3", WORKER), 11: (10, "/v/bin/python3", WORKER),
            12: (11, "/bin/sh", ""), 13: (12, "/v/bin/python3", OTHER),
        }
    )  # fmt: skip
    assert scripts.main_of(named) == main


def test_a_process_above_workers_stands_for_them_and_that_is_told(machine: Any) -> None:
    one = machine(
        {
            5: (1, "/bin/bash", ""), 6: (5, "/usr/bin/timeout", ""), 10: (6, "/v/bin/python3", WORKER),
            7: (5, "/usr/bin/tini", ""), 20: (7, "/v/bin/python3", WORKER), 8: (1, "/bin/bash", ""),
        },
        {10: CELERY, 20: CELERY},
    )  # fmt: skip
    assert [choose.mains_of(pid) for pid in (5, 6, 10, 8)] == [[10, 20], [10], [10], []]
    chosen = choose.chosen((5,), "", "")
    assert [worker.main for worker in chosen.workers] == [10, 20]
    assert chosen.named == frozenset()
    assert chosen.notes == ["process 5 ? is no worker itself: below it run workers 10, 20"]
    both = choose.chosen((10, 6), "", "")
    assert (both.notes, both.named) == (["process 6 ? is no worker itself: below it runs worker 10"], {10})
    assert one.asked.count(10) == 0  # its command line tells
    assert choose.chosen((8,), "", "") == ([find.described(8)], [], {8})  # whoever looks will say that it is none


BEGIN = ("<module>", "run.py")


def test_a_script_that_loads_celerys_worker_is_one(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine({5: (1, "/usr/bin/timeout", ""), 10: (5, "/v/bin/python3", OTHER)})
    monkeypatch.setattr(stacks, "dumped", lambda pid, *options: shows(("Celery.worker_main", APP), BEGIN))
    assert choose.mains_of(5) == [10]
    monkeypatch.setattr(stacks, "dumped", lambda pid, *options: shows(("Celery.send_task", APP), BEGIN))
    assert choose.mains_of(5) == []


@pytest.mark.parametrize(
    ("looks", "main"),
    [
        ([shows(("isfile", "genericpath.py")), shows(("isfile", "genericpath.py"), ("start", WORKER), BEGIN)], 10),
        ([shows(("isfile", "genericpath.py"))] * stacks.LOOKS, 0),
        ([shows(("isfile", "genericpath.py"), BEGIN)], 0),
    ],
    ids=["seen at the second look", "never whole", "whole, and no worker's"],
)
def test_a_stack_that_has_no_beginning_is_looked_at_anew(
    looks: list[Any], main: int, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine({10: (1, "/v/bin/python3", OTHER)})
    left = iter(looks)
    monkeypatch.setattr(stacks, "dumped", lambda pid, *options: next(left) if pid == 10 else None)
    assert scripts.main_of(10) == main
    assert list(left) == []


def test_below_a_shell_a_worker_of_a_script_is_found_too(machine: Any) -> None:
    machine({5: (1, "/bin/bash", ""), 10: (5, "/v/bin/python3", WORKER), 11: (10, "/v/bin/python3", WORKER)})
    assert choose.mains_of(5) == [10]
    assert [worker.main for worker in choose.chosen((), "", "").workers] == [10]
