"""What verbs ask of somebody's own application, on the command line. Options stand once; a verb names those it takes.

Light: `harness check --static` works where nothing that measures is installed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.errors import BadInput

App = Annotated[str, typer.Option("--app", "-A", help="The application, as celery -A takes it: proj.tasks:app.")]
Task = Annotated[str, typer.Option(help="The task's name: proj.tasks.predict.")]
Worker = Annotated[
    str,
    typer.Option(help="Your worker's own line, in quotation marks: its application, pool, options and variables are taken."),
]
Args = Annotated[
    Path | None,
    typer.Option("--args", help="A JSON file: a list with the arguments of one request per entry. Default: none are given."),
]
MixFile = Annotated[
    Path | None,
    typer.Option("--mix", help="A TOML file with several tasks, their arguments and shares, instead of --task and --args."),
]
Python = Annotated[str, typer.Option(help="The application's own interpreter, venv/bin/python.")]
EnvFile = Annotated[
    Path | None, typer.Option("--env-file", help="A file with the application's variables, one NAME=value per line.")
]
Cwd = Annotated[Path, typer.Option("--cwd", help="The folder from which the application's worker is started.")]
Queue = Annotated[str, typer.Option(help="The queue to use instead of the application's own choice.")]
Check = Annotated[
    str, typer.Option(help="A Python expression that is true for a right answer; it may use result, args, kwargs and row.")
]
Link = Annotated[
    list[Path] | None,
    typer.Option(
        help="A file or folder that git does not have and each commit needs, such as models/. Can be given several times."
    ),
]
Copy = Annotated[
    bool, typer.Option("--copy", help="Work on a copy of --cwd, so that files which the task writes there are not yours.")
]
CopyLimit = Annotated[int, typer.Option("--copy-limit-mib", min=1, help="Maximum size of that copy, in MiB.")]


def needed(task: str, args: Path | None = None, mix: Path | None = None) -> str:
    """The task, of a verb that takes it with --app only; '' if a mix names several. Raises BadInput."""
    if mix is not None and (task or args):
        raise BadInput(
            f"--mix names tasks and arguments, and so does {'--task' if task else '--args'}", remedy="give one of them"
        )
    if not task and mix is None:
        raise BadInput("no task is named", remedy="--task proj.tasks.predict, as the worker prints it below [tasks], or --mix")
    return task


def one_task(mix: Path | None, why: str) -> None:
    """Raise BadInput for a mix, of a verb that is about one task: `why`."""
    if mix is not None:
        raise BadInput(f"--mix: {why}", remedy="name one of its tasks with --task, and its rows with --args")
