"""A self-test in the terminal: injected x judged, what is not right, and what was promised."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console


def verdicts(console: Console, matrix: Sequence[Sequence[str]], misses: Sequence[str], promises: Sequence[str]) -> None:
    """A self-test: injected x judged (the first row holds the titles), what is not right, and what was promised."""
    widths = [max(map(len, column)) for column in zip(*matrix, strict=True)]
    for number, (name, *rest) in enumerate(matrix):
        cells = [f"{text:>{width}}" for text, width in zip(rest, widths[1:], strict=True)]
        console.print(f"{name:<{widths[0]}}  {'  '.join(cells)}", style=None if number else "bold", soft_wrap=True)
    for text in misses:
        console.print(text, style="bold red", soft_wrap=True, markup=False)
    console.print()
    for text in promises:
        console.print(text, style="bold red" if text.startswith("broken") else None, soft_wrap=True, markup=False)
