"""An experiment: a TOML file that says which cells to run and how. Reads one, and refuses nonsense with a clear word.

Shipped experiments live in `experiments/`; a path to a file works wherever a name does.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from harness.environments.variants import base_of, pins_of
from harness.errors import BadInput, HarnessError
from harness.experiment import brokers, claimed, matrix, traffic
from harness.experiment.claimed import Claimed
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.places import EXPERIMENTS


def _one_of(*allowed: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in allowed:
            raise ValueError(f"{value!r} is not one of {', '.join(allowed)}")
        return value

    return AfterValidator(check)


def _traffic(value: str) -> str:
    try:
        return traffic.parse(value).name
    except HarnessError as error:
        raise ValueError(f"{error}; {error.remedy}") from error


def _fault(value: str) -> str:
    if value and not matrix.FAULT.fullmatch(value):
        raise ValueError(f"{value!r} is not kind[:value][@after][xTIMES][%PERCENT][+EVERY]")
    return value


REPEATS = frozenset({"repeat", "seed", "controls"})  # settings that change how many trials there are, and none of them


class Settings(BaseModel):
    """How long and how often. Seconds of wall time.

    `measure_s` and `requests`: a trial is measured until both are reached. `limit_s`: then cut off, from READY on.
    `ready_limit_s`: for the worker to consume. `warmup_limit_s`: for every executor to have answered once;
    `stable_limit_s`: for the pace to become stable after that.
    `confirm_s`: how long a hang that is proved is watched on before it goes on record.
    `noise_limit`: share of the cores that we may use (affinity and CPU quota) that others may take before a trial's figures
    are not believed.
    `shutdown`: each worker that answered everything is let shut down by itself, to see how it ends; seconds per trial.
    `stop_early`: what is decided is not measured further, see `docs/explanation/how-we-measure.md`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    measure_s: float = Field(default=5.0, gt=0, le=3600)
    requests: int = Field(default=20, ge=1, le=10_000_000)
    limit_s: float = Field(default=120.0, gt=0, le=86_400)
    ready_limit_s: float = Field(default=180.0, gt=0, le=3600)
    warmup_limit_s: float = Field(default=60.0, gt=0, le=3600)
    stable_limit_s: float = Field(default=3.0, gt=0, le=3600)
    confirm_s: float = Field(default=15.0, ge=0, le=3600)
    noise_limit: float = Field(default=0.5, gt=0)
    stop_early: bool = False
    shutdown: bool = False
    repeat: int = Field(default=1, ge=1, le=10_000)
    seed: int = 1
    controls: bool = True


class Block(BaseModel):
    """A product of dimensions, each a list of values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backend: list[str]
    environment: list[str] = [""]
    pool: list[Annotated[str, _one_of(*POOLS, "in-process")]]
    concurrency: list[Annotated[int, Field(ge=1, le=256)]] = [1]
    placement: list[Annotated[str, _one_of(*matrix.PLACEMENTS)]] = ["first-task"]
    call: list[Annotated[str, _one_of(*matrix.CALLS)]] = ["predict"]
    parent: list[Annotated[str, _one_of(*matrix.PARENT_DEEDS)]] = ["nothing"]
    workload: list[str] = ["digits-cnn"]
    batch: list[Annotated[int, Field(ge=1, le=65_536)]] = [1]
    engine_threads: list[Annotated[str, Field(pattern=r"^(auto|[1-9]\d*x[1-9]\d*)$")]] = ["auto"]
    prefetch: list[Annotated[int, Field(ge=0, le=10_000)]] = [4]
    traffic: list[Annotated[str, AfterValidator(_traffic)]] = ["closed-4"]
    compile_cache: list[Annotated[str, _one_of("warm", "cold")]] = ["warm"]
    start_window_s: list[Annotated[float, Field(ge=0, le=3600)]] = [0.0]
    max_tasks: list[Annotated[int, Field(ge=0, le=1_000_000)]] = [0]
    broker: list[Annotated[str, _one_of(*brokers.BROKERS)]] = [brokers.VALKEY]
    result_backend: list[Annotated[str, _one_of("", brokers.REDIS, brokers.RPC)]] = [""]
    fault: list[Annotated[str, AfterValidator(_fault)]] = [""]


class Experiment(BaseModel):
    """A whole file: `name`, `summary`, `[settings]` and one or more `[[cells]]` blocks, with those of its `claims`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    summary: str
    settings: Settings = Settings()
    cells: list[Block] = Field(min_length=1)
    claims: tuple[Claimed, ...] = Field(default=(), exclude=True)

    def expand(self) -> list[Cell]:
        """The cells as written, without their controls."""
        return matrix.expand(block.model_dump() for block in self.cells)


def names() -> list[str]:
    """The shipped experiments."""
    return sorted(path.stem for path in EXPERIMENTS.glob("*.toml"))


def read(name: str, *, backends: list[str], workloads: list[str]) -> Experiment:
    """The experiment of that name, or in that file. Raises BadInput naming each thing that is wrong."""
    path = Path(name) if name.endswith(".toml") else EXPERIMENTS / f"{name}.toml"
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise BadInput(
            f"no experiment {name!r}", remedy=f"shipped ones are {', '.join(names())}; or name a .toml file"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read as TOML: {error}", remedy="correct the file") from error
    return checked(data, str(path), backends=backends, workloads=workloads)


def checked(data: Mapping[str, Any], where: str, *, backends: list[str], workloads: list[str]) -> Experiment:
    """The experiment that the data of such a file describe; `where` they come from. Raises BadInput like `read`."""
    try:
        claims = claimed.read(data.get("claims", ()), backends=backends, workloads=workloads)
        blocks = [*data.get("cells", ()), *(block for one in claims for block, _ in one.blocks)]
        experiment = Experiment.model_validate({**data, "cells": blocks, "claims": claims})
    except ValidationError as error:
        raise BadInput(f"{where} is not a valid experiment: {complaints(error)}", remedy=f"correct {where}") from error
    _check_names(where, experiment, backends=[*backends, *matrix.CONTROLS], workloads=workloads)
    return experiment


def complaints(error: ValidationError) -> str:
    """'settings.measure_s: Input should be greater than 0; …'"""
    texts = []
    for item in error.errors():
        place = ".".join(str(part) for part in item["loc"])
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        texts.append(f"{place}: {message}")
    return "; ".join(texts)


def _check_names(where: str, experiment: Experiment, *, backends: list[str], workloads: list[str]) -> None:
    for cell in experiment.expand():
        for kind, value, allowed in (("backend", cell.backend, backends), ("workload", cell.workload, workloads)):
            if value not in allowed:
                raise BadInput(
                    f"{where} is not a valid experiment: unknown {kind} {value!r}", remedy=f"use {', '.join(allowed)}"
                )
        if cell.environment:
            _check_environment(where, cell, backends)
        if cell.is_control and not cell.environment:
            raise BadInput(
                f"{where} is not a valid experiment: {cell.backend} needs an environment to run in",
                remedy='add environment = ["tensorflow2"], or another backend\'s name',
            )


def _check_environment(where: str, cell: Cell, backends: list[str]) -> None:
    """A backend's own environment or another's for a control, or a variant of it with other versions."""
    base = base_of(cell.environment)
    allowed = backends if cell.is_control else [cell.backend]
    if base not in allowed:
        what = "unknown environment" if base not in backends else f"{cell.backend} cannot run in environment"
        raise BadInput(
            f"{where} is not a valid experiment: {what} {cell.environment!r}",
            remedy=f"use {', '.join(allowed)}, or a variant such as {allowed[0]}+celery==5.5.3",
        )
    pins_of(cell.environment)
