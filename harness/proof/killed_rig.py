"""What is killed in `killed`: hosts, a scheduler and drivers, all real, each a program of its own that can be started again.

Four hosts are network namespaces with veth pairs on one bridge, or, if this user may not make them, processes on loopback.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from harness.errors import HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess

HOSTS, BATCHES = 4, 6
START_LIMIT_S = 120.0
EXPERIMENT = """
name = "killed"
summary = "blocks of one cell, and nothing is computed"
[settings]
measure_s = 0.2
requests = 8
stable_limit_s = 0.5
controls = false
noise_limit = 100.0
[[cells]]
backend = ["null"]
environment = ["celery"]
pool = ["solo"]
workload = ["tiny-dense"]
batch = {batches}
"""


class Net:
    """Namespaces on one bridge in a namespace of its own, which has the scheduler and the driver; or none of it."""

    def __init__(self, hosts: int) -> None:
        self.prefix = f"hk{os.getpid()}"
        self.names = [f"h{number}" for number in range(1, hosts + 1)]
        self.real = os.geteuid() == 0 and shutil.which("ip") is not None and self._made()

    @property
    def bind(self) -> str:
        return "10.213.77.254" if self.real else "127.0.0.1"

    def within(self, name: str) -> list[str]:
        """What a command begins with that runs in this host, or 'hub'."""
        return ["ip", "netns", "exec", f"{self.prefix}{name}"] if self.real else []

    def close(self) -> None:
        for name in ("hub", *self.names):
            self._ip("netns", "del", f"{self.prefix}{name}")

    def _made(self) -> bool:
        hub = f"{self.prefix}hub"
        steps = [["netns", "add", hub], ["-n", hub, "link", "set", "lo", "up"],
                 ["-n", hub, "link", "add", "br0", "type", "bridge"],
                 ["-n", hub, "addr", "add", "10.213.77.254/24", "dev", "br0"],
                 ["-n", hub, "link", "set", "br0", "up"]]  # fmt: skip
        for number, name in enumerate(self.names, 1):
            host, end = f"{self.prefix}{name}", f"v{number}"
            steps += [["netns", "add", host], ["-n", host, "link", "set", "lo", "up"],
                      ["-n", hub, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", host],
                      ["-n", hub, "link", "set", end, "master", "br0", "up"],
                      ["-n", host, "addr", "add", f"10.213.77.{number}/24", "dev", "eth0"],
                      ["-n", host, "link", "set", "eth0", "up"]]  # fmt: skip
        if all(self._ip(*step) for step in steps):
            return True
        self.close()
        return False

    @staticmethod
    def _ip(*words: str) -> bool:
        return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


class Rig:
    """A scheduler and hosts that can be killed and started again, each with a folder for temporary files by which all that it
    starts is known."""

    def __init__(self, folder: Path, net: Net, blocks: int) -> None:
        self.folder, self.net, self.blocks = folder, net, blocks
        self.held = ExitStack()
        self.running: dict[str, OwnedProcess] = {}
        self.address = ""
        self._logs = 0
        self.experiment = folder / "killed.toml"
        self.experiment.write_text(EXPERIMENT.format(batches=list(range(1, blocks + 1))))

    def program(self, where: str, name: str, *words: str) -> OwnedProcess:
        """The command line in the namespace `where`; its temporary files are in the folder `name`."""
        own = self.folder / name
        own.mkdir(exist_ok=True)
        self._logs += 1
        argv = [*self.net.within(where), sys.executable, "-m", "harness.cli", *words]
        env = {**os.environ, "TMPDIR": str(own)}
        process = OwnedProcess(argv, log=self.folder / f"{self._logs}-{name}.log", env=env, cwd=self.folder)
        return self.held.enter_context(process)

    def up(self) -> None:
        """Start whatever does not run, and wait until each host takes blocks."""
        if self._down("scheduler"):
            file = self.folder / "address"
            file.unlink(missing_ok=True)
            words = ("scheduler", "--bind", f"{self.net.bind}:0", "--file", str(file))
            self.running["scheduler"] = self.program("hub", "scheduler", *words)
            wait(file.exists, "the scheduler", START_LIMIT_S)
            self.address = file.read_text()
        new = [name for name in self.net.names if self._down(name)]
        for name in new:
            self.running[name] = self.program(name, name, "host", self.address, "--name", name)
        for name in new:
            log = self.running[name].log
            wait(lambda log=log: "takes blocks" in read(log), f"host {name}", START_LIMIT_S)  # type: ignore[misc]

    def _down(self, name: str) -> bool:
        return name not in self.running or self.running[name].poll() is not None

    def driver(self, out: Path) -> OwnedProcess:
        return self.program("hub", "driver", "run", str(self.experiment), "--on", self.address, "--out", str(out))

    def left(self, name: str) -> list[int]:
        """The processes that belong to a host or to the driver, but for an agent that is to go on."""
        own, agent = str(self.folder / name), self.running.get(name)
        keep = {agent.pid, agent.keeper_pid} if agent is not None and agent.exit_code is None else set[int]()
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid not in keep and _mentions(pid, own)]


def _mentions(pid: int, text: str) -> bool:
    """Whether a process has a word of it in its command line, its variables or its folder."""
    with suppress(OSError):
        if os.readlink(f"/proc/{pid}/cwd").startswith(text):
            return True
    return any(text in (procfs.read(f"/proc/{pid}/{file}") or "") for file in ("cmdline", "environ"))


def read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def ended(process: OwnedProcess, limit_s: float) -> int | None:
    """Its return code once it has ended, None if it has not after `limit_s`."""
    code = process.poll()
    return process.wait(limit_s) if code is None else code


def wait(until: Callable[[], bool], what: str, limit_s: float) -> None:
    """Raises HarnessError after `limit_s`."""
    end = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > end:
            raise HarnessError(f"{what} was not ready within {limit_s:g} s")
        time.sleep(0.05)


@contextmanager
def rig(hosts: int = HOSTS, blocks: int = BATCHES) -> Iterator[Rig]:
    """A scheduler and so many hosts, ready, for runs of so many blocks; all of it is gone at the end."""
    net = Net(hosts)
    with tempfile.TemporaryDirectory(prefix="harness-killed-") as folder:
        one = Rig(Path(folder), net, blocks)
        try:
            with one.held:
                one.up()
                yield one
        finally:
            if net.real:
                net.close()
