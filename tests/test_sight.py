"""What can be seen of workers from here: each lack is named, with what it hides and what helps."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.live import sight
from harness.live.find import Worker
from harness.live.sight import Finding, Status
from harness.machine import containers
from tests.test_live import CHILD, MAIN, child, seen

MAY, MAY_NOT = "CapEff:\t000001ffffffffff\n", "CapEff:\t00000000a80425fb\n"  # of root, and of Docker's default
PLAIN = "22 1 0:20 / /proc rw,nosuid shared:5 - proc proc rw\n"
HIDING = "22 1 0:20 / /proc rw,nosuid - proc proc rw,hidepid=invisible\n25 1 0:21 / /sys rw - sysfs sysfs rw\n"


@pytest.mark.parametrize(
    ("user", "status", "scope", "fine"),
    [
        (0, MAY, "", True),
        (0, MAY, "2", True),
        (0, MAY, "3", False),
        (0, MAY_NOT, "", False),
        (1000, MAY_NOT, "0", False),
        (1000, MAY_NOT, "1", False),
        (1000, MAY_NOT, "2", False),
    ],
)
def test_the_right_to_trace_is_told_and_its_lack_with_what_that_hides(user: int, status: str, scope: str, fine: bool) -> None:
    found = sight.rights(user, status, scope)
    assert (found.status is Status.OK) is fine
    assert fine or "which task runs" in found.cost
    assert bool(found.remedy) is not fine
    assert f"ptrace_scope {scope or 'absent'}" in found.detail


def test_without_the_right_an_own_process_may_still_be_looked_at_unless_yama_forbids_it() -> None:
    assert "workers of this user only" in sight.rights(1000, MAY_NOT, "0").detail
    assert sight.rights(1000, MAY_NOT, "1").cost.startswith("a process may be looked at only by what started it")


@pytest.mark.parametrize(("mounts", "status"), [(PLAIN, Status.OK), (HIDING, Status.WARNING), ("", Status.OK)])
def test_a_proc_that_hides_others_is_told(mounts: str, status: Status) -> None:
    assert sight.hidden(mounts).status is status


def test_the_namespace_is_told_as_what_is_seen_from_it() -> None:
    assert "in containers are seen, too" in sight.namespace(sight.HOST_NAMESPACE).detail
    assert "in other containers are not seen" in sight.namespace("pid:[4026532001]").detail
    assert sight.namespace("").detail == "it may not be read"


def test_a_py_spy_that_is_not_there_is_missing(tmp_path: Path) -> None:
    program = tmp_path / "py-spy"
    assert sight.tools(program).status is Status.MISSING
    program.touch(mode=0o755)
    assert sight.tools(program).status is Status.OK


def test_workers_that_may_not_be_looked_at_are_named_with_their_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sight, "may_look", lambda pid: pid != 8)
    monkeypatch.setattr(containers, "owner", lambda pid: 1000)
    assert sight.there([]).detail == "none is seen now"
    assert sight.there([Worker(main=7)]).status is Status.OK
    found = sight.there([Worker(main=7), Worker(main=8)])
    assert (found.status, found.detail) == (Status.WARNING, "of 2 here may not be looked at: 8 (user 1000)")


def test_all_that_is_found_says_what_it_costs_and_what_helps() -> None:
    for one in sight.findings():
        assert isinstance(one, Finding)
        assert one.name.startswith("why: ")
        assert bool(one.cost and one.remedy) is (one.status is not Status.OK)


def test_a_worker_in_a_container_is_named_by_its_own_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "inside", lambda pid: {MAIN: 1, CHILD: 9}.get(pid, 0))
    (told,) = sight.unseen((), seen(child()).looks)
    assert told == "the worker is in a container, where process 50 is 1, 60 is 9: its own logs name it so"


@pytest.mark.parametrize(
    ("owner", "may", "words"),
    [
        (os.geteuid() + 1, False, f"it is of user {os.geteuid() + 1}, and we are user {os.geteuid()}"),
        (os.geteuid(), False, "ptrace is not allowed here"),
        (os.geteuid(), True, "may not be read. That hides"),
    ],
)
def test_why_it_may_not_be_looked_at_is_told(monkeypatch: pytest.MonkeyPatch, owner: int, may: bool, words: str) -> None:
    monkeypatch.setattr(containers, "owner", lambda pid: owner)
    monkeypatch.setattr(containers, "inside", lambda pid: 0)
    monkeypatch.setattr(sight, "may_look", lambda pid: may)
    (told,) = sight.unseen((MAIN,), seen(child()).looks)
    assert words in told


def test_a_stopped_process_is_seen_to_be_stopped_whoever_it_belongs_to() -> None:
    looks = seen(child(state="T")).looks
    (told,) = sight.unseen((CHILD,), looks)
    assert told.endswith("it is stopped by a signal")


def test_places_are_read_of_our_own_process() -> None:
    assert containers.owner(os.getpid()) == os.geteuid()
    assert containers.is_here(os.getpid())
    assert containers.inside(os.getpid()) == 0
    assert containers.owner(2**22 - 1) is None
