"""Rules over the source, a module per family. Each is a function `found(sources) -> findings` and runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from harness.applications.check.finding import Finding
from harness.applications.check.modules import Source
from harness.applications.check.static import at_import, in_tasks, limits, process_init, receivers

FAMILIES = (at_import.found, process_init.found, receivers.found, in_tasks.found, limits.found)


def found(sources: Sequence[Source]) -> list[Finding]:
    return [one for family in FAMILIES for one in family(sources)]
