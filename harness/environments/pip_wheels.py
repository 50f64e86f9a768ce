"""Wheels that the package index does not have, such as a build of PyTorch for the CPU alone: fetched by pip, not by uv.

Such a wheel lies in a folder or on an index of its own, and pip's settings say where (PIP_FIND_LINKS, PIP_EXTRA_INDEX_URL,
pip.conf), which uv does not read. Its version has a label of its own (`2.13.0+cpu`), so nothing else can pass for it. Its hash
is no part of the lock, for no index vouches for one; it is kept with the environment's facts. Called by `build`.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.environments.description import Description
from harness.environments.uvtool import variables
from harness.errors import MissingTool
from harness.machine import processes
from harness.places import home

LIMIT_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One that is here, until the context ends."""

    path: Path
    sha256: str

    @property
    def facts(self) -> dict[str, str]:
        """What is kept of it."""
        return {"file": self.path.name, "sha256": self.sha256}


@contextmanager
def fetched(description: Description) -> Iterator[Wheel | None]:
    """The description's wheel for its preferred Python; None if it wants none. Raises MissingTool where pip finds none."""
    if description.wheel is None:
        yield None
        return
    home().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheel-", dir=home()) as scratch:
        said = _download(description.wheel.requirement, description.python[0], Path(scratch))
        found = next(Path(scratch).glob("*.whl"), None)
        if found is None:
            raise _missing(description, said)
        with found.open("rb") as file:
            yield Wheel(path=found, sha256=hashlib.file_digest(file, "sha256").hexdigest())


def _download(requirement: str, python: str, folder: Path) -> str:
    """The end of what pip said."""
    options = ["--quiet", "--no-deps", "--only-binary", ":all:", "--python-version", python, "--dest", str(folder)]
    argv = [sys.executable, "-m", "pip", "download", *options, requirement]
    try:
        done = processes.run(argv, cwd=folder, env=variables(), limit_s=LIMIT_S)
    except subprocess.TimeoutExpired:
        return f"pip took longer than {LIMIT_S:g} s"
    return (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]


def _missing(description: Description, said: str) -> MissingTool:
    assert description.wheel is not None
    large = f"{description.name}+{description.wheel.package}=={description.wheel.version.partition('+')[0]}"
    return MissingTool(
        f"pip finds no {description.wheel.requirement} on this machine; {description.wheel.instead}",
        remedy=f"tell pip where the wheel is (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL), or ask for the other build in your "
        f'experiment: environment = ["{large}"]',
        evidence=said,
    )
