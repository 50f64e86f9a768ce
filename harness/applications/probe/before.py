"""What the atlas has of the engines that an application may use, for the end of its probe."""

from __future__ import annotations

from pathlib import Path

from harness.atlas import answer, stored
from harness.records.store import RunFolder


def said(folder: Path) -> tuple[str, ...]:
    """A sentence for each engine that is installed beside the application and is in the atlas."""
    return answer.quoted(stored.shipped(), RunFolder(folder).trials()[-1].asked.versions)
