"""Advice in the terminal: the answer first, then why and what else, then what to paste."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from harness.decide.advise import pages
from harness.decide.advise.ranking import Advice
from harness.display import shortened, width_of, wrapped

MOST = 700  # signs of a line: what decides stands in the first half, and all of it is in the page and the Markdown


def advice(console: Console, found: Sequence[Advice], most_memory: float | None) -> None:
    """The answer first, then why and what else, then what to paste. What is to be pasted keeps its lines."""
    for one in found:
        colour = "green" if one.best else "yellow" if one.alike else "red"
        _say(console, pages.headline(one), style=f"bold {colour}", indent="")
        for line in pages.lines(one):
            style = "red" if line.startswith("vetoed") else "magenta" if line.startswith("to measure") else ""
            words, sign, place = line.partition(" (evidence: ")
            said = line if line.startswith("note: ") else shortened(words, MOST) + sign + place
            _say(console, said, style=style)
        for words, diff in pages.code_changes(one):
            _say(console, words, style="bold")
            console.print(Text(diff), soft_wrap=True, end="")
        if (first := one.shown) is not None:
            for line in (pages.memory(first, most_memory), *pages.change(first, one)):
                _say(console, line)
            for title, block in pages.blocks(first)[:3]:
                console.print()
                _say(console, title, style="bold")
                console.print(Text("".join(f"    {line}\n" for line in block.rstrip().splitlines())), soft_wrap=True, end="")
        console.print()


def _say(console: Console, line: str, *, style: str = "", indent: str = "  ") -> None:
    """A thought, in lines that a terminal has room for."""
    console.print(Text(wrapped(line, width_of(console), indent), style=style), soft_wrap=True)
