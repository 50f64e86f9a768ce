"""The broker restarts, the worker reconnects, and takes no task any more (celery#8030; mended by kombu#2007)."""

from __future__ import annotations

import time

from harness.studies.defects.bench import Bench, nothing_runs
from harness.studies.defects.defect import Defect, Expected

DOWN_S, UP_S, RESTARTS, SILENT_S = 8.0, 12.0, 3, 20.0


def provoke(bench: Bench) -> str:
    """Restart the broker up to three times, and send tasks after each."""
    bench.start()
    for number in range(1, RESTARTS + 1):
        bench.stop_broker()
        time.sleep(DOWN_S)
        bench.start_broker()
        time.sleep(UP_S)  # kombu tries again after 2, 4 and 6 s
        if found := nothing_runs(bench, SILENT_S, [("app.note", ["later"])] * 3):
            return f"after restart {number} of the broker, {found}"
    return ""


DEFECT = Defect(
    name="lost-consumer",
    source="celery#8030 (also #8091, #8384, #9054)",
    reported="after a restart of Redis the worker reconnects, logs nothing, and consumes nothing until it is restarted",
    differs="Valkey instead of Redis",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"stuck"}),
        causes=frozenset({"consumer-lost"}),
        words=("kombu 5.2.4 has a bug that does this (celery#8030", "restart the worker"),
    ),
)
