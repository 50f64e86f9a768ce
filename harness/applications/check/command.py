"""`harness check`: the verb."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.applications.options import App, Cwd, EnvFile, Python, Worker
from harness.errors import BadInput, CannotWrite, Exit
from harness.machine.system import linux
from harness.terminal import complaints, console

if TYPE_CHECKING:
    from harness.applications.check.answer import Checked
    from harness.applications.check.static.limits import Line

LIMIT_S, CALL_LIMIT_S = 60.0, 10.0

Task = Annotated[
    str, typer.Option(help="A task to call, by its name, in two forked children and without a fork. It is called for real.")
]
Args = Annotated[
    Path | None,
    typer.Option("--args", help="A JSON file: a list with the arguments of one call per entry. Default: none are given."),
]
Static = Annotated[bool, typer.Option("--static", help="Read the source only: nothing of the application is imported or run.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Sarif = Annotated[Path | None, typer.Option("--sarif", metavar="FILE", help="Also write the answer as SARIF 2.1.0.")]
CallLimitS = Annotated[float, typer.Option(min=1, help="Maximum time of one call without a fork, in seconds.")]
LimitS = Annotated[float, typer.Option(min=1, help="Maximum time of the import, and of the calls, in seconds.")]


def check(
    app_: App = "",
    worker: Worker = "",
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    task: Task = "",
    args: Args = None,
    static: Static = False,
    json_: AsJson = False,
    sarif: Sarif = None,
    limit_s: LimitS = LIMIT_S,
    call_limit_s: CallLimitS = CALL_LIMIT_S,
) -> None:
    """Say in seconds what a fork would break in your Celery application, before any worker is started.

    Reads its source, imports it once in its own interpreter, and forks once. With --task it calls the task, too.
    Exit code 0: no error was found, 23: an error was found.
    """
    from harness.applications.check import answer
    from harness.applications.check.static.limits import Line
    from harness.applications.probe import pasted

    linux()
    line, given = pasted.read(worker, pasted.Given(app=app_, python=python, cwd=cwd))
    for each in pasted.of_check(line) if line else ():
        complaints.print(each, soft_wrap=True, markup=False)
    said = Line(pool=pasted.pool_that_wins(line), limits=line.limits if line else {})
    app_, python, cwd = given.whole.app, given.python, given.cwd
    if not cwd.is_dir():
        raise BadInput(f"--cwd {cwd}: there is no such folder", remedy="name the folder from which its worker is started")
    folder = cwd.absolute()
    if static and task:
        raise BadInput("--static reads the source only, and --task calls", remedy="give one of them")
    if args is not None and not task:
        raise BadInput("--args are a task's, and none is named", remedy="such as --task proj.tasks.predict --args rows.json")
    checked = (
        answer.of_source(app_, folder, said)
        if static
        else _whole(app_, python, env_file, folder, task, args, (limit_s, call_limit_s), line.variables if line else {}, said)
    )
    if sarif is not None:
        _write(sarif, checked)
    raise typer.Exit(_said(checked, as_json=json_))


def _whole(
    app: str, python: str, env_file: Path | None, folder: Path, task: str, args: Path | None,
    limits_s: tuple[float, float], pasted: Mapping[str, str], line: Line,
) -> Checked:  # fmt: skip
    """`limits_s`: of the import and all calls, and of one call without a fork; `pasted`: variables of the worker's line,
    `line`: what else it says."""
    from harness.applications.check import asked
    from harness.applications.check import check as checker
    from harness.applications.probe import order as orders

    interpreter = orders.interpreter(python)
    question = asked.Question(
        app=app, python=interpreter, folder=folder, task=task, rows=orders.rows(args) if task else (),
        limit_s=limits_s[0], call_s=limits_s[1], line=line,
        variables=orders.variables({**orders.own_variables(env_file), **pasted}, interpreter),
    )  # fmt: skip
    return checker.whole(question, lambda line: complaints.print(line, soft_wrap=True, markup=False))


def _write(path: Path, checked: Checked) -> None:
    """As SARIF. Raises CannotWrite."""
    from harness.applications.check import sarif

    text = json.dumps(sarif.log(checked, checked.root), indent=1) + "\n"
    try:
        path.write_text(text)
    except OSError as error:
        raise CannotWrite(
            f"--sarif {path}: {error.strerror}", remedy="name a file in a folder that can be written to"
        ) from error


def _said(checked: Checked, *, as_json: bool) -> Exit:
    """Print the answer; its exit code."""
    from harness.applications.check import screen

    if as_json:
        sys.stdout.write(json.dumps(screen.as_json(checked), indent=1) + "\n")
    else:
        console.print(screen.text(checked), soft_wrap=True, markup=False, highlight=False)
    return Exit.BREAKS if checked.errors else Exit.DONE
