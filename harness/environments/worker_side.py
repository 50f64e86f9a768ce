"""What a process started in an environment gets to see: its variables and its import path.

An allow-list, so that two machines, or two shells, give workers the same world. Used by `supervisor` for workers and
by `build` for the probes, so that what is proved at the build holds in the trial.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from harness.environments.environment import Environment
from harness.places import PACKAGE, home

# LD_LIBRARY_PATH: an interpreter or a compiler from a module system does not start without it. Thread counts
# (OMP_NUM_THREADS …) are a dimension of the cell and are left out on purpose, as are PYTHON* and LD_PRELOAD.
PASSED = ("HOME", "TMPDIR", "TZ", "LD_LIBRARY_PATH")

NOWHERE = "http://127.0.0.1:9"  # a port at which nothing listens: https://www.rfc-editor.org/rfc/rfc863, which nobody starts

FIXED = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PYTHONNOUSERSITE": "1",
    "PYTHONUNBUFFERED": "1",  # a worker that is killed has still said what it said
    "CUDA_VISIBLE_DEVICES": "",
    "http_proxy": NOWHERE,  # what an engine would tell the world of its use, as OpenVINO does when it is imported, stays here
    "https_proxy": NOWHERE,
}


def worker_variables(environment: Environment, source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """All variables of a worker process, but for those of its trial."""
    passed = {name: source[name] for name in PASSED if name in source}
    # The venv first: the programs that belong to it, then g++ and the rest of the system.
    path = os.pathsep.join([str(environment.python.parent), source.get("PATH", os.defpath)])
    return {**passed, **FIXED, "PATH": path, "PYTHONPATH": str(worker_path()), **environment.variables}


def worker_path() -> Path:
    """A folder with nothing in it but a link to this package: on PYTHONPATH, it brings no other module along.

    One folder per place of the package, so that two checkouts can share a home.
    """
    folder = home() / f"worker-path-{hashlib.sha256(os.fsencode(PACKAGE)).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "harness"
    if not link.is_symlink():
        with suppress(FileExistsError):  # somebody else was faster
            link.symlink_to(PACKAGE)
    return folder
