"""A MemoryError in a task that is acknowledged late: the message never is (celery#10462; mended by billiard#451)."""

from __future__ import annotations

from harness.studies.defects.bench import Bench, nothing_runs
from harness.studies.defects.defect import Defect, Expected, prefork

PREFETCH = 2  # concurrency times worker_prefetch_multiplier
SILENT_S = 20.0


def provoke(bench: Bench) -> str:
    """As many such tasks as the worker prefetches; then others."""
    bench.start()
    bench.send(*[("app.resize", [])] * PREFETCH)
    bench.wait(lambda: bench.unacked() == PREFETCH and bench.tail().count("MemoryError") >= PREFETCH, 20)
    found = nothing_runs(bench, SILENT_S, [("app.note", ["later"])] * 3)
    if found and bench.unacked() == PREFETCH:
        return f"{PREFETCH} messages are handed out and not acknowledged, both tasks have failed; {found}"
    return ""


DEFECT = Defect(
    name="poison-message",
    source="celery#10462, billiard#451",
    reported="a MemoryError in a task with acks_late blocks the worker pool completely",
    differs="Valkey instead of RabbitMQ, which does not deliver again at once",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"cannot-say"}),
        causes=frozenset({"poison-unacked"}),
        words=("billiard 4.2.4 has a bug that does this (celery#10462", "never acknowledged", "restart the worker"),
    ),
    options=prefork(PREFETCH),
)
