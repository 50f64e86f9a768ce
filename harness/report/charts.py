"""The charts of a report, by Altair: each a Vega-Lite specification that is drawn in the page or, offline, to SVG and PNG.

Text and axes are of a grey that is read on light and on dark; colours are told apart by those who see few (Okabe and Ito 2008).
"""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from harness.report import frames
from harness.report.content import Content

GREY = "#808080"
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#999999"]
WIDTH, HEIGHT = 640, 320
MOST_BARS = 60
Spec = dict[str, Any]


def all_of(content: Content) -> dict[str, tuple[str, Spec]]:
    """name -> (what it shows, specification); charts without data are left out."""
    found: dict[str, tuple[str, Spec]] = {}
    for name, title, frame, draw in (
        (
            "pareto",
            "Throughput against latency; a line is the Pareto front of one model under one traffic",
            frames.figures(content),
            pareto,
        ),
        (
            "latency",
            "Latency of a cell's requests: the share that is answered within a time",
            frames.distributions(content),
            latency,
        ),
        ("cpu", "Cores in use over a trial, by role", frames.timelines(content), cpu),
        ("stages", "Where a request's time goes: the median of each stage", frames.stages(content), stages),
        ("memory", "Peak memory by role, and what sharing pages saves", frames.memory(content), memory),
    ):
        if len(frame):
            with alt.data_transformers.enable("default", max_rows=None):  # frames are thinned by `content`, to a bounded size
                found[name] = (title, _configured(draw(frame)).to_dict())
    return found


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
    return (front + points).properties(width=WIDTH, height=HEIGHT)


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
        .properties(width=WIDTH, height=HEIGHT)
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
        .properties(width=WIDTH, height=HEIGHT)
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
        .properties(width=WIDTH, height=alt.Step(14))
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
