"""The page: one HTML file with everything in it. Whatever comes from a run is text; the template escapes it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from harness import __version__, display
from harness.decide.advise import basis
from harness.decide.advise import pages as advised
from harness.display import Figure
from harness.measure import doubts
from harness.records import evidence
from harness.report import charts, content
from harness.report.content import Content
from harness.texts import visible

HERE = Path(__file__).parent
LIBRARY = "window.vegaEmbed = vegaEmbed;"  # what the page's script needs of the bundle

#: (title, column of cells.csv, unit's factor and form)
FIGURES = (*display.FIGURES, Figure(title="hung", column="hung_trials", width=4, form="{:.0f}"))


def render(found: Content, *, relative: str = "") -> str:
    """The page. `relative`: how the run's folder is reached from where the page will lie, '' or ending in '/'."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), autoescape=True, undefined=jinja2.StrictUndefined, finalize=_text
    )
    drawn = charts.all_of(found, charts.FULL)
    general = [one for one in drawn if one.question is None]
    sections = [
        ("answer", "The answer"), ("outcomes", "How it ended"), *((f"chart-{one.name}", one.short) for one in general),
        ("cells", "Cells"), ("details", "Evidence"), ("doubts", "Doubts"), ("machine", "Machine"),
    ]  # fmt: skip
    return environment.get_template("page.html.j2").render(
        content=found, advised=advised, basis=basis, matrix=content.matrix(found), anchor=anchor, href=evidence.href,
        relative=relative, version=__version__,
        charts=general, candidates={one.question: one for one in drawn if one.question is not None}, columns=_columns(),
        sections=sections, specs=_script_json({one.name: one.spec for one in drawn}), again=content.again(found.header),
        library=_ours(_closed(vl_convert.javascript_bundle(LIBRARY)) if drawn else ""),
        style=_ours((HERE / "page.css").read_text()), script=_ours((HERE / "page.js").read_text()),
    )  # fmt: skip


def anchor(cell: str) -> str:
    """The id of a cell's details, of letters that a link needs not escape."""
    return "cell-" + re.sub(r"[^\w.=-]", lambda sign: f"_{ord(sign[0]):x}_", cell)


def _columns() -> list[tuple[str, str, Callable[[Any], str]]]:
    figures = [(one.title, one.column, _form(one.form, one.factor)) for one in FIGURES if one.column != "throughput_within"]
    return [
        ("cell", "cell", str),
        ("outcome", "outcome", str),
        *figures,
        ("limited by", "cpu_verdict", _word),
        ("doubts", "doubts", _names),
    ]


def _form(form: str, factor: float) -> Callable[[Any], str]:
    return lambda value: "-" if value is None else display.number(value, form, factor)


def _word(value: Any) -> str:
    return "-" if value is None else str(value)


def _names(value: Any) -> str:
    """Of the doubts; what they mean stands in the cell's details."""
    return ", ".join(name for name, _ in doubts.parts(value or ""))


def _text(value: Any) -> Any:
    """See `harness.visible`; what we wrote ourselves stays as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script_json(data: Any) -> Markup:
    """JSON that ends no script element and begins no comment."""
    return _ours(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c").replace("&", "\\u0026"))


def _ours(text: str) -> Markup:
    """What we wrote or closed ourselves, and goes in as it is."""
    return Markup(text)  # noqa: S704


def _closed(script: str) -> str:
    return script.replace("</script", "<\\/script")
