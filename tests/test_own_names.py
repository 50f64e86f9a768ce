"""A worker tells the names that a task can read of its executor."""

from __future__ import annotations

import multiprocessing.process
import os
import threading
from pathlib import Path

import pytest

from harness.applications.probe import who
from harness.worker import heartbeat, own_names


def test_each_thread_tells_its_names_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_names, "_told", set())
    for _ in range(2):
        own_names.tell(str(tmp_path), "celery@here")
    other = threading.Thread(target=own_names.tell, args=(str(tmp_path), "celery@here"), name="other-3")
    other.start()
    other.join()
    (path,) = tmp_path.iterdir()
    assert (path.name, len(path.read_text().splitlines())) == (f"{os.getpid()}.names", 2)
    own = who.names(tmp_path)
    mine = own[os.getpid(), heartbeat.native_id()]
    assert {"MainThread", multiprocessing.process.current_process().name, "celery@here", os.getpid(), os.getppid()} <= mine
    assert [names for names in own.values() if "other-3" in names] != []
    assert "other-3" not in mine
