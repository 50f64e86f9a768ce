"""Running uv, the program that makes venvs and installs into them: which binary, what it may see, how it fails.

The only place where uv is started. Its output goes to a log, and the log's end into the error.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import BuildFailed, MissingTool
from harness.machine import processes

# What finding packages on this machine may need; nothing that changes what Python imports (PYTHONPATH, VIRTUAL_ENV).
NAMES = frozenset(("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "NETRC"))
PREFIXES = ("UV_", "PIP_", "SSL_CERT_", "XDG_")
SUFFIX = "_proxy"  # http_proxy, HTTPS_PROXY, no_proxy …


class UvFailed(BuildFailed):
    """uv ended with an error, or not at all."""


def binary() -> Path:
    """The uv that came with the driver's own dependencies. Raises MissingTool."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError) as error:
        raise MissingTool(
            "uv, which builds the environments, is not installed beside the harness",
            remedy="pip install uv, in the environment that runs the harness",
        ) from error


def variables(source: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The part of `source` that uv gets."""
    allowed = {
        name: value
        for name, value in source.items()
        if name in NAMES or name.startswith(PREFIXES) or name.lower().endswith(SUFFIX)
    }
    return {**allowed, "PYTHONNOUSERSITE": "1", "UV_NO_PROGRESS": "1"}


def run(
    arguments: Sequence[str],
    *,
    cwd: Path,
    limit_s: float,
    log: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """uv's standard output. Raises UvFailed with uv's own last words; `log` keeps all of them."""
    argv = [str(binary()), *arguments]
    try:
        done = processes.run(argv, cwd=cwd, env={**variables(), **(extra or {})}, limit_s=limit_s)
    except subprocess.TimeoutExpired as error:
        raise UvFailed(f"uv {arguments[0]} took longer than {limit_s:g} s and was stopped") from error
    if log is not None:
        with log.open("a") as file:
            file.write(f"$ uv {' '.join(arguments)}\n{done.stdout}{done.stderr}\n")
    if done.returncode != 0:
        raise UvFailed(f"uv {arguments[0]} failed: {cause(done.stderr)}", evidence=str(log or ""))
    return done.stdout


def cause(stderr: str) -> str:
    """What went wrong and why, in one line: uv's first line and its last."""
    lines = [line.strip(" ×│├╰─▶").removeprefix("error: ") for line in stderr.splitlines() if line.strip()]
    return " … ".join(dict.fromkeys([*lines[:1], *lines[-1:]])) or "it said nothing"
