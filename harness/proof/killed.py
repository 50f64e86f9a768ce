"""Hosts on trial: `python -m harness.proof.killed [--moments 10]` kills a host, the scheduler and the driver at random moments.

Four hosts are network namespaces with veth pairs on one bridge, or, if this user may not make them, processes on loopback;
each has a real agent (`harness host`), beside a real scheduler, and a driver runs six blocks of no-op cells on them. One of the
three is killed with SIGKILL. Then, whatever the moment: no process may be left of what was killed or depended on it, the same
command must complete the run (after a host was killed, the first command does), what had come home must be unchanged, and each
trial must be on record once. Exit code 1 if not. No time is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import Exit, HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.records.store import RunFolder
from harness.run.hosts.home import BLOCKS
from harness.terminal import console

HOSTS, BATCHES = 4, 6
START_LIMIT_S, RUN_LIMIT_S, GONE_LIMIT_S = 120.0, 300.0, 60.0
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
KINDS = ("host", "scheduler", "driver")


@dataclass(frozen=True, kw_only=True)
class Round:
    """One kill. `after_s`: since the driver's start; `home`: blocks that had come home; `faults`: what should not have been."""

    killed: str
    after_s: float
    under_way: bool
    home: int
    faults: tuple[str, ...]


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


def kill(one: Rig, kind: str, out: Path, moment: Callable[[OwnedProcess], str]) -> Round:
    """One round: a run, a kill when `moment` of its driver has returned a host (the one to kill), and what became of it."""
    begun, driver = time.monotonic(), one.driver(out)
    victim = moment(driver)
    after_s = time.monotonic() - begun
    home = {path.name: content(path) for path in (out / BLOCKS).glob("[!.]*/")}
    under_way = driver.poll() is None
    faults = list[str]()
    target = {"host": one.running[victim], "scheduler": one.running["scheduler"], "driver": driver}[kind]
    with suppress(ProcessLookupError):
        os.kill(target.pid, signal.SIGKILL)
    ended(target, GONE_LIMIT_S)
    if kind == "scheduler":
        for name in one.net.names:
            if ended(one.running[name], GONE_LIMIT_S) is None:
                faults.append(f"the agent {name} outlived its scheduler")
    code = ended(driver, RUN_LIMIT_S)
    faults += _survivors(one, [victim] if kind == "host" else one.net.names)
    one.up()
    if kind == "host":
        faults += [f"the run ended with {code}: {read(driver.log)[-300:]}"] * (code != Exit.DONE)
    else:
        again = one.driver(out)
        if (code := again.wait(RUN_LIMIT_S)) != Exit.DONE:
            faults.append(f"the same command ended with {code}: {read(again.log)[-300:]}")
    faults += [
        f"block {name} was at home and is another now" for name, was in home.items() if content(out / BLOCKS / name) != was
    ]
    return Round(
        killed=kind, after_s=round(after_s, 2), under_way=under_way, home=len(home), faults=(*faults, *amiss(out, one.blocks))
    )


def _survivors(one: Rig, names: Sequence[str]) -> list[str]:
    with suppress(HarnessError):
        wait(lambda: not any(map(one.left, (*names, "driver"))), "the end of all processes", GONE_LIMIT_S)
    return [f"processes {pids} of {name} are left" for name in (*names, "driver") if (pids := one.left(name))]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def amiss(out: Path, blocks: int) -> list[str]:
    """What is wrong with a run that should be complete: each trial once, and each block once at home."""
    ids = sorted((record.cell_id, record.trial, str(record.outcome)) for record in RunFolder(out).records())
    found = [f"{len(ids)} trials on record, {blocks} are due"] * (len(ids) != blocks)
    found += ["a trial is on record twice"] * (len({each[:2] for each in ids}) < len(ids))
    found += [f"{cell} ended as {outcome}" for cell, _, outcome in ids if outcome != "ok"]
    home = [path.name for path in (out / BLOCKS).glob("*/")]
    return found + [f"blocks at home: {', '.join(home)}"] * (len(home) != blocks)


def rounds(moments: int, seed: int) -> Iterator[Round]:
    """So many moments of each kind, over the length of a run that nobody disturbs."""
    dice = random.Random(seed)
    with rig() as one:
        begun = time.monotonic()
        if one.driver(one.folder / "whole").wait(RUN_LIMIT_S) != Exit.DONE:
            raise HarnessError("the run that nobody disturbs did not end well")
        length_s = time.monotonic() - begun
        for number in range(moments):
            for kind in KINDS:
                after_s = dice.uniform(0.0, length_s)

                victim = dice.choice(one.net.names)

                def moment(driver: OwnedProcess, after_s: float = after_s, victim: str = victim) -> str:
                    ended(driver, after_s)
                    return victim

                out = one.folder / f"{kind}-{number}"
                yield kill(one, kind, out, moment)
                shutil.rmtree(out, ignore_errors=True)


PREFACE = """\
# Hosts that were killed

Made by `python -m harness.proof.killed`: {count} kills with SIGKILL at random moments of a run of {blocks} blocks on {hosts}
hosts ({net}). *At home*: blocks that had ended by then.

| killed | rounds | while the run went on | blocks at home then | faults |
| --- | --- | --- | --- | --- |
"""


def write(folder: Path, found: Sequence[Round], net: str) -> None:
    """`killed.json` and `killed.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "killed.json").write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n")
    lines = [PREFACE.format(count=len(found), blocks=BATCHES, hosts=HOSTS, net=net)]
    for kind in KINDS:
        own = [one for one in found if one.killed == kind]
        homes = ", ".join(str(one.home) for one in own)
        faults = "; ".join(fault for one in own for fault in one.faults) or "none"
        lines.append(f"| {kind} | {len(own)} | {sum(one.under_way for one in own)} | {homes} | {faults} |\n")
    (folder / "killed.md").write_text("".join(lines))


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m harness.proof.killed", description=str(__doc__).partition("\n")[0])
    asked.add_argument("--moments", type=int, default=10, help="of each kind (10)")
    asked.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    asked.add_argument("--out", type=Path, default=Path("results/killed"), help="folder of the table (results/killed)")
    given = asked.parse_args()
    found = list[Round]()
    probe = Net(0)
    net = "network namespaces with veth pairs" if probe.real else "processes on loopback"
    if probe.real:
        probe.close()
    for one in rounds(given.moments, given.seed):
        found.append(one)
        console.print(f"{one.killed} after {one.after_s:.1f} s, {one.home} at home: {'; '.join(one.faults) or 'no fault'}")
        write(given.out, found, net)
    bad = sum(bool(one.faults) for one in found)
    console.print(f"{len(found) - bad} of {len(found)} kills left no fault: {given.out}/killed.md")
    return Exit.CHECK_FAILED if bad else Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
