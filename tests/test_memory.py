"""Memory by role: what is private and what is shared is told from real processes, growth from chance by the steps."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from harness.machine.processes import OwnedProcess
from harness.measure import memory
from harness.measure.memory import MemoryReading, Pages
from harness.measure.monitor import Monitor

MIB = 1 << 20
FORKED = """
import os, sys, time
block = bytearray(os.urandom(32 * 2**20))
children = [os.fork() for _ in range(2) if os.getpid() == int(os.environ.setdefault("ROOT", str(os.getpid())))]
if os.getpid() != int(os.environ["ROOT"]) and sys.argv[1] == "write":
    block[::4096] = bytes(len(block[::4096]))
open(f"up-{os.getpid()}", "w").close()
time.sleep(300)
"""


def forked(folder: Path, deed: str) -> Iterator[MemoryReading]:
    """A reading of a process with 32 MiB of its own and two forked children."""
    with OwnedProcess(
        [sys.executable, "-c", FORKED, deed], log=folder / "log", env={"PATH": os.environ["PATH"]}, cwd=folder
    ) as process:
        while len(list(folder.glob("up-*"))) < 3:
            assert process.wait(0.05) is None, (folder / "log").read_text()
        reading = Monitor(worker=process).sample("measure", edge=True).memory
        assert reading is not None
        yield reading


def test_what_a_fork_did_not_copy_is_shared_and_counts_once_in_all(tmp_path: Path) -> None:
    (reading,) = forked(tmp_path, "read")
    children = reading.pages["children"]
    assert children.shared_bytes > 2 * 32 * MIB
    assert children.private_bytes < 16 * MIB
    assert 32 * MIB < reading.pss_bytes < 2 * 32 * MIB


def test_what_a_child_wrote_is_private_to_it(tmp_path: Path) -> None:
    (reading,) = forked(tmp_path, "write")
    assert reading.pages["children"].private_bytes > 2 * 32 * MIB
    assert reading.pss_bytes > 3 * 32 * MIB


def test_a_process_that_has_ended_has_no_pages() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    assert memory.read(process.pid) is None


def readings(sizes: list[float]) -> list[MemoryReading]:
    return [
        MemoryReading(at_s=2.0 * number, pages={"worker": Pages(pss_bytes=round(size))}) for number, size in enumerate(sizes)
    ]


def test_steady_growth_is_certain_and_has_its_rate() -> None:
    found = memory.growth(readings([100 * MIB + n * MIB + (n % 2) * 1000 for n in range(6)]), requests=100)
    assert found is not None
    assert found.certain
    assert found.bytes_per_s == pytest.approx(MIB / 2, rel=0.01)
    assert found.bytes_per_request == pytest.approx(5 * MIB / 100, rel=0.01)


@pytest.mark.parametrize(
    "sizes",
    [[5.0, 5.0, 5.0, 5.0, 5.0], [50.0, 40.0, 30.0, 20.0, 10.0], [10.0, 10.0, 50.0, 50.0, 50.0, 50.0]],
    ids=["constant", "shrinking", "one step"],
)
def test_what_does_not_go_on_growing_is_not_certain(sizes: list[float]) -> None:
    found = memory.growth(readings([size * MIB for size in sizes]), requests=10)
    assert found is not None
    assert not found.certain


def test_a_few_readings_tell_nothing() -> None:
    assert memory.growth(readings([1.0, 2.0, 3.0, 4.0]), requests=10) is None


def test_a_random_walk_is_called_growth_no_more_often_than_stated() -> None:
    dice = np.random.default_rng(1)
    walks = 1e9 + 1e6 * dice.standard_normal((2000, 8)).cumsum(axis=1)
    found = [memory.growth(readings(list(walk)), requests=0) for walk in walks]
    assert sum(one is not None and one.certain for one in found) <= 1.5 * memory.LEVEL * len(walks)
