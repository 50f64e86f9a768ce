"""Building an environment, step by step, unless it is already there.

A venv cannot be moved, so it is built where it stays; the marker is written last, a folder without one is built anew,
and a file lock keeps two builds of the same environment apart. Everything uv and the probes said is in `<folder>.log`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.environments import blas, interpreters, locks, pip_wheels, uvtool
from harness.environments.description import Description
from harness.environments.environment import (
    MARKER,
    Environment,
    blas_folder,
    cache_folder,
    described,
    directory,
    find,
    from_marker,
    load,
    python_of,
)
from harness.environments.interpreters import HEADERS, Interpreter
from harness.environments.pip_wheels import Wheel
from harness.environments.worker_side import worker_variables
from harness.errors import BuildFailed, MissingTool
from harness.machine import processes, procfs
from harness.places import home, only_writer

INSTALL_LIMIT_S = 3600.0  # TensorFlow over a slow line
IMPORT_LIMIT_S = 300.0

Say = Callable[[str], None]


def silent(_text: str) -> None:
    """The default for `say`: nobody listens."""


def prepare(name: str, say: Say = silent) -> Environment:
    """The environment, built if need be; `say` hears the progress.

    Raises BadInput for an unknown name, MissingTool for an interpreter, a compiler or a wheel that cannot be had, BuildFailed
    when packages cannot be installed or do not import.
    """
    description = described(name)
    if ready := find(name):
        return ready
    for program in description.needs:
        check_program(program, name)
    if description.blas:
        blas.check_path(home())
    interpreter = interpreters.obtain(description.python, needs=description.needs, downloads=home() / "interpreters", say=say)
    _resolve(description, say)
    folder = directory(description, interpreter.version)
    _hide_from_git(folder.parent)
    with only_writer(folder, lambda: say(f"{folder.name}: waiting for another build of it")):
        return load(description, folder) or _build(description, interpreter, folder, say)


def _hide_from_git(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n")


def check_program(program: str, name: str) -> None:
    """Raises MissingTool unless `program` is on PATH. The headers are looked for with the interpreter."""
    if program != HEADERS and shutil.which(program) is None:
        raise MissingTool(
            f"{program} is missing; the {name} environment compiles with it",
            remedy=f"install {program} (a package such as g++, gcc-c++ or build-essential)",
        )


def _resolve(description: Description, say: Say) -> None:
    """Compile a variant's lock, if nobody has."""
    if description.lock.exists():
        return
    say(f"{description.name}: looking for versions that fit")
    try:
        with only_writer(description.lock):
            if not description.lock.exists():
                locks.compile_lock(description)
    except uvtool.UvFailed as error:
        raise BuildFailed(
            f"no versions fit together for {description.name}: {error}", remedy="name a version that exists and fits"
        ) from error


def _build(description: Description, interpreter: Interpreter, folder: Path, say: Say) -> Environment:
    begin = time.monotonic()
    _check_unused(description, folder)
    log = folder.with_name(f"{folder.name}.log")
    log.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    facts: dict[str, Any] = {}
    with pip_wheels.fetched(description) as wheel:
        say(f"{description.name}: installing for Python {interpreter.version}")
        _install(description, interpreter, folder, log, wheel)
    if wheel is not None:
        facts["wheel"] = wheel.facts
    if description.blas:
        site_packages = next((folder / "lib").glob("python3*/site-packages"))
        blas.link(description.blas.package, site_packages, blas_folder(folder))
    marker: dict[str, Any] = {
        "name": description.name,
        "directory": str(folder),
        "interpreter": str(interpreter.path),
        "interpreter_version": interpreter.version,
        "installed": _installed(folder),
        "facts": facts,
    }
    unproved = from_marker(description, folder, marker)
    say(f"{description.name}: trying {', '.join(description.imports)}")
    _try_imports(description, unproved, log)
    if description.blas:
        say(f"{description.name}: measuring its BLAS")
        marker["facts"]["blas"] = blas.prove(description.blas, unproved, log)
    marker["facts"]["build_s"] = round(time.monotonic() - begin, 1)
    _write(folder / MARKER, marker)
    say(f"{description.name}: ready after {marker['facts']['build_s']} s")
    return from_marker(description, folder, marker)


def _check_unused(description: Description, folder: Path) -> None:
    """Raises BuildFailed if programs run from what is there: building it anew would take their files away."""
    users = [
        str(pid) for pid in procfs.numbers("/proc") if (procfs.read(f"/proc/{pid}/cmdline") or "").startswith(f"{folder}/")
    ]
    if users:
        raise BuildFailed(
            f"the {description.name} environment has to be built anew, and programs run from it: {', '.join(users[:5])}",
            remedy="wait until they have ended, or end them, and try again; or use a home of its own: HARNESS_HOME",
        )


def _install(description: Description, interpreter: Interpreter, folder: Path, log: Path, wheel: Wheel | None) -> None:
    """The venv, and everything in the lock, checked against its hashes; then the wheel that is in none.

    Byte code is compiled here, for otherwise the first trial would pay for it.
    """
    make = ["venv", "--no-project", "--python", str(interpreter.path), str(folder)]
    fill = ["pip", "install", "--python", str(python_of(folder)), "--require-hashes", "--compile-bytecode",
            "-r", str(description.lock)]  # fmt: skip
    steps = [make, fill]
    if wheel is not None:
        steps.append([*fill[:4], "--no-deps", "--compile-bytecode", str(wheel.path)])
    try:
        for step in steps:
            uvtool.run(step, cwd=home(), limit_s=INSTALL_LIMIT_S, log=log)
    except uvtool.UvFailed as error:
        raise BuildFailed(
            f"the {description.name} environment cannot be installed: {error}",
            remedy="check the network, free disk and uv's settings (UV_DEFAULT_INDEX, proxies), then try again",
            evidence=str(log),
        ) from error
    cache_folder(folder).mkdir(exist_ok=True)


def _installed(folder: Path) -> dict[str, str]:
    listing = uvtool.run(
        ["pip", "list", "--format", "json", "--python", str(python_of(folder))], cwd=home(), limit_s=INSTALL_LIMIT_S
    )
    return {item["name"]: item["version"] for item in json.loads(listing)}


def _try_imports(description: Description, environment: Environment, log: Path) -> None:
    """A library that does not import on this processor or system is a fault of the environment, not of a cell."""
    try:
        done = processes.run(
            [str(environment.python), "-c", f"import {', '.join(description.imports)}"],
            cwd=environment.directory,
            env=worker_variables(environment),
            limit_s=IMPORT_LIMIT_S,
        )
        code, said = str(done.returncode), done.stderr
    except subprocess.TimeoutExpired:
        code, said = "none", f"importing took longer than {IMPORT_LIMIT_S:g} s"
    with log.open("a") as file:
        file.write(f"$ import {', '.join(description.imports)}\n{said}\n")
    if code != "0":
        last = said.strip().splitlines()[-1:] or [f"exit code {code}"]
        raise BuildFailed(f"the {description.name} environment does not import: {last[0]}", evidence=str(log))


def _write(path: Path, marker: dict[str, Any]) -> None:
    """All of it or nothing."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(marker, indent=1, sort_keys=True))
    os.replace(draft, path)
