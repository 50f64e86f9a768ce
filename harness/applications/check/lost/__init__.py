"""What a fork would lose, from the look at one: a module per kind of loss, each with `found(looked, folder) -> findings`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.applications.check.finding import Finding, Level
from harness.applications.check.lost import (
    connections,
    engines,
    files,
    generators,
    locks,
    memory,
    names,
    pages,
    pools,
    threads,
    words,
)

__all__ = ["found", "words"]
KINDS = (
    locks.found, threads.found, pools.found, engines.found, connections.found, files.found, names.found, generators.found,
    pages.found, memory.found,
)  # fmt: skip


def found(looked: Mapping[str, Any], folder: Path) -> list[Finding]:
    """All of it. That a thread is left behind is not said beside what that does."""
    lacking = without_renewed(looked)
    result = [one for kind in KINDS for one in kind(lacking, folder)]
    told = {(one.file, one.line) for one in result if one.level is not Level.NOTE and one.rule != "lost-thread"}
    return [one for one in result if one.rule != "lost-thread" or one.level is Level.ERROR or (one.file, one.line) not in told]


def without_renewed(looked: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what the child has anew: some libraries hear of a fork, make new locks, and start their threads again; others are
    given another object in worker_process_init."""
    renewed, again = set(looked["child"].get("renewed", ())), [tuple(one) for one in looked["child"].get("threads", ())]
    renewed |= set(looked["anew"])
    threads = []
    for thread in looked["threads"]:
        if (thread["kind"], thread["target"]) in again:
            continue
        shared = [one for one in thread["shared"] if one["label"] not in renewed]
        threads.append({**thread, "shared": shared})
    kept = {name: [one for one in looked[name] if one["label"] not in renewed] for name in ("locks", "pools", "futures")}
    kept["connections"] = [one for one in looked["connections"] if one["reached"] not in renewed]
    kept.update(
        {
            name: [one for one in looked[name] if one[0] not in renewed]
            for name in ("databases", "reading", "locking", "generators", "mapped", "channels")
        }
    )
    return {**looked, "threads": threads, **kept}
