"""The command line: the list of verbs, and errors turned into exit codes. What a verb asks and prints is in its room."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Annotated, NoReturn

import typer

from harness import __version__, extras
from harness.errors import Exit, HarnessError, MissingTool
from harness.terminal import complaints, console
from harness.texts import without_secrets

RUN, DECIDE, STUDY, PROVE = "Run", "Decide", "Study", "Prove the instrument"
#: verb -> (the module of its room, the function there, its group), in the order of the help
VERBS = {
    "run": ("run", "run", RUN),
    "check": ("applications.check", "check", RUN),
    "probe": ("applications.probe", "probe", RUN),
    "why": ("live", "why", RUN),
    "watch": ("live.watch", "watch", RUN),
    "list": ("run", "list_cells", RUN),
    "show": ("run", "show", RUN),
    "setup": ("run", "setup", RUN),
    "doctor": ("proof", "doctor", RUN),
    "merge": ("run", "merge", RUN),
    "host": ("run.hosts", "host", RUN),
    "scheduler": ("run.hosts", "scheduler", RUN),
    "pack": ("run", "pack", RUN),
    "recommend": ("decide.advise", "recommend", DECIDE),
    "compare": ("decide.compare", "compare", DECIDE),
    "combine": ("decide.combine", "combine", DECIDE),
    "gate": ("applications.gate", "gate", DECIDE),
    "tune": ("applications.tune", "tune", DECIDE),
    "bisect": ("applications.bisect", "bisect", DECIDE),
    "report": ("report", "report", DECIDE),
    "open": ("report", "open_", DECIDE),
    "waterfall": ("report", "waterfall_", DECIDE),
    "atlas": ("atlas", "atlas", STUDY),
    "claims": ("studies.claims", "claims_", STUDY),
    "incidents": ("studies.claims", "incidents_", STUDY),
    "contracts": ("applications.contracts", "contracts", STUDY),
    "bundle": ("applications.reproducer", "bundle", STUDY),
    "selftest": ("proof.selftest", "selftest", PROVE),
    "selfcost": ("proof", "selfcost", PROVE),
}


def command_line(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """The command line with these verbs; what a verb needs is imported with it."""
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Which Celery pool and which Keras backend to serve a model with, from measurements.",
    )
    app.callback(invoke_without_command=True)(version)
    for verb in verbs:
        function, whole = function_of(verb)
        # nobody knows the options of a verb that is not installed
        app.command(verb, rich_help_panel=VERBS[verb][2], context_settings={"ignore_unknown_options": not whole})(function)
    return app


def function_of(verb: str) -> tuple[Callable[..., None], bool]:
    """What carries a verb out, and True; if its packages are not installed, what says so, and False."""
    room, function, _ = VERBS[verb]
    try:
        found: Callable[..., None] = getattr(importlib.import_module(f"harness.{room}.command"), function)
    except ModuleNotFoundError as error:
        if not extras.lacks(error):
            raise
        return unable(verb, error), False
    return found, True


def unable(verb: str, error: ModuleNotFoundError) -> Callable[..., None]:
    """It takes any words, and says what is missing."""

    def refuse(words: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise extras.missing(f"'harness {verb}'", error)

    refuse.__doc__ = "Not installed here: it needs the extra 'bench'."
    return refuse


def wanted(words: Iterable[str]) -> Iterable[str]:
    """The verb that these words begin with, or all of them: for the help, and for a word that is no verb.

    >>> list(wanted(["run", "quick"])), len(list(wanted(["--help"]))) == len(list(wanted(["rum"]))) == len(VERBS)
    (['run'], True)
    """
    return [verb for verb in words if verb in VERBS][:1] or VERBS


def version(show_version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Which Celery pool and which Keras backend to serve a model with, from measurements."""
    if show_version:
        console.print(__version__)
        raise typer.Exit()


def refuse_windows() -> None:
    """Raises MissingTool: no verb could even be imported there. On macOS those that only read work, see `run.preflight`."""
    if sys.platform == "win32":
        raise MissingTool("the harness does not run on Windows: it forks, and watches processes through /proc",
                          remedy="run it on Linux; WSL 2 is one, though nobody has tried it there")  # fmt: skip


def main() -> None:
    """Run the command line; errors become one line, the remedy below it, and an exit code."""
    try:
        refuse_windows()
        left_with = command_line(wanted(sys.argv[1:2]))(standalone_mode=False)  # what typer.Exit said, or what a verb returned
    except HarnessError as error:
        complain(error)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        if not extras.lacks(error):
            defect()
        complain(missing := extras.missing("this", error))
        sys.exit(missing.exit_code)
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
    complaints.print(f"error: {without_secrets(str(error))}", soft_wrap=True, markup=False)
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
