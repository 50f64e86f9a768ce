"""Control groups of the kernel's own, made for a test, which is skipped where none can be made.

A group goes again whatever happens: a process of its own waits for this one to let go of it, or to die, and removes it then.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.machine import cgroups
from harness.places import PACKAGE

MIB = 1 << 20
BROOM = """
import os, signal, sys, time
folder = sys.argv[1]
sys.stdin.read()
while os.path.isdir(folder):
    for pid in open(folder + "/cgroup.procs").read().split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    time.sleep(0.02)
    try:
        os.rmdir(folder)
    except OSError:
        pass
"""
JOIN = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
"""


@contextmanager
def group(controller: str, limits: Mapping[str, str]) -> Iterator[Path]:
    """A group at the top of the controller's hierarchy, with what is to be written into its files (the first is needed)."""
    standing = cgroups.standing(controller)
    if standing is None:
        pytest.skip(f"the control groups of {controller} cannot be seen")
    folder = standing.groups[-1] / f"harness-test-{os.getpid()}-{os.urandom(4).hex()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error.strerror}")
    argv = [sys.executable, "-I", "-S", "-c", BROOM, str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, start_new_session=True) as broom:
        try:
            if not (folder / next(iter(limits))).exists():
                pytest.skip(f"the controller {controller} is not handed down to groups like ours")
            for name, text in limits.items():
                if (folder / name).exists():
                    (folder / name).write_text(text)
            yield folder
        finally:
            assert broom.stdin is not None
            broom.stdin.close()
            broom.wait()
    assert not folder.exists()


def version(controller: str) -> int:
    standing = cgroups.standing(controller)
    return standing.version if standing else 1


def bound_cpu(quota: float) -> dict[str, str]:
    """A quota, and the greatest weight beside others, so that a busy machine does not keep the group from using it."""
    text = str(round(quota * 100_000))
    one = {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": text, "cpu.shares": "262144"}
    return one if version("cpu") == 1 else {"cpu.max": f"{text} 100000", "cpu.weight": "10000"}


def bound_memory(size: int) -> dict[str, str]:
    """A limit, with no swap beside it."""
    if version("memory") == 1:
        return dict.fromkeys(("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), str(size))
    return {"memory.max": str(size), "memory.swap.max": "0"}


def python(code: str, *arguments: object, own: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program; one of the harness's `own` can import it."""
    options = [] if own else ["-I", "-S"]
    env = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    argv = [sys.executable, *options, "-c", code, *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, env=env, check=False)
