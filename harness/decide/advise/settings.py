"""A configuration as a user sets it: the worker's command line, variables, Celery settings, code. Pure; `units` has the files.

Everything printed is what was measured, by the same options: nothing is added that no cell had. If a cell sets something that
only code can set (where the model is loaded, how it is called, threads of some engines), the code is given. What that code is
stands in the backend's cookbook (`harness.backends.cookbook`), for `harness bundle` as well.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import environments
from harness.backends import cookbook
from harness.backends.cookbook import own
from harness.backends.cookbook.book import Cookbook
from harness.backends.cookbook.placements import PLACEMENTS
from harness.decide.advise import env_files
from harness.errors import BadInput
from harness.experiment.matrix import Cell, engine_threads, variables_of
from harness.experiment.pools import POOLS
from harness.texts import few
from harness.trial.application import pool_arguments, script_of, varied_arguments

APP = "proj.tasks:app"  # whatever the user's is called
MASK = "***"  # of a secret, which is not kept

#: what the code to paste uses -> the line that brings it
IMPORTS = (("numpy", "import numpy"), ("threading", "import threading"), ("signals", "from celery import signals"))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What to paste. `environment` and `celery` by name; `code` in Python."""

    command: tuple[str, ...]
    environment: dict[str, str]
    celery: dict[str, str]
    code: str
    change: str  # in words
    folder: str = ""  # of somebody's own application: where it is started
    env_file: str = ""  # likewise: its variables
    misread: Mapping[str, Sequence[str]] = field(default_factory=dict)  # of that file, see `env_files`
    title: str = "Celery worker that serves a model"

    @property
    def variables(self) -> dict[str, str]:
        """Those of the environment whose value is known."""
        return {name: value for name, value in self.environment.items() if MASK not in value}

    @property
    def yours(self) -> list[str]:
        """A comment for each that is a secret, and was not kept."""
        hidden = [name for name in self.environment if name not in self.variables]
        return [f"# set {name} yourself: its value is a secret, and was not kept" for name in hidden]

    def otherwise(self, reader: str) -> list[str]:
        """A comment, if this one reads the file otherwise than it was measured."""
        names, file = self.misread.get(reader, ()), shlex.quote(self.env_file)
        told = f"# {reader} reads {few(names)} of {file} otherwise than was measured: write NAME='VALUE' there, without export"
        return [told] if names else []

    @property
    def shell(self) -> str:
        """All that is typed, also into an empty shell: the folder, the variables, and the line. The file is sourced before the
        other variables, for they won over it when they were measured; one that a shell reads otherwise is not, for it may run
        what stands there."""
        enters = [f"cd {shlex.quote(self.folder)}"] if self.folder else []
        file = [f"set -a; . {shlex.quote(_sourced(self.env_file))}; set +a"] if self.env_file else []
        if other := self.otherwise(env_files.SHELL):
            file = [*other, f"# and then: {file[0]}"]
        exports = [f"export {name}={shlex.quote(value)}" for name, value in self.variables.items()]
        return "\n".join([*enters, *file, *exports, *self.yours, self.line])

    @property
    def line(self) -> str:
        """For a shell."""
        return shlex.join(self.command)


def of(cell: Cell, application: Mapping[str, Any] | None = None) -> Setup:
    """How to run what the cell ran; `application`: somebody's own, which keeps its settings and its code."""
    if application is not None:
        return _own(cell, application)
    prefetch = ("--prefetch-multiplier", str(cell.prefetch))
    replaced = ("--max-tasks-per-child", str(cell.max_tasks)) if cell.max_tasks else ()
    pool = POOLS[cell.pool].command(cell.concurrency)
    book, (intra, inter) = _book(cell), engine_threads(cell.engine_threads)
    return Setup(
        command=("celery", "--app", APP, "worker", *pool, *prefetch, *replaced, "--loglevel", "WARNING", "--without-mingle"),
        environment=book.variables(intra, inter),
        celery={
            "worker_prefetch_multiplier": str(cell.prefetch),
            "accept_content": '["json"]', "task_serializer": '"json"', "result_serializer": '"json"',
        },
        code=_with_imports([
            book.load(cell.call, path=repr(book.model_file), intra=intra, inter=inter),
            book.place(cell.call, cell.placement),
            book.task(cell.call, cell.placement),
        ]),
        change=f"{PLACEMENTS[cell.placement].words}; call it by `{cell.call}`",
    )  # fmt: skip


def _with_imports(parts: Sequence[str]) -> str:
    """The code, with the imports that it needs; `app` is the module's own."""
    code = "\n\n".join(parts)
    lines = [line for name, line in IMPORTS if f"{name}." in code]
    return "\n".join([*lines, "", code]) + "\n"


def _book(cell: Cell) -> Cookbook:
    try:
        return cookbook.of(cell.backend)
    except ModuleNotFoundError as error:
        described = environments.descriptions().get(cell.backend)
        if described is not None and described.outside:
            return own.Cookbook(described.outside, described.calls)
        remedy = "name its file in HARNESS_BACKENDS; or the run comes from another version of the harness: ask that one"
        raise BadInput(f"there is no cookbook of the backend {cell.backend!r}", remedy=remedy) from error


def _own(cell: Cell, application: Mapping[str, Any]) -> Setup:
    """As the probe started it, but for the private broker. `application`: with the paths of `Side.application`."""
    told = application.get("queues") or application["queue"]  # of a mix, all that its tasks go to
    queues = ("--queues", told) if told else ()
    python = application.get("python", "")
    script = (application.get("worker") or {}).get("script", False)
    celery = ("celery",) if not python else (str(script_of(Path(python))),) if script else (python, "-m", "celery")
    pool = pool_arguments(cell, tuple(application.get("celery", ())))
    variables = {**(application.get("one_thread", {}) if cell.plain else {}), **variables_of(cell.variables)}
    change = "the command line below needs no change of the application"
    pasted = application.get("worker") or {}
    varied = varied_arguments(cell, application.get("varied", ()))
    arguments = [*pool, *varied, *without(pasted.get("arguments", ()), varied), *queues]
    return Setup(
        command=(*celery, "--app", application["app"], "worker", *arguments, "--loglevel", "WARNING", "--without-mingle"),
        environment={**pasted.get("variables", {}), **variables}, celery={}, code="",
        change=f"{change}; its native libraries are given one thread each" if cell.plain and variables else change,
        folder=application.get("folder", ""), env_file=application.get("env_file", ""),
        misread=application.get("misread") or {}, title=f"Celery worker of {application['app']}",
    )  # fmt: skip


def without(arguments: Sequence[str], said: Sequence[str]) -> list[str]:
    """Of a pasted line's, those whose option is not said otherwise: the last one of a name would count.

    >>> without(["-O", "fair", "--prefetch-multiplier", "1"], ["--prefetch-multiplier", "4"])
    ['-O', 'fair']
    """
    named = {number for number, word in enumerate(arguments) if word.startswith("-") and word in said}
    return [word for number, word in enumerate(arguments) if number not in named and number - 1 not in named]


def _sourced(path: str) -> str:
    """A shell looks on PATH for a file that is named without a folder."""
    return path if "/" in path else f"./{path}"
