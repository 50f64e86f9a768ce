"""The answer of a check, and that of the source alone, which needs none of the packages that measure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.applications.check import finding, modules, static
from harness.applications.check.finding import Finding, Level
from harness.applications.check.modules import Source
from harness.applications.check.static import limits


@dataclass(frozen=True, kw_only=True)
class Checked:
    """`findings`, gravest first. `root`: the file of the application's module, below its folder.

    `imported`: whether the application was imported and forked; `called`: its task, if it was.
    `import_s`, `took_s`: seconds that the import, and all of it, took. `notes`: what to know of the answer itself.
    """

    app: str
    findings: tuple[Finding, ...]
    files: int
    root: str = ""
    imported: bool = False
    called: str = ""
    import_s: float = 0.0
    took_s: float = 0.0
    notes: tuple[str, ...] = ()

    @property
    def errors(self) -> list[Finding]:
        return finding.errors(self.findings)

    @property
    def breaks(self) -> list[Finding]:
        """The errors that a fork makes."""
        return [one for one in self.errors if one.is_a_forks]

    @property
    def may_break(self) -> list[Finding]:
        """The warnings about the fork."""
        return [one for one in self.findings if one.is_a_forks and one.level is Level.WARNING]


def of_source(app: str, folder: Path, line: limits.Line) -> Checked:
    """What the source alone shows; `line`: of the worker. Raises BadInput."""
    begun = time.monotonic()
    return replace(of_sources(app, modules.sources(app, folder), line), took_s=time.monotonic() - begun)


def of_sources(app: str, sources: Sequence[Source], line: limits.Line) -> Checked:
    """The same of files that have been read, the application's module first."""
    found = finding.sorted_(static.found(sources, line))
    unread = tuple(
        f"{one.path} cannot be read here ({one.unread}): no rule was held against it" for one in sources if one.unread
    )
    return Checked(app=app, findings=tuple(found), root=sources[0].path, files=len(sources), notes=unread)
