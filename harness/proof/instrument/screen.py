"""A finding of the instrument's tests, as a line."""

from __future__ import annotations

from rich.text import Text

from harness.proof.instrument.suite import Found


def finding_line(one: Found) -> Text:
    """A line a finding of the instrument's tests: whether it kept its bound, both, and what stands behind the figure."""
    finding = one.finding
    text = Text("ok    " if finding.passed else "FAILED", style="green" if finding.passed else "bold red")
    figure = "no figure" if finding.figure is None else f"{finding.figure:.4g}"
    bound = f"  (bound: {finding.bound})" if finding.bound else ""
    text.append(f"  {one.test.name:<15} {finding.name}: {figure}{bound}", style="default")
    if finding.note:
        text.append(f"\n{'':25}{finding.note}", style="dim")
    return text
