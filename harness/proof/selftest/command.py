"""`harness selftest`, of the judgement and, with --instrument, of the figures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.display import duration
from harness.errors import BadInput, Exit
from harness.proof.attached.command import ask_from_outside
from harness.proof.instrument.command import tested
from harness.proof.selftest import screen
from harness.terminal import console

if TYPE_CHECKING:
    from harness.proof.selftest.workflow import SelftestOrder


def selftest(
    times: Annotated[
        int | None, typer.Option(min=1, help="Trials per fault and pool (5); with --instrument, rounds (1).")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Number of runs side by side.")] = 4,
    pool: Annotated[list[str] | None, typer.Option(help="Only this pool; can be given several times.")] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault of the catalogue; can be given several times.")
    ] = None,
    environment: Annotated[str, typer.Option(help="The backend in whose environment the workers run.")] = "celery",
    out: Annotated[
        Path | None, typer.Option(help="The self-test's folder: results/selftest, results/attached or results/instrument.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over: keep an earlier self-test aside, and complete nothing of it.")
    ] = False,
    time_limits: Annotated[bool, typer.Option(help="Whether verdicts that take too long fail the self-test, too.")] = True,
    attached: Annotated[
        bool, typer.Option("--attached", help="Ask `harness why` of plain workers with these faults instead, from outside.")
    ] = False,
    deep: Annotated[bool, typer.Option("--deep", help="With --attached: ask with --deep.")] = False,
    instrument: Annotated[bool, typer.Option("--instrument", help="Run the truth tests of the instrument instead.")] = False,
    truth: Annotated[
        list[str] | None, typer.Option(help="Only this truth test, 'a' to 'g'; or a long one: 'compare', 'recommend', 'tune'.")
    ] = None,
) -> None:
    """Inject every fault of a catalogue into real workers, and check each verdict. Exit code 1: a verdict is wrong.

    With --instrument: measure what is known beforehand, such as textbook queues. Exit code 1: a figure misses its bound.
    """
    from harness.proof.selftest.workflow import SelftestOrder

    if instrument:
        from harness.proof.instrument.truths import TRUTHS

        tested(TRUTHS, truth, out or Path("results/instrument"), times or 1)
        return
    if truth:
        raise BadInput("--truth chooses among the truth tests", remedy="give --instrument, too")
    out = out or Path("results/attached" if attached else "results/selftest")
    order = SelftestOrder(
        times=times or 5, jobs=jobs, environment=environment, folder=out, pools=tuple(pool or ()), faults=tuple(fault or ()),
        fresh=fresh,
    )  # fmt: skip
    if attached:
        ask_from_outside(order, deep=deep, time_limits=time_limits)
    else:
        _judge(order, time_limits=time_limits)


def _judge(order: SelftestOrder, *, time_limits: bool) -> None:
    """Run it, and print injected against judged, what is not right and what was promised."""
    from harness.proof.selftest import judgement, report
    from harness.proof.selftest import workflow as tester

    with console.status("") as status:
        judged = tester.run(
            order,
            lambda text: console.print(text, soft_wrap=True, markup=False),
            lambda done, total, left_s: status.update(f"{done} of {total} trials, about {duration(left_s)} left"),
        )
    promises = judgement.thresholds(judged)
    screen.verdicts(console, report.matrix(judged), report.misses(judged), [report.promise(one) for one in promises])
    console.print(f"matrix: {order.folder}/matrix.md, .csv, .json  records: {order.folder}/trials.jsonl", soft_wrap=True)
    if judgement.broken(promises, time_limits=time_limits):
        raise typer.Exit(Exit.CHECK_FAILED)
