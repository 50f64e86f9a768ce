"""The answer of `check` as text of 80 columns, and as JSON."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from harness import __version__
from harness.applications.check import finding
from harness.applications.check.answer import Checked
from harness.applications.check.finding import Finding
from harness.texts import visible

WIDTH = 80
SCHEMA = 1


def headline(checked: Checked) -> str:
    """The answer in a sentence."""
    if checked.breaks:
        return f"prefork by fork will break it: {checked.breaks[0].what}"
    if found := checked.errors:
        return f"an error was found, though none of a fork: {found[0].what}"
    if not checked.imported:
        return "nothing of level error was found in the source, which was not imported (no proof that a fork is safe)"
    if warned := checked.may_break:
        more = f" (and {len(warned) - 1} more)" if len(warned) > 1 else ""
        return f"no error was found, but a warning about the fork{more}: {warned[0].what}"
    return "nothing that a fork breaks was found (not a proof)"


def text(checked: Checked) -> str:
    """The answer, the findings, and what was looked at."""
    return "\n".join(
        [*_wrapped(headline(checked)), "", *(line for one in checked.findings for line in _lines(one)), *_end(checked)]
    )


def _lines(one: Finding) -> Iterator[str]:
    where = f" {one.place}" if one.place else ""
    yield f"{one.level.value}{where} [{one.rule}]"
    yield from _wrapped(one.what, "  ")
    for line in one.evidence:
        yield from _wrapped(f"seen: {line}", "  ")
    yield from _wrapped(f"do: {one.todo}", "  ")
    if one.measured:
        yield from _wrapped(f"measured: {one.measured}", "  ")
    if one.diff:
        yield from _wrapped("the change, for patch -p1:", "  ")
        yield from (visible(line) for line in one.diff.splitlines())
    yield ""


def _end(checked: Checked) -> Iterator[str]:
    counts = {level: sum(one.level is level for one in checked.findings) for level in finding.ORDER}
    files = "file" if checked.files == 1 else "files"
    told = ", ".join(f"{counts[level]} {level.value}{'' if counts[level] == 1 else 's'}" for level in finding.ORDER)
    looked = f"imported in {checked.import_s:.1f} s and forked" if checked.imported else "not imported"
    called = f"; {checked.called} was called" if checked.called else ""
    yield from _wrapped(f"{told}; {checked.files} source {files} read; {looked}{called}; {checked.took_s:.1f} s in all")
    for note in checked.notes:
        yield from _wrapped(note, "  ")
    if checked.findings:
        yield from _wrapped(f"each rule by its name: {finding.PAGE}")


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def as_json(checked: Checked) -> dict[str, Any]:
    """All of it, plain; schema 1. A field is never removed as long as the number stays."""
    return {
        "schema": SCHEMA, "harness": __version__, "app": checked.app, "answer": headline(checked),
        "breaks": bool(checked.breaks), "imported": checked.imported, "called": checked.called, "files": checked.files,
        "notes": list(checked.notes),
        "import_s": round(checked.import_s, 3), "took_s": round(checked.took_s, 3),
        "findings": [
            {"rule": one.rule, "level": one.level.value, "file": one.file, "line": one.line, "what": one.what, "do": one.todo,
             "evidence": list(one.evidence), "measured": one.measured, "page": one.page, "diff": one.diff}
            for one in checked.findings
        ],
    }  # fmt: skip
