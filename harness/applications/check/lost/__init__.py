"""What a fork would lose, from the look at one: a module per kind of loss, each a function `found(looked, folder) -> findings`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding
from harness.applications.check.lost import connections, engines, locks, memory, pools, threads, words

__all__ = ["found", "words"]
KINDS = (locks.found, threads.found, pools.found, engines.found, connections.found, memory.found)


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    return [one for kind in KINDS for one in kind(looked, folder)]
