"""A BLAS to compile against, without asking the system for one: the OpenBLAS inside an installed wheel.

The wheels of NumPy and SciPy carry an OpenBLAS under a mangled name. A folder of links gives it the name that the
linker looks for. NumPy's own is the best choice for Theano: both then share one library, one thread pool and one speed.
Called by `build`; the proof that it is used is the probe that the description names.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from harness.environments.description import BlasLink
from harness.environments.environment import Environment
from harness.environments.worker_side import worker_variables
from harness.errors import BadInput, BuildFailed
from harness.machine import processes

SYMBOLS = (b"sgemm_\0", b"dgemm_\0")  # the 64-bit-integer builds of later wheels have sgemm_64_ instead
RATIO_MIN = 0.7  # of NumPy's own GEMM rate; below, the backend is no fair contestant
PROBE_LIMIT_S = 600.0
PLAIN_PATH = re.compile(r"[\w./@%+:~-]+")


def check_path(folder: Path) -> None:
    """Refuse what neither THEANO_FLAGS nor a compiler's command line, split at blanks and commas, can carry."""
    if not PLAIN_PATH.fullmatch(str(folder)):
        raise BadInput(
            f"Theano's compiler flags cannot hold this path: {folder}",
            remedy="set HARNESS_HOME to a folder without blanks, commas or quotes in its path",
        )


def link(package: str, site_packages: Path, folder: Path) -> Path:
    """Fill `folder` with links to the package's bundled libraries, and `libopenblas.so`; the real library's path."""
    libraries = [
        path for libs in (site_packages / f"{package}.libs", site_packages / package / ".libs") for path in libs.glob("*.so*")
    ]
    found = next((path for path in libraries if "openblas" in path.name and _exports_plain_names(path)), None)
    if found is None:
        raise BuildFailed(
            f"the {package} wheel brings no OpenBLAS with plain sgemm_ and dgemm_",
            remedy="choose a version in the environment's toml that does, and recompile the lock",
            evidence=str(site_packages),
        )
    folder.mkdir(exist_ok=True)
    for path in libraries:  # its libgfortran lies beside it
        (folder / path.name).symlink_to(path)
    (folder / "libopenblas.so").symlink_to(found)
    return found


def prove(blas: BlasLink, environment: Environment, log: Path) -> dict[str, Any]:
    """The probe's figures, measured in the environment as a worker would see it. Raises BuildFailed if it fails."""
    try:
        done = processes.run(
            [str(environment.python), "-m", blas.probe],
            env=worker_variables(environment),
            cwd=environment.directory,
            limit_s=PROBE_LIMIT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{blas.probe} did not end within {PROBE_LIMIT_S:g} s") from error
    with log.open("a") as file:
        file.write(f"$ python -m {blas.probe}\n{done.stdout}{done.stderr}\n")
    try:
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        raise BuildFailed(
            f"{blas.probe} failed in the {environment.name} environment",
            remedy="the log ends with what it said; a compiler that cannot compile is the usual cause",
            evidence=str(log),
        ) from error
    return facts


def doubt(facts: dict[str, Any]) -> str:
    """Why the figures say that the backend computes with less than it should; '' if they do not."""
    if not facts["gemm_linked"] or facts["numpy_fallback"]:
        return "its matrix products do not use the BLAS it was linked to"
    if not facts["conv_linked"]:
        return "its convolutions do not use the BLAS it was linked to"
    if facts["gemm_ratio"] < RATIO_MIN:
        return f"its matrix products reach {facts['gemm_ratio']:.0%} of NumPy's rate"
    return ""


def _exports_plain_names(library: Path) -> bool:
    content = library.read_bytes()
    return all(symbol in content for symbol in SYMBOLS)
