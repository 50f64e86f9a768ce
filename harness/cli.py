"""The command line: the list of verbs, and errors turned into exit codes. What a verb asks and prints is in its room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer

from harness import __version__
from harness.applications.probe.command import probe
from harness.applications.reproducer.command import bundle
from harness.decide.advise.command import recommend
from harness.decide.bisect.command import bisect
from harness.decide.compare.command import compare
from harness.decide.tune.command import tune
from harness.display import complaints, console
from harness.errors import Exit, HarnessError
from harness.proof.command import doctor, selfcost
from harness.proof.selftest.command import selftest
from harness.report.command import open_, report, waterfall_
from harness.run.command import list_cells, pack, run, setup, show
from harness.studies.claims.command import claims_, incidents_
from harness.studies.contracts.command import contracts

VERBS: dict[str, Callable[..., None]] = {
    "run": run,
    "probe": probe,
    "list": list_cells,
    "bisect": bisect,
    "show": show,
    "compare": compare,
    "recommend": recommend,
    "tune": tune,
    "report": report,
    "bundle": bundle,
    "pack": pack,
    "open": open_,
    "waterfall": waterfall_,
    "claims": claims_,
    "incidents": incidents_,
    "selftest": selftest,
    "selfcost": selfcost,
    "contracts": contracts,
    "doctor": doctor,
    "setup": setup,
}

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Which Celery pool and which Keras backend to serve a model with, from measurements.",
)
for name, verb in VERBS.items():
    app.command(name)(verb)


@app.callback(invoke_without_command=True)
def version(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Which Celery pool and which Keras backend to serve a model with, from measurements."""
    if show_version:
        console.print(__version__)
        raise typer.Exit()


def main() -> None:
    """Run the command line; errors become one line, the remedy below it, and an exit code."""
    try:
        left_with = app(standalone_mode=False)  # what typer.Exit said, or what a verb returned
    except HarnessError as error:
        complain(error)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        complaints.print("stopped; what was measured is kept")
        sys.exit(Exit.INTERRUPTED)
    except Exception as error:
        told = getattr(error, "format_message", None)  # of typer's own copy of click, which it does not export
        if told is None:
            defect()
        if not told():  # no command at all: its help was printed
            sys.exit(Exit.USAGE)
        complaints.print(f"error: {told()}", soft_wrap=True, markup=False)
        complaints.print("  'harness --help' prints the commands, 'harness COMMAND --help' their options")
        sys.exit(Exit.USAGE)
    if isinstance(left_with, int):
        sys.exit(left_with)


def complain(error: HarnessError) -> None:
    complaints.print(f"error: {error}", soft_wrap=True, markup=False)
    if error.remedy:
        complaints.print(f"  {error.remedy}", soft_wrap=True, markup=False)
    if error.evidence:
        complaints.print(f"  evidence: {error.evidence}", soft_wrap=True, markup=False)


def defect() -> NoReturn:
    """An exception that nobody expected: all of it, and an exit code of its own."""
    import traceback

    complaints.print(traceback.format_exc(), soft_wrap=True, markup=False)
    complaints.print("error: this is a defect of the harness; what was measured is kept")
    complaints.print("  report the lines above, with the command")
    sys.exit(Exit.DEFECT)


if __name__ == "__main__":
    main()
