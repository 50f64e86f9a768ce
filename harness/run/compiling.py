"""Compile caches made warm, before trials whose cells say that they are.

Theano compiles a model's functions with g++ at the first predict, some 15 s for a small one. The first trial of a model would
pay for that, and no other: its times would be of a cold cache, in a record that says *warm*. So each is called beforehand.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from harness import environments
from harness.backends.check import BAD_INPUT
from harness.environments import Environment
from harness.errors import MissingTool
from harness.experiment.matrix import Cell
from harness.machine import processes
from harness.run import bundles
from harness.run.bundles import Bundle

LIMIT_S = 600.0  # the largest of our models takes 40 s; what takes longer is left to its trials, which have limits of their own
DONE = "made-warm"  # a folder in the cache: a file per model and call

Say = Callable[[str], None]


def make_warm(
    cells: Iterable[Cell], ready: Mapping[str, Environment | MissingTool], made: Mapping[str, Bundle], say: Say
) -> None:
    """Call each model once in each environment that compiles, if its cache has not seen it yet. What fails is left to the
    trials, which say why."""
    for cell in cells:
        environment = ready.get(cell.venv)
        if not isinstance(environment, Environment) or cell.is_control or cell.compile_cache == "cold":
            continue
        if environments.described(cell.venv).compile_cache:
            _once(cell, environment, made[cell.workload], say)


def make_usual_warm(environment: Environment, say: Say) -> None:
    """The same for the model that is run if none is named, so that an environment is built with what its first run needs."""
    cell = Cell(backend=environment.name, pool="solo")
    if environments.described(environment.name).compile_cache:
        _once(cell, environment, bundles.write_bundles([cell.workload], bundles.home())[cell.workload], say)


def _once(cell: Cell, environment: Environment, bundle: Bundle, say: Say) -> None:
    done = environment.cache_dir / DONE / f"{bundle.fingerprint}-{cell.call}"
    if done.exists():
        return
    say(f"{environment.name}: compiling {cell.workload} for {cell.call}, once")
    if _called(cell, environment, bundle.folder):
        done.parent.mkdir(parents=True, exist_ok=True)
        done.touch()


def _called(cell: Cell, environment: Environment, bundle: Path) -> bool:
    """Whether it answered, or cannot be had in this engine."""
    argv = [
        str(environment.python), "-m", "harness.backends.check", cell.backend, str(bundle), "--call", cell.call,
        "--cache-dir", str(environment.cache_dir),
    ]  # fmt: skip
    try:
        done = processes.run(argv, env=environments.worker_variables(environment), limit_s=LIMIT_S, cwd=environment.directory)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode in (0, BAD_INPUT)
