"""The links of pages and tables below a folder, led from files that packing takes away to where the same is found afterwards.

`[stacks-7.txt](evidence/x.1/stacks-7.txt)` becomes `[evidence](evidence.md#x.1)`; a link to requests, samples or `trials.jsonl`
leads to `trials.jsonl.xz`, where every trial has its line. Texts that hold no such link stay as they are, to the byte.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from harness.records import evidence
from harness.records.store import RunFolder

LINK = re.compile(r"\[([^\]\n]*)\]\(([^()\s]+)\)")
NAMED = re.compile(r"^Evidence: `([^`\n]+)`$", re.MULTILINE)  # as pages of diagnoses had it before they had links
TWICE = re.compile(r"(\[[^\]\n]*\]\([^()\s]+\))(?:, \1)+")
GONE = re.compile(r"(?P<at>(?:[^#]*?/)?)(?:(?:requests|samples)/[^/#]+\.parquet|trials\.jsonl)")
COLUMN = "evidence"


@dataclass(frozen=True, kw_only=True)
class Ways:
    """The ways from one folder, in which a page lies or which is a run's; `anchors` are those of each page of evidence."""

    folder: Path
    anchors: dict[Path, frozenset[str]] = field(default_factory=dict)

    def light(self, way: str) -> str:
        """Where the same is found in a packed folder; the way itself where nothing is packed, or it leads elsewhere."""
        if found := evidence.FILE_WAY.fullmatch(way):
            name = evidence.anchor(found["name"])
            return f"{found['at']}{evidence.PAGE}#{name}" if name in self._on(found["at"]) else way
        if (gone := GONE.fullmatch(way)) and (packed := RunFolder(self.folder / gone["at"]).packed_path).is_file():
            return f"{gone['at']}{packed.name}"
        return way

    def _on(self, at: str) -> frozenset[str]:
        page = (self.folder / at / evidence.PAGE).resolve()
        if page not in self.anchors:
            self.anchors[page] = evidence.anchors(page)
        return self.anchors[page]


def markdown(text: str, ways: Ways) -> str:
    """A page with its links led on."""
    led = LINK.sub(partial(_led, ways), NAMED.sub(partial(_linked, ways), text))
    return TWICE.sub(r"\1", led) if led != text else text


def table(text: str, ways: Ways) -> str:
    """A CSV whose column `evidence` holds ways, with spaces between them, with these led on."""
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows or COLUMN not in rows[0]:
        return text
    place = rows[0].index(COLUMN)
    led = [_row(row, place, ways) for row in rows]
    return text if led == rows else _csv(led)


READERS: dict[str, Callable[[str, Ways], str]] = {".md": markdown, ".csv": table}


def _row(row: list[str], place: int, ways: Ways) -> list[str]:
    if len(row) <= place:
        return row
    return [*row[:place], " ".join(dict.fromkeys(map(ways.light, row[place].split(" ")))), *row[place + 1 :]]


def _csv(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _led(ways: Ways, link: re.Match[str]) -> str:
    way = unquote(link[2])
    light = ways.light(way)
    if light == way:
        return link[0]
    return evidence.linked(light) if link[1] == evidence.label(way) else f"[{link[1]}]({evidence.href(light)})"


def _linked(ways: Ways, named: re.Match[str]) -> str:
    light = ways.light(named[1])
    return named[0] if light == named[1] else f"Evidence: {evidence.linked(light)}"
