"""The environments of the defects: exact versions from the package index, installed by uv."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from harness.environments import interpreters, uvtool
from harness.environments.environment import python_of

PYTHON = "3.11"  # the newest that Celery 5.2.7 runs on
INSTALL_LIMIT_S = 600.0
WHOLE = "whole"  # a file that is written last


def environment(requirements: Path, home: Path) -> Path:
    """The interpreter of an environment with these versions, built in `home` if need be. Raises BuildFailed, MissingTool."""
    home.mkdir(parents=True, exist_ok=True)
    text = requirements.read_text()
    folder = home / f"defect-{hashlib.sha256(f'{PYTHON} {text}'.encode()).hexdigest()[:12]}"
    if not (folder / WHOLE).exists():
        found = interpreters.obtain((PYTHON,), needs=(), downloads=home / "interpreters", say=lambda _text: None)
        uvtool.run(
            ["venv", "--clear", "--no-project", "--python", str(found.path), str(folder)], cwd=home, limit_s=INSTALL_LIMIT_S
        )
        fill = ["pip", "install", "--python", str(python_of(folder)), "-r", str(requirements)]
        uvtool.run(fill, cwd=home, limit_s=INSTALL_LIMIT_S)
        (folder / WHOLE).touch()
    return python_of(folder)


def installed(python: Path) -> dict[str, str]:
    """What is in it, by name."""
    listing = uvtool.run(
        ["pip", "list", "--format", "json", "--python", str(python)], cwd=python.parent, limit_s=INSTALL_LIMIT_S
    )
    return {item["name"]: item["version"] for item in json.loads(listing)}


def version(python: Path) -> str:
    """Of the interpreter itself; '?' if it does not run."""
    found = interpreters.ask(python)
    return found.version if found else "?"
