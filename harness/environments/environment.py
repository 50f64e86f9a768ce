"""An environment that exists: where it is, what is installed in it, and how it is found again by its fingerprint.

Read only; `build` makes them. The folder is `<name>-<fingerprint>` in `home()`. A marker file, written last, says that
it is whole and holds what was measured while it was built; a folder without one is a build that did not end.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.backends import OUTSIDE
from harness.environments.description import Description, descriptions
from harness.environments.interpreters import ASK_LIMIT_S, ask
from harness.environments.variants import MARK, base_of, variant
from harness.errors import BadInput
from harness.places import home

LAYOUT = 1  # raise it when `build` does something else with the same description
MARKER = "harness-environment.json"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A built venv. `installed`: every distribution and its version. `variables`: extra ones for its workers.

    `facts`: what was measured at the build: `build_s`, and under `blas` the figures of its probe. `cache_dir`: the
    environment's own warm compile cache, which outlives trials.
    """

    name: str
    python: Path
    directory: Path
    fingerprint: str
    installed: Mapping[str, str]
    variables: Mapping[str, str]
    interpreter_version: str
    facts: Mapping[str, Any]
    cache_dir: Path


def described(name: str) -> Description:
    """The environment called `name`, or the variant. Raises BadInput with the names there are."""
    known, base = descriptions(), base_of(name)
    if base not in known:
        raise BadInput(f"no environment is called {base!r}", remedy=f"there are: {', '.join(known)}")
    return variant(known[base], name, home() / "variants") if MARK in name else known[base]


def fingerprint(description: Description, interpreter_version: str) -> str:
    """12 hex digits of everything that decides what is in the venv and what its workers see."""
    blas = description.blas.package if description.blas else ""
    parts = [LAYOUT, description.lock.read_text(), description.env, blas, interpreter_version, platform.machine()]
    parts += [description.wheel.requirement] if description.wheel else []
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def directory(description: Description, interpreter_version: str) -> Path:
    return home() / f"{description.name}-{fingerprint(description, interpreter_version)}"


def python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def blas_folder(folder: Path) -> Path:
    return folder / "blas"


def cache_folder(folder: Path) -> Path:
    return folder / "compiled"


def find(name: str) -> Environment | None:
    """The environment, if it is built and still as its files describe it; with the preferred interpreter if several are."""
    description = described(name)
    if not description.lock.exists():  # of a variant that was never asked for
        return None
    built = [load(description, path.parent) for path in home().glob(f"{name}-*/{MARKER}")]
    order = {minor: rank for rank, minor in enumerate(description.python)}
    usable = [(order[_minor(item)], item) for item in built if item is not None and _minor(item) in order]
    return min(usable, key=lambda pair: (pair[0], pair[1].fingerprint))[1] if usable else None


def load(description: Description, folder: Path) -> Environment | None:
    """What the marker in `folder` says; None if it is absent or meant something else, or the venv no longer runs."""
    try:
        marker = json.loads((folder / MARKER).read_text())
    except (OSError, ValueError):
        return None
    if Path(marker.get("directory", "")).resolve() != folder.resolve():  # a venv does not survive being moved
        return None
    expected = fingerprint(description, marker["interpreter_version"])
    if folder.name != f"{description.name}-{expected}":
        return None
    running = ask(python_of(folder), ASK_LIMIT_S)  # the interpreter below may have been removed, or upgraded in place
    if running is None or running.version != marker["interpreter_version"]:
        return None
    return from_marker(description, folder, marker)


def from_marker(description: Description, folder: Path, marker: Mapping[str, Any]) -> Environment:
    return Environment(
        name=description.name,
        python=python_of(folder),
        directory=folder,
        fingerprint=fingerprint(description, marker["interpreter_version"]),
        installed=marker["installed"],
        variables=variables(description, folder),
        interpreter_version=marker["interpreter_version"],
        facts=marker["facts"],
        cache_dir=cache_folder(folder),
    )


def variables(description: Description, folder: Path) -> dict[str, str]:
    """The description's variables with the places filled in."""
    places = {"directory": str(folder), "cache": str(cache_folder(folder)), "blas": str(blas_folder(folder))}
    told = {OUTSIDE: f"{base_of(description.name)}={description.outside}"} if description.outside else {}
    return told | {name: text.format_map(places) for name, text in description.env.items()}


def _minor(environment: Environment) -> str:
    return ".".join(environment.interpreter_version.split(".")[:2])
