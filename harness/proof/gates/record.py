"""Pairs of trials of like commits, recorded beside other programs that compute: what gates are made of in `resample`.

A recording is a gate itself, of two commits that differ in a comment, whose rule never decides.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd

from harness import environments
from harness.applications.gate import gate
from harness.applications.gate.command import MEASURE_S
from harness.applications.gate.order import GateOrder
from harness.applications.gate.rule import Pair, Rule
from harness.applications.probe import command as probed
from harness.machine import cores
from harness.machine.processes import OwnedProcess
from harness.proof.gates import project
from harness.run import options

LOADS = (0.0, 0.25, 0.5)  # of the cores that we may use
POOLS = ("prefork", "threads", "solo")
NEVER = Rule(tolerance=0.999, matters=1e-9)
FIGURES = ("pace_per_s", "cpu_s", "own_s", "others_share", "ours_share", "seconds")  # of each trial
#: computes in spells of some seconds, at random, so that a share of its time is taken on the average
BURNER = """
import random, sys, time
share, dice = float(sys.argv[1]), random.Random(int(sys.argv[2]))
while True:
    until = time.monotonic() + dice.expovariate(1 / 3)
    while time.monotonic() < until:
        pass
    time.sleep(dice.expovariate(share / (1 - share) / 3))
"""


def recorded(
    folder: Path, seconds: float, screen: gate.Screen, loads: Sequence[float] = LOADS, *, at_once: bool = False
) -> pd.DataFrame:
    """Pairs for so many seconds beside each load, in all pools by turns; `folder` is made, and takes all that runs leave."""
    folder.mkdir(parents=True)
    made = project.made(folder / "project", project.SAME)
    found = []
    for load in loads:
        with burning(load, folder):
            answer = gate.run(order(made, folder / f"load-{load:g}", seconds, at_once=at_once), screen)
        found += [_row(load, pool.name, pair) for pool in answer.pools for pair in pool.pairs]
    return pd.DataFrame(found)


def _row(load: float, pool: str, pair: Pair) -> dict[str, object]:
    """`planned_load`: of our own burners; `others_share`: what the machine shows of all others."""
    sides = {"base": pair.base, "head": pair.head}
    figures = {f"{side}_{name}": getattr(trial, name) for side, trial in sides.items() for name in FIGURES}
    return {"planned_load": load, "pool": pool, "first": pair.first, **figures}


def order(
    made: project.Project, out: Path, budget_s: float, *, at_once: bool, rule: Rule = NEVER, pools: tuple[str, ...] = POOLS
) -> GateOrder:
    """A gate of the project's last commit against the one before it."""
    settings = options.settings(
        measure_s=MEASURE_S[at_once],
        requests=50,
        limit_s=60.0,
        warmup_limit_s=30.0,
        stable_limit_s=1.0,
        noise_limit=100.0,
        controls=False,
    )
    probe = probed.read(
        app=project.APP, task=project.TASK, args=made.rows, python=str(environments.prepare("celery").python), env_file=None,
        cwd=made.folder, pools=POOLS[0], concurrency="2", queue="", check="", tolerance=0.001, traffic="closed-4",
        settings=settings, out=out, fresh=False, retry="skipped", go_on=True,
    )  # fmt: skip
    return GateOrder(
        probe=probe, base="HEAD~1", head="HEAD", pools=pools, links=(), rule=rule, at_once=at_once, budget_s=budget_s, out=out
    )


@contextmanager
def burning(load: float, folder: Path) -> Iterator[None]:
    """Programs beside us that take this share of the cores on the average, one per core."""
    with ExitStack() as held:
        for number in range(cores.to_fill() if load else 0):
            argv = [sys.executable, "-c", BURNER, str(load), str(number)]
            held.enter_context(OwnedProcess(argv, log=folder / f"burner-{number}.log", env=os.environ))
        yield
