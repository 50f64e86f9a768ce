"""Finding an interpreter of a given minor version: the driver's own, on PATH, pyenv's, uv's; else uv downloads one.

A candidate counts once it has run and told its version: a pyenv shim on PATH may stand for nothing and exit with 127.
Called by `build`, and by `doctor`, which only looks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.environments import uvtool
from harness.errors import MissingTool
from harness.machine import processes

LOOK_LIMIT_S = 10.0
ASK_LIMIT_S = 120.0  # of one that is known to have run: on a full machine it takes long to say so
DOWNLOAD_LIMIT_S = 300.0
HEADERS = "Python.h"

# Python 3.7; from inside a venv, the interpreter that the venv was made from.
QUESTION = """
import json, os, platform, sys, sysconfig
print(json.dumps([getattr(sys, "_base_executable", sys.executable), platform.python_version(), sys.implementation.name,
                  os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h"))]))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """One that runs: where it is, its full version, and whether its C headers are there to compile against."""

    path: Path
    version: str
    headers: bool

    def is_a(self, minor: str) -> bool:
        return self.version.startswith(f"{minor}.")


def ask(path: Path, limit_s: float = LOOK_LIMIT_S) -> Interpreter | None:
    """What the program at `path` says of itself; None unless it is a CPython that runs, and says so in time."""
    try:
        done = processes.run([str(path), "-I", "-c", QUESTION], env=uvtool.variables(), cwd=Path("/"), limit_s=limit_s)
        done.check_returncode()
        base, version, kind, headers = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return Interpreter(path=Path(base), version=version, headers=headers) if kind == "cpython" else None


def look(minor: str, *, needs: Sequence[str] = (), downloads: Path | None = None) -> Interpreter | None:
    """The first interpreter of that version that will do, without side effects. `downloads`: where ours were put."""
    for path in _candidates(minor, downloads):
        found = ask(path)
        if found is not None and found.is_a(minor) and (found.headers or HEADERS not in needs):
            return found
    return None


def obtain(minors: Sequence[str], *, needs: Sequence[str], downloads: Path, say: Callable[[str], None]) -> Interpreter:
    """An interpreter of one of these versions, preferred first, downloaded if need be. Raises MissingTool."""
    for minor in minors:
        if found := look(minor, needs=needs, downloads=downloads):
            return found
    reason = ""
    for minor in minors:
        say(f"no Python {minor} here; asking uv to download one")
        try:
            download(minor, downloads)
        except uvtool.UvFailed as error:
            reason = f" ({error})"
        if found := look(minor, needs=needs, downloads=downloads):
            return found
    headers = " with its C headers (Python.h)" if HEADERS in needs else ""
    raise MissingTool(
        f"no Python {' or '.join(minors)}{headers} was found, and uv could not download one{reason}",
        remedy=f"install one where PATH or pyenv has it, such as with `pyenv install {minors[0]}`",
    )


def download(minor: str, folder: Path) -> None:
    """Have uv put an interpreter into `folder`. Raises UvFailed, soon where there is no network."""
    folder.mkdir(parents=True, exist_ok=True)
    patience = {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}
    arguments = ["python", "install", "--no-bin", "--install-dir", str(folder), minor]
    uvtool.run(arguments, cwd=folder, limit_s=DOWNLOAD_LIMIT_S, extra=patience)


def _candidates(minor: str, downloads: Path | None) -> Iterator[Path]:
    """Paths that may be such an interpreter, in the order of trust; later ones are looked for only when needed."""
    if sys.version_info[:2] == tuple(int(part) for part in minor.split(".")):
        yield Path(sys.executable)
    folders = [Path(text) for text in os.environ.get("PATH", "").split(os.pathsep) if text]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    folders += [path / "bin" for path in _newest_first(pyenv, f"{minor}.*")]
    if downloads is not None:
        folders += [path / "bin" for path in _newest_first(downloads, f"cpython-{minor}.*")]
    for folder in folders:
        path = folder / f"python{minor}"
        if path.is_file() and os.access(path, os.X_OK):
            yield path
    try:
        # Only uv's own: over all of them it stops at the first broken shim.
        yield Path(uvtool.run(["python", "find", "--managed-python", "--no-python-downloads", "--no-project", minor],
                              cwd=Path("/"), limit_s=LOOK_LIMIT_S).strip())  # fmt: skip
    except (uvtool.UvFailed, MissingTool):
        return


def _newest_first(folder: Path, pattern: str) -> list[Path]:
    def patch(path: Path) -> int:
        digits = path.name.split("-")[-1 if path.name[0].isdigit() else 1].split(".")[-1]
        return int(digits) if digits.isdigit() else -1

    return sorted(folder.glob(pattern), key=patch, reverse=True)
