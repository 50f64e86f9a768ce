"""Where the events of a process go."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.records.tail import Tail
from harness.worker import contract, heartbeat


@pytest.fixture
def events(tmp_path: Path) -> Path:
    heartbeat.open_in(str(tmp_path))
    return tmp_path


def test_a_descriptor_that_somebody_else_has_now_is_not_written_to(events: Path) -> None:
    heartbeat.emit(contract.TASK_BEGIN, 1)
    (ours,) = [number for number in map(int, os.listdir("/proc/self/fd")) if _leads_to(number).startswith(str(events))]
    os.close(ours)
    theirs = os.open(events.parent / f"{events.name}-theirs", os.O_WRONLY | os.O_CREAT)
    if theirs != ours:
        os.dup2(theirs, ours)
    heartbeat.emit(contract.TASK_END, 1)
    assert os.stat(ours).st_size == 0
    assert [event.kind for event in Tail(events).new()] == [contract.TASK_BEGIN, contract.TASK_END]
    for number in {ours, theirs}:
        os.close(number)


def _leads_to(number: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
