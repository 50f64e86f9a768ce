"""The verbs that run an experiment, list its cells, and show or pack a run."""

from __future__ import annotations

import contextlib
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from harness import display, environments
from harness.errors import BadInput, HarnessError
from harness.experiment import experiment
from harness.records import store
from harness.run import brokers, compiling, experiment_source, options, plan, shards, workflow
from harness.run.hosts import order as hosts
from harness.run.options import (
    Backends,
    Folder,
    Fresh,
    Model,
    Name,
    NoiseLimit,
    OwnBrokers,
    Repeat,
    Retry,
    Rows,
    Select,
    StableLimit,
    Wide,
)
from harness.run.screen import PrintingScreen, sum_up
from harness.summary import summary
from harness.terminal import console


def run(
    name: Name = "quick",
    select: Select = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, and run nothing.")] = False,
    fresh: Fresh = False,
    retry: Retry = "",
    repeat: Repeat = None,
    broker: OwnBrokers = None,
    model: Model = None,
    rows: Rows = None,
    backend: Backends = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; results/EXPERIMENT if not given.")] = None,
    measure_s: Annotated[float | None, typer.Option(min=0.1, help="Measuring time per cell, in seconds.")] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="Minimum number of requests per cell.")] = None,
    limit_s: Annotated[
        float | None, typer.Option(min=1, help="Maximum time of a trial after the worker is ready, in seconds.")
    ] = None,
    stable_limit_s: StableLimit = None,
    noise_limit: NoiseLimit = None,
    thorough: Annotated[bool, typer.Option("--thorough", help="Measure every cell to the end, one after the other.")] = False,
    wide: Wide = False,
    shard: Annotated[
        str,
        typer.Option(metavar="K/N", help="Only the K-th of N parts, for one of several machines; 'merge' puts them together."),
    ] = "",
    on: Annotated[
        str, typer.Option("--on", metavar="HOSTS", help="Run on hosts: a scheduler's address, tcp://…, or ssh:FILE.")
    ] = "",
    copies: Annotated[
        int, typer.Option(min=1, help="With --on: run each block on so many different hosts; 'combine' compares over them.")
    ] = 1,
) -> None:
    """Run an experiment with real workers, one cell after the other. The same command completes an earlier run."""
    overrides = {
        "measure_s": measure_s, "requests": requests, "limit_s": limit_s, "stable_limit_s": stable_limit_s,
        "noise_limit": noise_limit, "repeat": repeat,
    }  # fmt: skip
    urls = brokers.kinds(broker or [])
    spec = brokers.named(options.experiment(name, overrides, backend, stop_early=not thorough), urls)
    cells = options.cells(spec, select, model)
    if part := shards.read(shard):
        cells = shards.part(chosen := cells, part)
        if not cells:
            console.print(f"shard {part} is empty: there are {len(shards.blocks(chosen))} blocks of cells; nothing to run")
            return
    if rows is not None and model is None:
        raise BadInput("--input goes with --model", remedy="name the model file, too")
    if dry_run:
        display.cells(console, [(cell.id, plan.why_skipped(cell)) for cell in cells])
        console.print(f"{len(cells) * spec.settings.repeat} trials")
        return
    folder = out or Path("results") / "-".join([spec.name, *([model.stem] if model else []), *([part.name] if part else [])])
    if copies > 1 and not on:
        raise BadInput("--copies goes with --on", remedy="to measure each cell several times here, use --repeat")
    if on:
        given = {
            "--repeat": repeat, "--broker": broker, "--measure-s": measure_s, "--requests": requests, "--limit-s": limit_s,
            "--stable-limit-s": stable_limit_s, "--noise-limit": noise_limit, "--thorough": thorough,
        }  # fmt: skip
        if part:
            raise BadInput("--shard does not go with --on", remedy="leave it out: hosts share all blocks out")
        words, files = hosts.words_of(name, options=given, select=select, model=model, rows=rows, own=backend)
        asked = hosts.HostOrder(
            experiment=spec, cells=cells, folder=folder, words=words, files=files, where=on, fresh=fresh, copies=copies,
            retry=frozenset(map(str, plan.retry_outcomes(retry))),
        )  # fmt: skip
        _on_hosts(asked)
        return
    order = experiment_source.RunOrder(
        experiment=spec, cells=cells, folder=folder, broker_url=brokers.first(cells, urls),
        brokers=brokers.of(cells, urls), model=model, rows=rows, fresh=fresh, retry=plan.retry_outcomes(retry), shard=part,
    )  # fmt: skip
    with contextlib.closing(PrintingScreen(wide=wide)) as screen:
        table = workflow.run(order, screen)
    sum_up(table, folder, wide=wide)


def _on_hosts(order: hosts.HostOrder) -> None:
    """The blocks of an experiment on hosts, and where they came together."""
    from harness.run.hosts import workflow as on_hosts

    for merged in on_hosts.run(order, lambda text: console.print(text, soft_wrap=True, markup=False)):
        console.print(f"records: {merged.folder}/trials.jsonl  table: {merged.folder}/cells.csv", soft_wrap=True)


def list_cells(name: Name = "quick", select: Select = None, model: Model = None, backend: Backends = None) -> None:
    """Print the cells of an experiment, and why some of them cannot be run."""
    cells = options.cells(options.experiment(name, {}, backend), select, model)
    display.cells(console, [(cell.id, plan.why_skipped(cell)) for cell in cells])
    console.print(f"{len(cells)} cells, controls and baselines included; experiments: {', '.join(experiment.names())}")


def show(folder: Folder = Path("results/quick"), wide: Wide = False) -> None:
    """Print the table of a run that was made before."""
    records = store.RunFolder(folder).trials()
    table = summary.table(records, folder)
    display.rows(console, table, wide=wide)
    display.doubted(console, table)
    display.noted(console, table)
    console.print(f"\n{len(table)} cells: {display.outcomes(table)}", soft_wrap=True)


def merge(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of runs of one experiment, such as its shards.")
    ],
    out: Annotated[Path, typer.Option(help="Where the whole run goes; what was merged there before stays, and is completed.")],
) -> None:
    """Put the shards of an experiment together: one run, or one for each kind of machine. Merging again changes nothing."""
    from harness.run import merging

    for merged in merging.merge(runs, out):
        console.print(str(merged), soft_wrap=True, markup=False)


def pack(folder: Annotated[Path, typer.Argument(help="A run's folder, or one that holds runs.")]) -> None:
    """Make a run's folder small: pack its records and evidence, and remove the files of requests and samples."""
    from harness.run import packing

    for saved in packing.pack(folder):
        console.print(str(saved), soft_wrap=True)


def setup(names: Annotated[list[str] | None, typer.Argument(help="Backends; all if none is named.")] = None) -> None:
    """Build the backends' environments now instead of at the first run."""
    known, said = environments.descriptions(), partial(console.print, soft_wrap=True, markup=False)
    for name in names or known:
        if name not in known:
            raise BadInput(f"no environment {name!r}", remedy=f"use {', '.join(known)}")
        try:
            compiling.make_usual_warm(environments.prepare(name, said), said)
        except HarnessError as error:
            console.print(f"warning: {name}: {error}; {error.remedy}", soft_wrap=True, markup=False)
