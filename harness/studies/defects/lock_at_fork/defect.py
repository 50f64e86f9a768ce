"""A thread of the parent's holds a lock of a telemetry library while the pool forks (sentry-python#6149)."""

from __future__ import annotations

from harness.studies.defects.bench import DONE, Bench
from harness.studies.defects.defect import Defect, Expected, prefork

CHILDREN = 4
SILENT_S = 20.0


def provoke(bench: Bench) -> str:
    """A task that logs a line, for each child."""
    bench.start()
    before = bench.count(DONE)
    bench.send(*[("app.price", [])] * CHILDREN)

    def stand() -> int:
        return bench.count("begun") - (bench.count(DONE) - before)

    if not bench.wait(lambda: bench.count("begun") >= CHILDREN or not bench.alive(), SILENT_S) or not bench.wait(stand, 1.0):
        return ""
    done = bench.count(DONE)
    if bench.wait(lambda: not stand(), SILENT_S) or bench.count(DONE) > done:
        return ""
    return f"{stand()} of {CHILDREN} tasks have begun to log a line, and are not done with it for {SILENT_S:g} s"


DEFECT = Defect(
    name="lock-at-fork",
    source="sentry-python#6149 (also opentelemetry-python#5533, dd-trace-py#18900)",
    reported="the lock of the batcher is held by its thread in the parent while os.fork runs; the child waits for it for ever",
    differs="sentry-sdk, whose thread is reported with Celery; the events go nowhere",
    provoke=provoke,
    expected=Expected(states=frozenset({"stuck"}), causes=frozenset({"fork-held-lock"}), words=("_batcher.py",)),
    options=prefork(CHILDREN),
)
