"""`harness recommend`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.decide.advise import candidates, constraints, data, pages, ranking, screen
from harness.decide.advise.ranking import Advice
from harness.decide.options import Cores, Latency, MaxHangRate, Memory, MinThroughput
from harness.errors import BadInput, Exit
from harness.experiment import matrix
from harness.records import store
from harness.run.options import Select
from harness.terminal import console


def recommend(
    runs: Annotated[list[Path], typer.Argument(help="The folders of one or more runs.")],
    latency: Latency = None,
    memory: Memory = "",
    cores: Cores = None,
    min_throughput: MinThroughput = None,
    max_hang_rate: MaxHangRate = "",
    select: Select = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write everything to this file as JSON.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the advice to this file as Markdown, with what to paste.")
    ] = None,
) -> None:
    """Recommend a configuration: what to use, what to avoid and why, and what to paste. Exit code 9: the data support none."""
    bounds = constraints.parse(
        latency=latency, memory=memory, cores=cores, min_throughput=min_throughput, max_hang_rate=max_hang_rate
    )
    known = candidates.read_all(runs, bounds)
    chosen = [one for one in known if not select or any(matrix.matches(one.cell, pattern) for pattern in select)]
    if not chosen:
        raise BadInput(
            "no configuration that was measured fits",
            remedy="name runs of real cells, or another --select: a * stands for whole parts of an id, such as '*-threads-*'",
        )
    advice = ranking.advise(chosen, bounds)
    most = constraints.most_memory(bounds)
    for path, text in ((json_, data.as_json(advice)), (markdown, pages.markdown(advice, most))):
        if path:
            with store.writing(path):
                path.write_text(text)
    told(advice, most)


def told(advice: Sequence[Advice], most_memory: float | None) -> None:
    """Print it; exit 9 if nothing can be advised for a question."""
    screen.advice(console, advice, most_memory)
    if not all(one.shown for one in advice):
        raise typer.Exit(Exit.NO_ADVICE)
