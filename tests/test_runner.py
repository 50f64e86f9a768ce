"""A model for each thread or for each task is loaded so often, and by nobody else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.worker import heartbeat, spec
from harness.worker.runner import Own, Runner


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    np.save(tmp_path / "inputs.npy", np.array([[0.0], [1.0]], dtype=np.float32))
    np.save(tmp_path / "reference.npy", np.array([[0.0], [10.0]]))
    heartbeat.open_in(str(tmp_path))
    return spec.for_worker(backend="null", queue="q", events_dir=str(tmp_path), bundle=str(tmp_path))


def in_thread(own: Own, times: int) -> list[Runner]:
    found: list[Runner] = []
    thread = threading.Thread(target=lambda: found.extend(own.runner() for _ in range(times)))
    thread.start()
    thread.join()
    return found


def test_each_thread_loads_one_model_and_keeps_it(told: dict[str, Any]) -> None:
    own = Own(told, "each-thread")
    here, there = [own.runner() for _ in range(2)], in_thread(own, 2)
    assert here[0] is here[1]
    assert there[0] is there[1]
    assert here[0] is not there[0]
    assert there[0].predict(there[0].rows(1)).tolist() == [[10.0]]


def test_each_task_loads_a_model_anew(told: dict[str, Any]) -> None:
    own = Own(told, "each-task")
    assert len({id(one) for one in [own.runner(), own.runner(), *in_thread(own, 1)]}) == 3
