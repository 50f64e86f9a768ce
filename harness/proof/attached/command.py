"""`harness selftest --attached`: what `harness why` says of each fault, from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from harness.errors import Exit
from harness.terminal import console

if TYPE_CHECKING:
    from harness.proof.attached.workflow import Told
    from harness.proof.selftest.workflow import SelftestOrder


def ask_from_outside(order: SelftestOrder, *, deep: bool, time_limits: bool) -> None:
    """Run it, and print what is not right and what was promised."""
    from harness.proof.attached import workflow
    from harness.proof.selftest import judgement, report, screen

    with console.status("") as status:
        told = workflow.run(
            order,
            lambda text: console.print(text, soft_wrap=True, markup=False),
            lambda done, total: status.update(f"{done} of {total} trials"),
            deep=deep,
        )
    promises = workflow.thresholds(told)
    screen.verdicts(console, _matrix(told), _misses(told), [report.promise(one) for one in promises])
    passing = [one for one in told if one.case.entry.slow]
    seen = sum(one.found.executors > 0 for one in passing)
    console.print(f"passing faults that still lasted when they were looked at: {seen} of {len(passing)}")
    console.print(f"records: {order.folder}/{workflow.RECORDS}", soft_wrap=True)
    if judgement.broken(promises, time_limits=time_limits):
        raise typer.Exit(Exit.CHECK_FAILED)


def _matrix(told: Sequence[Told]) -> list[list[str]]:
    """Fault x state, all pools together: rows of texts, the titles first."""
    states = list(dict.fromkeys(one.found.state for one in told))
    rows = [["fault", "true", *states]]
    for name in dict.fromkeys(one.found.fault for one in told):
        group = [one for one in told if one.found.fault == name]
        counts = Counter(one.found.state for one in group)
        true = "stuck" if any(one.promised for one in group) else "not stuck" if not _hangs(group) else "any"
        rows.append([name, true, *(str(counts[state] or "") for state in states)])
    return rows


def _hangs(group: Sequence[Told]) -> bool:
    return any(one.case.entry.hangs_in(one.case.pool) for one in group)


def _misses(told: Sequence[Told]) -> list[str]:
    return [
        f"{one.found.fault} in {one.found.pool}, trial {one.found.trial}: {one.wrong}: {one.found.reason}"
        for one in told
        if one.wrong
    ]
