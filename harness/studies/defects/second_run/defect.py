"""A task that is acknowledged late takes longer than the visibility timeout: it is run a second time (celery#5935)."""

from __future__ import annotations

from typing import cast

from harness.studies.defects.bench import Bench
from harness.studies.defects.defect import Defect, Expected

TAKES_S = 600.0
LIMIT_S = 150.0  # kombu looks at every tenth turn of a timer of 10 s (QoS.restore_visible)


def provoke(bench: Bench) -> str:
    """One task of ten minutes, and a visibility timeout of 5 s."""
    bench.start()
    bench.send(("app.export", [TAKES_S]))
    if not bench.wait(lambda: bench.count("begun") >= 2 or not bench.alive(), LIMIT_S):
        return ""
    begun = cast(list[bytes], bench.client().lrange("begun", 0, -1))
    return f"the one task that was sent has begun {len(begun)} times, with one id" if len(set(begun)) == 1 else ""


DEFECT = Defect(
    name="second-run",
    source="celery#5935 (also pretix#2058)",
    reported="a task of four hours runs four times",
    differs="ten minutes and a visibility timeout of 5 s, instead of hours and the default of one",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"works"}),
        causes=frozenset({"redelivery-loop"}),
        words=("(redelivered)", "visibility_timeout that is longer than the longest task"),
    ),
)
