"""What the atlas has of the engines that an application uses, for the end of its probe."""

from __future__ import annotations

from pathlib import Path

from harness.applications.probe.header import APPLICATION
from harness.atlas import answer, stored
from harness.records.store import RunFolder


def said(folder: Path) -> tuple[str, ...]:
    """A sentence for each engine that the application has loaded, at import or in its calls, and that is in the atlas."""
    run = RunFolder(folder)
    used = run.read_json("run.json").get(APPLICATION, {}).get("loaded")
    return answer.quoted(stored.shipped(), run.trials()[-1].asked.versions, used=used)
