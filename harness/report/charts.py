"""The charts of a report, by Altair: each a Vega-Lite specification that is drawn in the page or, offline, to SVG and PNG.

Text and axes are of a grey that is read on light and on dark; colours are told apart by those who see few (Okabe and Ito 2008).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from harness.decide.advise.ranking import Advice
from harness.report import frames
from harness.report.content import Content

GREY = "#808080"
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#999999"]
ENDS = dict(zip(frames.CANDIDATES, ("#009E73", "#56B4E9", "#E69F00", "#999999"), strict=True))
WIDTH, HEIGHT = 640, 320
FULL = "container"  # as wide as the page has room
MOST_BARS = 60
Spec = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A chart: its name, the same in a few words, what it shows, its specification; `question`: the place of the piece of
    advice that it belongs to, None of the whole run."""

    name: str
    short: str
    title: str
    spec: Spec
    question: int | None = None


def all_of(content: Content, width: int | str = WIDTH) -> list[Drawn]:
    """Those that have data. `width`: pixels, or FULL."""
    found = [one for place, advice in enumerate(content.advice) if (one := _candidates(place, advice, width))]
    for name, short, title, frame, draw in (
        (
            "pareto",
            "Throughput and latency",
            "Throughput against latency; a line is the Pareto front of one model under one traffic",
            frames.figures(content),
            pareto,
        ),
        (
            "latency",
            "Latency",
            "Latency of a cell's requests: the share that is answered within a time",
            frames.distributions(content),
            latency,
        ),
        ("cpu", "Cores", "Cores in use over a trial, by role", frames.timelines(content), cpu),
        ("stages", "Stages", "Where a request's time goes: the median of each stage", frames.stages(content), stages),
        ("memory", "Memory", "Peak memory by role, and what sharing pages saves", frames.memory(content), memory),
    ):
        if len(frame) >= (2 if name == "pareto" else 1):  # one point is beside nothing
            found.append(Drawn(name=name, short=short, title=title, spec=_drawn(draw, frame, width)))
    return found


def _candidates(place: int, advice: Advice, width: int | str) -> Drawn | None:
    frame = frames.candidates(advice)
    if len(frame) < 2:  # nothing is beside it
        return None
    return Drawn(
        name=f"candidates-{place + 1}", short="Candidates", title="What was measured, with 95 % intervals",
        spec=_drawn(candidates, frame, width), question=place,
    )  # fmt: skip


def _drawn(draw: Callable[[pd.DataFrame], Any], frame: pd.DataFrame, width: int | str) -> Spec:
    with alt.data_transformers.enable("default", max_rows=None):  # frames are thinned by `content`, to a bounded size
        spec: Spec = _configured(draw(frame).properties(width=width)).to_dict()
    return spec


def candidates(frame: pd.DataFrame) -> Any:
    y = alt.Y("cell:N", sort=None, title=None, axis=alt.Axis(labelLimit=360))
    there = {end: colour for end, colour in ENDS.items() if (frame["end"] == end).any()}
    colour = alt.Color("end:N", scale=alt.Scale(domain=list(there), range=list(there.values())), title=None)
    scale = alt.Scale(zero=True)
    span = alt.Chart(frame).mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, color=colour)
    point = (
        alt.Chart(frame)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            x=alt.X("rows_per_s:Q", scale=scale, title="rows per second"),
            y=y,
            color=colour,
            tooltip=["cell:N", "end:N", "rows_per_s:Q", "low:Q", "high:Q"],
        )
    )
    return (span + point).properties(height=20 * len(frame))


def pareto(frame: pd.DataFrame) -> Any:
    x = alt.X("latency_ms:Q", scale=alt.Scale(type="log"), title="latency, ms (p95, or p50 where requests are too few)")
    y = alt.Y("rows_per_s:Q", scale=alt.Scale(type="log"), title="rows per second")
    points = (
        alt.Chart(frame)
        .mark_point(filled=True, size=80, opacity=0.8)
        .encode(
            x=x,
            y=y,
            color=alt.Color("backend:N", scale=alt.Scale(range=COLOURS)),
            shape=alt.Shape("pool:N"),
            tooltip=["cell:N", "workload:N", "rows_per_s:Q", "latency_ms:Q", "percentile:N", "cpu_verdict:N", "doubts:N"],
        )
    )
    front = alt.Chart(frame[frame["front"]]).mark_line(color=GREY, strokeDash=[4, 4]).encode(x=x, y=y, detail="question:N")
    return (front + points).properties(height=HEIGHT)


def latency(frame: pd.DataFrame) -> Any:
    chosen = _choice(frame, "latency")
    return (
        alt.Chart(frame)
        .mark_line(color=COLOURS[0], point=True)
        .encode(
            x=alt.X("latency_ms:Q", title="latency, ms"),
            y=alt.Y("share:Q", axis=alt.Axis(format="%"), title="answered within"),
            order="share:Q",
            tooltip=["latency_ms:Q", alt.Tooltip("share:Q", format=".1%")],
        )
        .add_params(chosen)
        .transform_filter(chosen)
        .properties(height=HEIGHT)
    )


def cpu(frame: pd.DataFrame) -> Any:
    chosen = _choice(frame, "cpu")
    return (
        alt.Chart(frame)
        .mark_area(opacity=0.85)
        .encode(
            x=alt.X("at_s:Q", title="seconds since the trial was first looked at"),
            y=alt.Y("cores:Q", title="cores in use", stack="zero"),
            color=alt.Color("role:N", scale=alt.Scale(domain=list(frames.ROLES), range=COLOURS)),
            tooltip=["role:N", "at_s:Q", "cores:Q"],
        )
        .add_params(chosen)
        .transform_filter(chosen)
        .properties(height=HEIGHT)
    )


def stages(frame: pd.DataFrame) -> Any:
    return _bars(_few(frame), "ms:Q", "milliseconds", "stage", list(dict.fromkeys(frame.sort_values("order")["stage"])))


def memory(frame: pd.DataFrame) -> Any:
    return _bars(_few(frame), "mib:Q", "MiB", "part", list(dict.fromkeys(frame["part"])))


def _bars(frame: pd.DataFrame, value: str, title: str, part: str, parts: list[str]) -> Any:
    return (
        alt.Chart(frame)
        .transform_calculate(rank=f"indexof({parts!r}, datum.{part})")
        .mark_bar()
        .encode(
            x=alt.X(value, title=title, stack="zero"),
            y=alt.Y("cell:N", sort=None, title=None, axis=alt.Axis(labelLimit=360)),
            color=alt.Color(f"{part}:N", scale=alt.Scale(domain=parts, range=COLOURS)),
            order="rank:Q",
            tooltip=["cell:N", f"{part}:N", value],
        )
        .properties(height=14 * frame["cell"].nunique())
    )


def _few(frame: pd.DataFrame) -> pd.DataFrame:
    """Bars for so many cells as one can read; the others are in the table."""
    return frame[frame["cell"].isin(list(dict.fromkeys(frame["cell"]))[:MOST_BARS])]


def _choice(frame: pd.DataFrame, name: str) -> alt.Parameter:
    cells = list(dict.fromkeys(frame["cell"]))
    first = next((cell for cell in cells if not cell.startswith(("null@", "faulty@")) and "in-process" not in cell), cells[0])
    bound = alt.binding_select(options=cells, name="cell ")
    return alt.selection_point(name=f"choice_{name}", fields=["cell"], bind=bound, value=first)


def _configured(chart: Any) -> Any:
    text = {"labelColor": GREY, "titleColor": GREY}
    return (
        chart.configure(background="transparent")
        .configure_axis(**text, gridColor=GREY, gridOpacity=0.2, domainColor=GREY, tickColor=GREY)
        .configure_legend(**text, symbolBaseFillColor=GREY, symbolBaseStrokeColor=GREY)
        .configure_view(stroke=GREY, strokeOpacity=0.3)
    )
