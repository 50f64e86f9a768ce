"""Which system this is: only Linux has the /proc that everything here reads."""

from __future__ import annotations

import sys

from harness.errors import MissingTool


def linux() -> None:
    """Raise MissingTool anywhere else."""
    if not sys.platform.startswith("linux"):
        raise MissingTool("the harness watches processes through /proc, which only Linux has", remedy="run it on Linux")
