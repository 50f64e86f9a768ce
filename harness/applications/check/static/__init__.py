"""Rules over the source, a module per family. Each is a function `found(sources) -> findings` and runs nothing; the last one
is told what the worker's line says, too."""

from __future__ import annotations

from collections.abc import Sequence

from harness.applications.check.finding import Finding
from harness.applications.check.modules import Source
from harness.applications.check.static import at_import, in_tasks, limits, process_init, receivers

NO_LINE = limits.Line()
FAMILIES = (at_import.found, process_init.found, receivers.found, in_tasks.found)


def found(sources: Sequence[Source], line: limits.Line = NO_LINE) -> list[Finding]:
    return [*(one for family in FAMILIES for one in family(sources)), *limits.found(sources, line)]
