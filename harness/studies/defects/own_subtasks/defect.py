"""Every executor waits for a task that only these executors could run (dagster#29660)."""

from __future__ import annotations

from harness.studies.defects.bench import DONE, QUEUE, Bench
from harness.studies.defects.defect import Defect, Expected, prefork

EXECUTORS = 2
SILENT_S = 20.0


def provoke(bench: Bench) -> str:
    """One such task for each executor."""
    bench.start()
    bench.send(*[("app.report", [f"month {number}"]) for number in range(EXECUTORS)])
    if not bench.wait(lambda: bench.count("begun") == EXECUTORS, 20):
        return ""
    before = bench.count(DONE)
    if bench.wait(lambda: bench.count(DONE) > before or not bench.alive(), SILENT_S):
        return ""
    waits = bench.count(QUEUE) + bench.unacked()  # what has begun is acknowledged
    return f"{EXECUTORS} tasks have begun, {waits} subtasks of theirs are not run by anybody for {SILENT_S:g} s"


DEFECT = Defect(
    name="own-subtasks",
    source="dagster#29660 (also deis#359, celery#1784)",
    reported="all children wait for subtasks that nobody is left to run",
    differs="Celery alone, without Dagster; disable_sync_subtasks=False, as Dagster sets it",
    provoke=provoke,
    expected=Expected(states=frozenset({"stuck", "waiting"}), causes=frozenset({"waits-for-subtask"}), words=("subtask",)),
    options=prefork(EXECUTORS),
)
