"""Hosts on trial: `python -m harness.proof.killed [--moments 10]` kills a host, the scheduler and the driver at random moments.

Each of four hosts (`killed_rig`) has a real agent (`harness host`), beside a real scheduler, and a driver runs six blocks of
no-op cells on them. One of the three is killed with SIGKILL. Then, whatever the moment: no process may be left of what was
killed or depended on it, the same command must complete the run (after a host was killed, the first command does), what had
come home must be unchanged, and each trial must be on record once. Exit code 1 if not. No time is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import Exit, HarnessError
from harness.machine.processes import OwnedProcess
from harness.proof.killed_rig import BATCHES, HOSTS, Net, Rig, ended, read, rig, wait
from harness.records.store import RunFolder
from harness.run.hosts.home import BLOCKS
from harness.terminal import console

RUN_LIMIT_S, GONE_LIMIT_S = 300.0, 60.0
KINDS = ("host", "scheduler", "driver")


@dataclass(frozen=True, kw_only=True)
class Round:
    """One kill. `after_s`: since the driver's start; `home`: blocks that had come home; `faults`: what should not have been."""

    killed: str
    after_s: float
    under_way: bool
    home: int
    faults: tuple[str, ...]


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
