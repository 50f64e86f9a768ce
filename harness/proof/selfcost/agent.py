"""What an agent costs that waits for blocks (`harness host`): CPU time of all its threads, beside a real scheduler."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.run.hosts import quiet

SECONDS = 3 * quiet.HEARTBEAT_S  # three heartbeats are within
START_LIMIT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class AgentCost:
    """`share` of a core, over so many seconds of waiting."""

    share: float
    seconds: float
    threads: int


def measure(folder: Path, *, seconds: float = SECONDS) -> AgentCost:
    """Start a scheduler and an agent on loopback, and leave them alone. Raises HarnessError."""
    address = folder / "address"
    cli = [sys.executable, "-m", "harness.cli"]
    scheduler = [*cli, "scheduler", "--bind", "127.0.0.1:0", "--file", str(address)]
    with OwnedProcess(scheduler, log=folder / "scheduler.log", env=os.environ) as first:
        _wait(first, address)
        agent = [*cli, "host", address.read_text(), "--name", f"selfcost-{os.getpid()}"]
        with OwnedProcess(agent, log=folder / "agent.log", env=os.environ) as waiting:
            _wait(waiting, folder / "agent.log", "takes blocks")
            before, begun = procfs.process(waiting.pid), time.monotonic()
            time.sleep(seconds)
            after, took = procfs.process(waiting.pid), time.monotonic() - begun
            if before is None or after is None:
                raise HarnessError("the agent ended while it was measured", evidence=str(folder / "agent.log"))
            return AgentCost(share=(after.own_cpu_s - before.own_cpu_s) / took, seconds=took, threads=after.threads)


def _wait(process: OwnedProcess, path: Path, text: str = "") -> None:
    until = time.monotonic() + START_LIMIT_S
    while not (path.exists() and text in path.read_text()):
        if time.monotonic() > until or process.wait(0.1) is not None:
            raise HarnessError("scheduler or agent did not start", evidence=str(process.log))
