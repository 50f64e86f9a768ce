"""The answer of `harness why` as a page of Markdown, for an issue or a chat: names stay, passwords do not."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence

import harness
from harness.judge.singular import of_one
from harness.live import screen
from harness.live.answer import Report
from harness.live.executor import Executor, State
from harness.live.wording import duration
from harness.texts import escaped, without_secrets

HEAD = ("process", "thread", "state", "what it does", "for", "waits for", "held by")


def page(reports: Sequence[Report]) -> str:
    """A section per worker, and what was looked with."""
    lines = [line for report in reports for line in (*_section(report), "")]
    lines.append(f"Seen by `harness why` {harness.__version__} from outside, on Linux {platform.release()}.")
    return "\n".join(lines) + "\n"


def _shown(said: str) -> str:
    return escaped(without_secrets(said))


def _section(report: Report) -> Iterator[str]:
    named = ", ".join(_shown(part) for part in (report.app, report.hostname, screen.pool_of(report)) if part)
    yield from (f"### Worker {report.pid}{f' ({named})' if named else ''}: {report.state}", "", _shown(report.reason))
    if told := list(_told(report)):
        yield from ("", "| | |", "| --- | --- |", *(f"| {name} | {_shown(said)} |" for name, said in told))
    if report.executors or report.idle:
        yield from ("", "#### Executors")
        yield from ("", *_table([_row(one) for one in report.executors])) if report.executors else ()
        yield from ("", f"{report.idle} idle") if report.idle else ()
    if evidence := list(_evidence(report)):
        yield from ("", "#### Evidence", "", *(f"- {_shown(one)}" for one in evidence))


def _told(report: Report) -> Iterator[tuple[str, str]]:
    """What a reader wants first."""
    if report.state is not State.WORKS and report.since_s is not None:
        yield "for", duration(report.since_s)
    for name, said in (("cause", report.cause), ("now", report.now), ("for good", report.for_good)):
        if said:
            yield name, said


def _evidence(report: Report) -> Iterator[str]:
    proofs = [f"they {one.how.value}" for one in report.executors if one.how]
    yield from (f"proof: {proof if len(proofs) > 1 else of_one(proof)}" for proof in dict.fromkeys(proofs))
    yield from report.support
    doubts = [one.doubt for one in report.executors if one.doubt and one.state is not State.WORKS]
    yield from (f"not proved: {doubt}" for doubt in dict.fromkeys(doubts))
    if broker := screen.broker_of(report):
        yield f"broker: {broker}"
    yield from (f"not seen: {one}" for one in report.unseen)


def _row(one: Executor) -> tuple[str, ...]:
    does = f"{one.does} {one.task}".strip() + (f"[{one.task_id}]" if one.task_id else "")
    return (str(one.pid), str(one.tid), one.state, does, duration(one.since_s), one.waits_for, one.owner)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Without the columns in which nothing stands."""
    kept = [place for place in range(len(HEAD)) if any(row[place] for row in rows)]
    yield f"| {' | '.join(HEAD[place] for place in kept)} |"
    yield f"|{' --- |' * len(kept)}"
    yield from (f"| {' | '.join(_shown(row[place]) for place in kept)} |" for row in rows)
