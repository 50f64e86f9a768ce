"""Which system this is: only Linux has the /proc that everything here reads, and it has to be that of our own processes."""

from __future__ import annotations

import sys

from harness.errors import MissingTool, NotPermitted
from harness.machine import containers


def linux() -> None:
    """Raise MissingTool anywhere else, and NotPermitted if /proc shows others' numbers: a process that is looked at there
    would be another one for py-spy, for the kernel, and for whoever follows the advice."""
    if not sys.platform.startswith("linux"):
        raise MissingTool("the harness watches processes through /proc, which only Linux has", remedy="run it on Linux")
    if not containers.proc_is_ours():
        raise NotPermitted(
            "/proc shows processes by the numbers of another PID namespace than ours",
            remedy="mount our own (mount -t proc proc /proc), or run it where /proc is from: nsenter --target 1 --pid --mount",
        )
