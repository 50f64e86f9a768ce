"""Who has started the worker does not read its standard error: it gets full, and tasks stand in write (aiida-core#1006)."""

from __future__ import annotations

import sys

from harness.machine import procfs
from harness.studies.defects.bench import DONE, Bench
from harness.studies.defects.defect import Defect, Expected

ROWS = 3000  # some 130 bytes each: a pipe holds 65,536 (pipe(7))
SILENT_S = 20.0


def provoke(bench: Bench) -> str:
    """Tasks that log more than a pipe holds."""
    bench.start(before=(sys.executable, "-S", str(bench.app / "starter.py")))
    starter = bench.main
    bench.main = procfs.children(starter)[0]
    before = bench.count(DONE)
    bench.send(("app.copy", [ROWS]), ("app.copy", [ROWS]))
    if bench.wait(lambda: bench.count(DONE) > before or not bench.alive(), SILENT_S):
        return ""
    return f"both tasks log {ROWS} lines to a pipe that process {starter} does not read, and have not ended for {SILENT_S:g} s"


DEFECT = Defect(
    name="full-pipe",
    source="aiida-core#1006 (also celery#6372)",
    reported="a worker stops; `tail -f /proc/PID/fd/2` frees it",
    differs="a small program stands for the service manager, whose pipe nobody reads",
    provoke=provoke,
    expected=Expected(
        states=frozenset({"stuck", "waiting"}), causes=frozenset({"output-blocked"}), words=("pipe", "does not read")
    ),
)
