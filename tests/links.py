"""The links of Markdown pages, followed: to a file, and in it to an anchor."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"(?<!\\)\[[^\]\n]*\]\(([^()\s]+)\)")
ANCHOR = re.compile(r'^<a id="([^"]+)"></a>$', re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCED = re.compile(r"^(`{3,})\w*\n.*?^\1$", re.MULTILINE | re.DOTALL)


def links(page: Path) -> list[str]:
    """The targets on this machine that the page names; what stands in fences is somebody's words."""
    found = LINK.findall(FENCED.sub("", page.read_text()))
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def dead(root: Path) -> Iterator[str]:
    """'page: target' of each link below a folder that leads to no file, or in it to no anchor."""
    known: dict[Path, set[str]] = {}
    for page in sorted(root.rglob("*.md")):
        for target in links(page):
            path, _, anchor = target.partition("#")
            file = page.parent / unquote(path) if path else page
            if not file.exists() or (anchor and anchor not in known.setdefault(file, anchors(file))):
                yield f"{page}: {target}"


def anchors(page: Path) -> set[str]:
    text = FENCED.sub("", page.read_text())
    named = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in HEADING.findall(text)}
    return {*ANCHOR.findall(text), *named}
