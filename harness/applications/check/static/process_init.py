"""Handlers of worker_process_init: billiard gives a child that it starts later 4 s to be up, and replaces it if it is not."""

from __future__ import annotations

from collections.abc import Sequence

from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import libraries, names

SETTING = "worker_proc_alive_timeout"
WINDOW_S = 4.0  # Celery's default; not armed for the first children of a pool


def found(sources: Sequence[Source]) -> list[Finding]:
    if any(SETTING in source.text or SETTING.upper() in source.text for source in sources):
        return []
    return [
        Finding(
            rule="start-window",
            level=Level.WARNING,
            file=source.path,
            line=call.line,
            what=f"{call.name} in worker_process_init: a child that a pool starts later has {WINDOW_S:g} s to be up, and is "
            "replaced for ever if it needs longer",
            todo=f"set {SETTING} well above the time that it takes, or load it in the first task",
        )
        for source in sources
        for handler in names.handlers(source, "worker_process_init")
        for call in names.calls_of(source, handler)
        if libraries.loads(call.name) or _sleeps(call)
    ]


def _sleeps(call: names.Call) -> bool:
    seconds = names.number(call.node.args[0]) if call.name == "time.sleep" and call.node.args else None
    return seconds is not None and seconds >= WINDOW_S
