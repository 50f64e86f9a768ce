"""`harness why`: what a running worker is stuck in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.errors import BadInput, Exit, NothingMatches
from harness.terminal import complaints, console

CODES = {"works": Exit.DONE, "stuck": Exit.STUCK, "waiting": Exit.WAITS, "cannot-say": Exit.CANNOT_SAY}


def why(
    pids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[PID...]", help="Workers, or processes of theirs; all of this machine if none."),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read native stacks, too. That stops each busy process for some milliseconds.")
    ] = False,
    broker: Annotated[str, typer.Option(help="The worker's broker, redis://…; else the one that its command line names.")] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="A liveness probe: print one line; exit code 1 if a worker is proved to be stuck, else 0."
        ),
    ] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the answer as Markdown, for an issue.")] = False,
    archive: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE.tar.gz", help="Write answer and evidence there, with your names taken out."),
    ] = None,
    with_names: Annotated[bool, typer.Option("--with-names", help="Leave names, hosts and paths in the bundle.")] = False,
) -> None:
    """Say what a running Celery worker does, or is stuck in. Nothing is asked of it, and nothing in it changes.

    Exit code 0: it works, 20: it is stuck, which is proved, 21: it waits for something, 22: that cannot be said.
    """
    from harness.machine.system import linux

    linux()
    if probe:
        raise typer.Exit(probed(pids or (), deep or json_ or as_markdown or archive is not None or bool(broker)))
    from harness.live import answer, attach, broker_view, bundle, causes, combine, find, markdown, screen, waits, witness

    bundle.check(archive, with_names=with_names)
    if json_ and as_markdown:
        raise BadInput("--json and --markdown are two forms of one answer", remedy="give one of them")
    mains = dict.fromkeys(find.main_of(pid) or pid for pid in pids or ())
    chosen = [find.described(pid) for pid in mains] if mains else find.workers()
    if not chosen:
        raise NothingMatches("no Celery worker was found on this machine", remedy="name its process: harness why PID")
    looked = []
    for worker in chosen:
        with console.status(f"looking at process {worker.main}"):
            seen = attach.watched(worker)
            if seen is None or not seen.is_worker:
                if worker.main in mains:
                    what = "has ended, or there is none" if seen is None else "is no Celery worker that can be recognised"
                    helps = "'harness why' finds the workers; of another user's it can as root"
                    raise NothingMatches(f"process {worker.main} {what}", remedy=helps)
                continue  # it ended while others were looked at
            evidence = waits.look(seen, deep=deep)
            facts = witness.watched(seen, url := broker or worker.broker)
            view = broker_view.view(facts, url, told=bool(broker))
        one = answer.report(seen, evidence, view)
        looked.append((seen, combine.combined(one, causes.found(facts), causes.hidden(facts, url))))
    if not looked:
        raise NothingMatches("the Celery workers of this machine ended while they were looked at", remedy="try again")
    if archive is not None:
        bundle.write(archive, looked, with_names=with_names)
        complaints.print(f"written: {archive}", markup=False, soft_wrap=True)
    reports = [report for _, report in looked]
    if json_ or as_markdown:
        sys.stdout.write(markdown.page(reports) if as_markdown else json.dumps(screen.as_json(reports), indent=1) + "\n")
    else:
        text = "\n\n".join(map(screen.text, reports))
        console.print(text, soft_wrap=not console.is_terminal, markup=False, highlight=False)
    raise typer.Exit(CODES[screen.state_of(reports).value])


def probed(pids: Sequence[int], more: bool) -> Exit:
    """The exit code of `--probe`. `more`: options that it does not go with were given."""
    if more:
        raise BadInput("--probe goes without --deep, --json and --broker", remedy="leave them out, or leave --probe out")
    from harness.live import probe
    from harness.live.answer import State

    found = probe.verdict(probe.chosen(pids))
    console.print(found.line, soft_wrap=True, markup=False, highlight=False)
    return Exit.CHECK_FAILED if found.state is State.STUCK else Exit.DONE
