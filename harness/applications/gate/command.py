"""`harness gate`: the verb's options, read into an order."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from harness.applications.gate.order import GateOrder
from harness.applications.gate.rule import Rule, Word
from harness.applications.options import App, Args, Check, Cwd, EnvFile, Link, MixFile, Python, Queue, Task, Worker, needed
from harness.applications.probe import command as probed
from harness.applications.probe import pasted
from harness.applications.probe.command import Limit, ReadyLimit, Traffic
from harness.applications.probe.differences import RTOL
from harness.errors import BadInput, Exit
from harness.experiment import traffic as traffics
from harness.run import options

CODES = {Word.PASSES: Exit.DONE, Word.WORSE: Exit.WORSE, Word.CANNOT_SAY: Exit.UNDECIDED}
USUAL_LIMIT_S = 60.0
MEASURE_S = {False: 2.0, True: 4.0}  # by turns: the more pairs, the better; at once: as much of both at the same time as can be
Base = Annotated[str, typer.Option(help="The commit to compare with, such as origin/main.")]
Head = Annotated[str, typer.Option(help="The commit that may be worse.")]
Within = Annotated[str, typer.Option("--budget", help="Time for all of it, such as 10m; the gate ends as soon as it can say.")]
Slower = Annotated[float, typer.Option("--tolerance", min=0, max=50, help="Slow-down that is tolerated, in percent.")]
Matters = Annotated[float, typer.Option("--matters", min=0.1, max=90, help="Slow-down that a pass excludes, in percent.")]
Pools = Annotated[
    str,
    typer.Option(
        help="Pools to compare, comma-separated: prefork,threads. Default: that of --worker, or of the worker's settings."
    ),
]


def gate(
    base: Base,
    app_: App = "",
    worker: Worker = "",
    task: Task = "",
    head: Head = "HEAD",
    args: Args = None,
    mix: MixFile = None,
    python: Python = "python",
    env_file: EnvFile = None,
    cwd: Cwd = Path(),
    link: Link = None,
    pools: Pools = "",
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="Number of executors. Default: that of --worker, or 2.")
    ] = None,
    queue: Queue = "",
    check: Check = "",
    rtol: Annotated[float, typer.Option(min=0, help="How far a number of an answer may be off: 0.001 is 0.1 %.")] = RTOL,
    traffic: Traffic = "",
    budget: Within = "10m",
    tolerance: Slower = 2.0,
    matters: Matters = 10.0,
    requests: Annotated[int | None, typer.Option(min=1, help="Requests per trial, at least.")] = None,
    at_once: Annotated[
        bool,
        typer.Option(
            "--at-once", help="Run both commits at the same time: sees more beside other programs. Needs more memory."
        ),
    ] = False,
    measure_s: Annotated[
        float | None, typer.Option(min=0.1, help="Measuring time per trial, in seconds. Default: 2; 4 with --at-once.")
    ] = None,
    ready_limit_s: ReadyLimit = 120.0,
    limit_s: Limit = None,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the decision to this file as JSON.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write it to this file as Markdown, for a pull request.")] = None,
    history: Annotated[Path | None, typer.Option(help="Append the decision to this file, as one line of JSON.")] = None,
    out: Annotated[Path, typer.Option(help="The gate's folder.")] = Path("results/gate"),
) -> None:
    """Compare two commits of your application on this machine: does the change make serving worse?"""
    from harness.applications.gate import gate as gates
    from harness.applications.gate import pages, screen

    rule = rule_of(tolerance, matters)
    settings = probed.settings_of(
        limit_s or USUAL_LIMIT_S, measure_s=measure_s or MEASURE_S[at_once], requests=requests or 50,
        ready_limit_s=ready_limit_s, stable_limit_s=1.0, noise_limit=100.0,
    )  # fmt: skip
    named = tuple(dict.fromkeys(filter(None, (pools or pasted.pool(worker)).split(","))))
    probe = probed.read(
        app=app_, worker=worker, task=needed(task, args, mix), args=args, mix=mix, python=python, env_file=env_file, cwd=cwd,
        pools=",".join(named), concurrency=str(concurrency or ""), queue=queue, check=check, tolerance=rtol, traffic=traffic,
        settings=settings, out=out, fresh=False, retry="skipped", requests=requests, limit_s=limit_s, go_on=True,
        one_pool=True,
    )  # fmt: skip
    closed(probe.traffic)
    seconds = options.seconds("--budget", budget)
    if seconds is None:
        raise BadInput("--budget: a gate needs one", remedy="such as 10m")
    order = GateOrder(
        probe=probe,
        base=base,
        head=head,
        pools=named,
        links=tuple(link or ()),
        rule=rule,
        budget_s=seconds,
        out=out,
        at_once=at_once,
    )
    places = pages.Places(json=json_, markdown=markdown, history=history)
    places.check()
    with contextlib.closing(screen.GateScreen()) as printing:
        for each in probe.pasted:
            printing.say(each)
        answer = gates.run(order, printing)
    pages.write(answer, places)
    screen.decided(answer)
    if code := CODES[answer.word]:
        raise typer.Exit(code)


def rule_of(tolerance: float, matters: float) -> Rule:
    """Raises BadInput."""
    if tolerance >= matters:
        raise BadInput(
            f"--tolerance {tolerance:g} is not below --matters {matters:g}", remedy="tolerate less than what matters: 2 and 10"
        )
    return Rule(tolerance=tolerance / 100, matters=matters / 100)


def closed(traffic: str) -> str:
    """Traffic whose throughput is the worker's pace. Raises BadInput for any other."""
    kind = traffics.parse(traffic)
    if kind.is_open:
        raise BadInput(
            f"--traffic {traffic}: its requests come by the clock, so their number per second is no pace of the worker",
            remedy="such as closed-4, or drain",
        )
    return traffic
