"""How hosts are reached: a scheduler that is there already, or agents that are started through ssh for the length of a run.

With `ssh:FILE` the scheduler is ours, on this machine, under a keeper: however this command ends, the scheduler ends with it,
and each agent ends as its scheduler does. Nothing has to be told to the hosts for that.
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, HarnessError
from harness.machine.processes import STOP_GRACE_S, OwnedProcess
from harness.texts import visible

SSH = "HARNESS_SSH"  # the variable that names another program than ssh, with its options
START_LIMIT_S = 60.0
BIND = "write 'scheduler ADDRESS' into the file of hosts: one of this machine's that they reach"
SCHEMES = ("tcp://", "tls://")
Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """A file of hosts. `bind`: the address of this machine that they reach, '' to find it."""

    names: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    bind: str = ""


def read(path: Path) -> Hosts:
    """A host per line, as ssh takes it, then the command that is `harness` there; `scheduler ADDRESS`; # for comments."""
    try:
        lines = [shlex.split(line, comments=True) for line in path.read_text().splitlines()]
    except (OSError, ValueError) as error:
        raise BadInput(
            f"cannot read the hosts in {path}: {error}", remedy="write one host per line, such as user@node1"
        ) from error
    binds = [line[1] for line in lines if line[:1] == ["scheduler"] and len(line) == 2]
    hosts = [line for line in lines if line and line[0] != "scheduler"]
    names = [line[0] for line in hosts]
    if not hosts or len(set(names)) < len(names) or any(name.startswith("-") for name in names):
        raise BadInput(f"{path} names no hosts, or one of them twice", remedy="write one host per line, such as user@node1")
    return Hosts(names=tuple(names), commands=tuple(tuple(line[1:]) or ("harness",) for line in hosts), bind="".join(binds[:1]))


@contextmanager
def reached(where: str, say: Say) -> Iterator[tuple[str, Callable[[], None]]]:
    """(the scheduler's address, what raises HarnessError if all agents that were started have ended). Raises BadInput."""
    if where.startswith(SCHEMES):
        yield where, lambda: None
        return
    if not where.startswith("ssh:"):
        raise BadInput(f"--on {where!r}: no address of hosts", remedy="such as tcp://scheduler:8786 or ssh:hosts.txt")
    hosts = read(Path(where.removeprefix("ssh:")))
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="harness-hosts-")))
        scheduler, address = _scheduler(held, folder, hosts.bind or _facing(hosts.names[0]))
        pairs = enumerate(zip(hosts.names, hosts.commands, strict=True))
        agents = [_agent(held, folder / f"{number}.log", *each, address) for number, each in pairs]
        say(f"{len(agents)} hosts are asked to take blocks from {address}")
        try:
            yield address, lambda: _check(hosts.names, agents)
        finally:
            scheduler.kill()
            until = time.monotonic() + STOP_GRACE_S
            for agent in agents:  # without a scheduler each ends by itself, and removes what it has written
                agent.wait(max(0.0, until - time.monotonic()))


def _scheduler(held: ExitStack, folder: Path, bind: str) -> tuple[OwnedProcess, str]:
    log, file = folder / "scheduler.log", folder / "address"
    argv = [sys.executable, "-m", "harness.cli", "scheduler", "--bind", f"{bind}:0", "--file", str(file)]
    process = held.enter_context(OwnedProcess(argv, log=log, env=os.environ))
    until = time.monotonic() + START_LIMIT_S
    while not file.exists():
        if process.wait(0.1) is not None or time.monotonic() > until:
            raise HarnessError(f"the scheduler did not start at {bind}: {_last(log)}",
                               remedy=BIND)  # fmt: skip
    return process, file.read_text()


def _agent(held: ExitStack, log: Path, name: str, command: Sequence[str], address: str) -> OwnedProcess:
    shell = shlex.split(os.environ.get(SSH, "ssh -o BatchMode=yes"))
    words = [shlex.quote(word) for word in ("host", address, "--name", name)]
    return held.enter_context(OwnedProcess([*shell, name, *command, *words], log=log, env=os.environ))


def _check(names: Sequence[str], agents: Sequence[OwnedProcess]) -> None:
    if all(agent.poll() is not None for agent in agents):
        told = "; ".join(f"{name}: {_last(agent.log)}" for name, agent in zip(names, agents, strict=True))
        raise HarnessError(f"no host is left: {told}",
                           remedy="try 'ssh HOST harness doctor'; the same command goes on from here")  # fmt: skip


def _last(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return visible(" ".join(filter(None, map(str.strip, lines)))[-300:]) or "it said nothing"


def _facing(host: str) -> str:
    """The address of this machine from which a host is reached; no packet is sent."""
    try:
        place = socket.getaddrinfo(host.rpartition("@")[2], 22, type=socket.SOCK_DGRAM)[0]
        with socket.socket(place[0], place[1]) as asking:
            asking.connect(place[4])
            return str(asking.getsockname()[0])
    except OSError as error:
        raise BadInput(f"{host} is no name that this machine can look up: {error}",
                       remedy=BIND) from error  # fmt: skip
