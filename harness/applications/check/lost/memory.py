"""What of the main process's memory its children share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level

MIB = 1 << 20
WORTH = 100 * MIB


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    memory = looked["child"].get("memory") or {}
    if not memory:
        return []
    shared = memory.get("Shared_Clean", 0) + memory.get("Shared_Dirty", 0)
    worth = ": children made by fork save that much each" if shared > WORTH else ""
    one = Finding(
        rule="shared-memory",
        level=Level.NOTE,
        what=f"a forked child shares {shared // MIB} of its {memory['Rss'] // MIB} MiB{worth}",
        todo="worker_max_memory_per_child counts shared memory, too: set it above what a child has at its birth",
    )
    return [one]
