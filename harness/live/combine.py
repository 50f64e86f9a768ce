"""One report of a worker's tasks and of its machinery: a worker is as bad as the worst of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.live.answer import Report
from harness.live.executor import HALTED, WORST, State
from harness.live.finding import Finding


def combined(report: Report, findings: Sequence[Finding], hidden: tuple[str, ...] = ()) -> Report:
    """The report, with the worst finding as its cause if its tasks are no worse; the others stand beside, under the broker. Of
    a main process that is halted nothing is found: it asks nobody for anything until it goes on."""
    report = replace(report, unseen=(*report.unseen, *hidden))
    halted = any(one.pid == report.pid and one.how in HALTED and one.state is State.STUCK for one in report.executors)
    if not findings or halted:
        return report
    first = findings[0]
    leads = WORST.index(first.state) < WORST.index(report.state) or (
        report.state is first.state is State.WORKS and not report.cause
    )
    rest = findings[1:] if leads else findings
    broker = {**report.broker, "also": [_shown(one) for one in rest]} if rest else report.broker
    if not leads:
        return replace(report, broker=broker)
    reason = first.reason if first.state is not State.WORKS else f"{report.reason}; {first.reason}"
    return replace(
        report, state=first.state, reason=reason, cause=first.cause, support=first.support, since_s=first.since_s,
        now=first.now, for_good=first.for_good, broker=broker,
    )  # fmt: skip


def _shown(one: Finding) -> dict[str, Any]:
    return {"cause": one.cause, "state": one.state.value, "reason": one.reason}
