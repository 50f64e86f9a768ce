"""What several verbs ask on the command line, and how it is read. Options stand once; a verb names those it takes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from harness import environments, workloads
from harness.environments import outside
from harness.errors import BadInput
from harness.experiment import experiment as experiments
from harness.experiment.experiment import Experiment, Settings
from harness.experiment.matrix import Cell
from harness.run import bundles, plan

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|min|h|)")
UNITS = {"s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
Name = Annotated[str, typer.Argument(help="A shipped experiment, or a .toml file.")]
Select = Annotated[list[str] | None, typer.Option("--select", "-s", help="Only cells whose id matches, such as 'theano-*'.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Start over: keep an earlier run aside, and complete nothing of it.")]
Retry = Annotated[str, typer.Option(help="Repeat trials with these outcomes: 'failed', or a list such as 'hung,invalid'.")]
Repeat = Annotated[int | None, typer.Option(min=1, help="Trials per cell, in shuffled order.")]
StableLimit = Annotated[float | None, typer.Option(min=0.1, help="Maximum warm-up until the pace is stable, in seconds.")]
NoiseLimit = Annotated[
    float | None, typer.Option(help="Discard the figures if other programs use more than this share of the cores.")
]
OwnBrokers = Annotated[
    list[str] | None,
    typer.Option("--broker", help="Use your own broker, redis://… or amqp://…, instead of a private one; one of each kind."),
]
OwnBroker = Annotated[str, typer.Option("--broker", help="Use your own broker, redis://…, instead of a private one.")]
Model = Annotated[Path | None, typer.Option("--model", help="Run your own .keras or .h5 file instead of the workloads.")]
Rows = Annotated[Path | None, typer.Option("--input", help="Input rows (.npy) for --model.")]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", help="A backend of your own, FILE.py:Class, that the experiment names.")
]
Folder = Annotated[Path, typer.Argument(help="A run's folder.")]
Budget = Annotated[str, typer.Option(help="Time for all of it, such as 15m or 900s; what it does not buy is said.")]
Wide = Annotated[bool, typer.Option("--wide", help="Print every column, however wide the terminal is.")]


def experiment(name: str, overrides: dict[str, Any], own: list[str] | None = None, *, stop_early: bool = False) -> Experiment:
    """The experiment with these settings. `own`: backends that are no part of this package. Raises BadInput.

    What compares cells needs all of them to the end. With `stop_early` the experiment says whether they stop before, if none is
    repeated: of repeated ones, a trial that stops when it looks slow draws the mean down.
    """
    outside.use(own or [])
    backends = list(environments.descriptions())
    known = [*workloads.NAMES, bundles.USER_WORKLOAD]
    spec = experiments.read(name, backends=backends, workloads=known)
    chosen = {key: value for key, value in overrides.items() if value is not None}
    found = settings(**{**spec.settings.model_dump(), **chosen})
    early = stop_early and found.stop_early and found.repeat == 1
    return spec.model_copy(update={"settings": found.model_copy(update={"stop_early": early})})


def seconds(option: str, text: str) -> float | None:
    """'15m' -> 900.0; None for ''. Raises BadInput."""
    if not text:
        return None
    found = DURATION.fullmatch(text)
    if found is None or float(found[1]) <= 0:
        raise BadInput(f"{option} {text!r}: not a time", remedy="such as 15m, 900s or 1.5h")
    return float(found[1]) * UNITS[found[2]]


def settings(**values: Any) -> Settings:
    """Those of the options that were given; the rest as usual. Raises BadInput."""
    try:
        return Settings(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        raise BadInput(f"these options do not fit: {experiments.complaints(error)}", remedy="give other values") from error


def cells(spec: Experiment, select: list[str] | None, model: Path | None) -> list[Cell]:
    if model is not None and not model.is_file():
        raise BadInput(f"no model file {model}", remedy="name a .keras or .h5 file")
    return plan.chosen_cells(spec, select or [], workload=bundles.USER_WORKLOAD if model else "")
