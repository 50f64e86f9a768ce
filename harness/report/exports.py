"""A report in other forms: Markdown, CSV, Parquet, LaTeX, and its charts as SVG and PNG, all made offline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import vl_convert

from harness import display
from harness.decide.advise import pages as advised
from harness.report import charts, page
from harness.report.content import Content
from harness.summary import written
from harness.texts import escaped

COLUMNS = (
    "cell",
    "outcome",
    "throughput_per_s",
    "latency_p50_s",
    "latency_p95_s",
    "cpu_saturation",
    "peak_pss_bytes",
    "efficiency",
)
PNG_SCALE = 2.0


def write(content: Content, form: str, path: Path) -> list[Path]:
    """Write the report in this form; the files that were written. `path` names the page, others lie beside it."""
    if form in ("svg", "png"):
        return _plots(content, form, path)
    target = path.with_suffix(f".{EXTENSIONS.get(form, form)}")
    if form == "parquet":
        content.table.to_parquet(target, index=False)
    elif form == "html":
        way = quote(os.path.relpath(content.folder, target.parent))  # './': a folder's name may look like a scheme
        target.write_text(page.render(content, relative="" if way == "." else f"./{way}/"))
    else:
        target.write_text(TEXTS[form](content))
    return [target]


def markdown(content: Content) -> str:
    """The answer, the table, the doubts."""
    lines = [f"# {escaped(content.name)}", "", advised.markdown(content.advice), "## Cells", ""]
    titles = [figure.title for figure in display.FIGURES if figure.column in content.table]
    lines += [f"| cell | outcome | {' | '.join(titles)} |", f"| --- | --- |{' ---: |' * len(titles)}"]
    for one in content.cells:
        values = [
            display.number(one.row[figure.column], figure.form, figure.factor) if one.row[figure.column] is not None else "-"
            for figure in display.FIGURES
            if figure.column in content.table
        ]
        lines.append(f"| {escaped(one.id)} | {one.outcome} | {' | '.join(values)} |")
    lines += ["", escaped(content.not_kept)] if content.not_kept else []
    lines += [
        "",
        "## Doubts",
        "",
        *(f"- **{escaped(name)}** ({count} cells): {escaped(rest)}" for name, rest, count in content.doubts),
    ]
    lines += ["", "## Notes", "", *(f"- {escaped(note)}" for note in content.notes)] if content.notes else []
    return "\n".join(lines) + "\n"


def latex(content: Content) -> str:
    """A table for a paper: `booktabs` and `longtable`."""
    rows: pd.DataFrame = content.table[list(COLUMNS)].astype({"cell": str, "outcome": str})
    return str(rows.to_latex(index=False, escape=True, longtable=True, float_format="%.4g", na_rep="-"))


def _plots(content: Content, form: str, path: Path) -> list[Path]:
    written = []
    for one in charts.all_of(content):
        spec, target = one.spec, path.with_name(f"{path.stem}-{one.name}.{form}")
        if form == "svg":
            target.write_text(vl_convert.vegalite_to_svg(json.dumps(spec)))
        else:
            target.write_bytes(vl_convert.vegalite_to_png(json.dumps(spec), scale=PNG_SCALE))
        written.append(target)
    return written


TEXTS: Mapping[str, Callable[[Content], str]] = {
    "markdown": markdown,
    "csv": lambda content: written.csv(content.table),
    "latex": latex,
}
EXTENSIONS = {"markdown": "md", "latex": "tex"}
FORMS = ("html", "markdown", "csv", "parquet", "latex", "svg", "png")
