"""Looks at the whole plan before any work: may we look at processes, is there room, does the broker answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from harness import broker
from harness.errors import BadInput, NotPermitted
from harness.experiment import traffic
from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.machine.system import linux
from harness.observe.stacks import glance
from harness.records import store


def check(run_folder: Path, broker_url: str) -> None:
    """Raise what would make every trial fail, with its remedy."""
    linux()
    store.check_space(run_folder)
    if broker_url:
        broker.check(broker_url)
    else:
        broker.server_binary()


def check_traffic(cells: Iterable[Cell], settings: Settings) -> None:
    """Raise BadInput where open traffic is so slow that a trial would be cut off before it had its requests."""
    for cell in cells:
        rate = traffic.parse(cell.traffic).rate_per_s
        if rate and settings.requests / rate >= settings.limit_s:
            raise BadInput(
                f"{cell.traffic} sends {settings.requests} requests in {settings.requests / rate:g} s, and a trial is cut off "
                f"after {settings.limit_s:g} s",
                remedy="raise --limit-s, lower --requests, or use a higher rate",
            )


def check_sight(scratch: Path) -> None:
    """Whether threads of our own processes can be seen: their system calls, and their Python stacks.

    Without both, a hang could not be told from a slow request. Raises NotPermitted.
    """
    program = [sys.executable, "-I", "-c", "print('up', flush=True); import time; time.sleep(30)"]
    log = scratch / "sight.log"
    log.unlink(missing_ok=True)
    with OwnedProcess(program, log=log, env={"PATH": os.environ.get("PATH", "")}) as process:
        while process.poll() is None and not (log.exists() and log.stat().st_size):
            os.sched_yield()
        call = procfs.read(f"/proc/{process.pid}/task/{process.pid}/syscall")
        stacks = glance(process.pid)
    log.unlink(missing_ok=True)
    if not call or stacks is None:
        raise NotPermitted(
            f"{'the system calls' if not call else 'the Python stacks'} of our own processes may not be read",
            remedy="allow ptrace: run as root, or with CAP_SYS_PTRACE, or set kernel.yama.ptrace_scope to 0 (py-spy says how)",
        )
