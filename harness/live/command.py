"""`harness why`: what a running worker is stuck in."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import BadInput, Exit, NothingMatches
from harness.machine.system import linux
from harness.terminal import complaints, console
from harness.texts import visible

if TYPE_CHECKING:
    from harness.live.answer import Report
    from harness.live.bundle import Looked
    from harness.live.choose import Chosen
    from harness.live.find import Worker
    from harness.live.whereabouts import Place

CODES = {"works": Exit.DONE, "stuck": Exit.STUCK, "waiting": Exit.WAITS, "cannot-say": Exit.CANNOT_SAY}


def why(
    pids: Annotated[
        list[int] | None,
        typer.Argument(
            metavar="[PID...]", help="Workers, processes of theirs, or what supervises them; all of this machine if none."
        ),
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read native stacks, too. That stops each busy process for some milliseconds.")
    ] = False,
    broker: Annotated[str, typer.Option(help="The worker's broker, redis://…; else the one that its command line names.")] = "",
    app: Annotated[str, typer.Option(help="Only workers of this application, as their command lines have it (-A).")] = "",
    hostname: Annotated[str, typer.Option(help="Only workers of this name, as their command lines have it (-n).")] = "",
    task: Annotated[str, typer.Option(help="Also say where this request is, by its id: running, waiting, done.")] = "",
    json_: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the answer as Markdown, for an issue.")] = False,
    archive: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE.tar.gz", help="Write answer and evidence there, with your names taken out."),
    ] = None,
    with_names: Annotated[bool, typer.Option("--with-names", help="Leave names, hosts and paths in the bundle.")] = False,
    probe: Annotated[
        bool,
        typer.Option(
            "--probe", help="A liveness probe: print one line; exit code 1 if a worker is proved to be stuck, else 0."
        ),
    ] = False,
) -> None:
    """Say what a running Celery worker does, or is stuck in. Nothing is asked of it, and nothing in it changes.

    Exit code 0: it works, 20: it is stuck, which is proved, 21: it waits for something, 22: that cannot be said. With --task it
    is that of the request: 0 if it is done, 21 while it waits, 22 if it is nowhere to be seen.
    """
    linux()
    if probe:
        others = (deep, json_, as_markdown, archive is not None, with_names, broker, app, hostname, task)
        raise typer.Exit(probed(pids or (), more=any(others)))
    from harness.live import broker_urls, choose

    if archive is not None or with_names:
        from harness.live import bundle

        bundle.check(archive, with_names=with_names)
    if json_ and as_markdown:
        raise BadInput("--json and --markdown are two forms of one answer", remedy="give one of them")
    chosen = choose.chosen(pids or (), app, hostname)
    looked = _all(chosen, deep, broker)
    if archive is not None:
        bundle.write(archive, looked, with_names=with_names)
        complaints.print(f"written: {archive}", markup=False, soft_wrap=True)
    reports = [report for _, report, _ in looked]
    told = (broker_urls.of(broker, one.main) or one.broker_here for one in chosen.workers)
    url = next(filter(None, told), "")
    place = _place(task, reports, url, [one.results for one in chosen.workers if one.results]) if task else None
    raise typer.Exit(said(reports, place, as_json=json_, as_markdown=as_markdown))


def _place(task: str, reports: Sequence[Report], url: str, results: Sequence[str]) -> Place:
    from harness.live import whereabouts

    return whereabouts.place(task, reports, url, results)


def _all(chosen: Chosen, deep: bool, broker: str) -> list[Looked]:
    """What is said of each that has not ended meanwhile. Raises NothingMatches if all have."""
    for note in chosen.notes:
        complaints.print(visible(note), markup=False, soft_wrap=True)
    looks = (_looked(worker, deep, broker, named=worker.main in chosen.named) for worker in chosen.workers)
    found = [one for one in looks if one is not None]
    if not found:
        raise NothingMatches("all Celery workers that were found ended while they were looked at", remedy="try again")
    return found


def _looked(worker: Worker, deep: bool, broker: str, *, named: bool) -> Looked | None:
    """What was seen of one worker, what is said of it, and native stacks, if they were asked for; None if it ended meanwhile,
    which of one that was named raises NothingMatches."""
    from harness.live import attach, choose

    with console.status(f"looking at process {worker.main}"):
        seen = attach.watched(worker, meanwhile=_load)
        if seen is None or not seen.is_worker:
            if not named:
                return None
            what = "has ended, or there is none" if seen is None else "is no Celery worker that can be recognised"
            raise NothingMatches(f"process {worker.main} {what}", remedy=choose.hint(worker.main))
        from harness.live import answer, broker_urls, broker_view, causes, combine, machinery, waits, witness

        evidence = waits.look(seen, deep=deep)
        facts = witness.watched(seen, url := broker_urls.of(broker, worker.main) or worker.broker_here)
        view = broker_view.view(facts, url, told=bool(broker))
    one = answer.report(seen, evidence, view, ends=machinery.ends(facts))
    return seen, combine.combined(one, causes.found(facts), causes.hidden(facts, url)), evidence.natives


def _load() -> None:
    """Import what makes an answer of what was seen; while the worker is looked at, that costs the user no time."""
    from harness.live import answer, broker_view, causes, combine, screen, waits, witness  # noqa: F401


def said(reports: Sequence[Report], place: Place | None, *, as_json: bool, as_markdown: bool) -> Exit:
    """Print the answer; its exit code."""
    from harness.live import markdown, screen

    if as_json:
        sys.stdout.write(json.dumps(screen.as_json(reports, place), indent=1) + "\n")
    elif as_markdown:
        sys.stdout.write("\n".join([*([screen.of_place(place), ""] if place else []), markdown.page(reports)]))
    else:
        text = "\n\n".join([*([screen.of_place(place)] if place else []), *map(screen.text, reports)])
        console.print(text, soft_wrap=not console.is_terminal, markup=False, highlight=False)
    return CODES[(place.state if place else screen.state_of(reports)).value]


def probed(pids: Sequence[int], *, more: bool) -> Exit:
    """The exit code of `--probe`. `more`: options that it does not go with were given."""
    if more:
        raise BadInput("--probe goes with no other option", remedy="leave them out, or leave --probe out")
    from harness.live import probe
    from harness.live.executor import State

    found = probe.verdict(probe.chosen(pids))
    console.print(found.line, soft_wrap=True, markup=False, highlight=False)
    return Exit.CHECK_FAILED if found.state is State.STUCK else Exit.DONE
