"""The same calls in forked children and without a fork: what returns in one and not in the other is proof. Pure, but for the
processes that are asked once more.

The children call at once. If the fork was not seen to lose anything, and one of them by itself does not fail, two calls at
once do that to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.applications.check import asked
from harness.applications.check.asked import Question
from harness.applications.check.finding import Finding, Level
from harness.applications.check.side_by_side import Side, Sides
from harness.applications.check.static.in_tasks import NO_PROCESSES
from harness.applications.probe import checks, results
from harness.applications.probe.checks import Reference
from harness.applications.probe.differences import Place
from harness.machine.processes import signal_name
from harness.texts import few, visible
from harness.worker import serial

BESIDE = "let one call wait for the other, or serve it with one process: 'harness probe' shows it in every pool"
DAEMONIC = "daemonic processes are not allowed to have children"  # what multiprocessing says in a child of prefork
ROWS = "give rows that the task answers: of these, the calls prove nothing"
UNHEARD = "there, worker_ready called %s, which children that began before did not hear"
TODO = "make what it needs in a function that the first task of each process calls; 'harness probe' shows it in every pool"


def judged(
    sides: Sides,
    question: Question,
    second: Callable[[], Sequence[tuple[int, Any]]],
    by_itself: Callable[[], Side],
    *,
    supported: bool,
    late: Sequence[str] = (),
) -> list[Finding]:
    """What the two sides mean. `second`: the answers of one more process without a fork, asked for if they differ; `by_itself`:
    what one more forked child tells, beside which nothing calls, asked for if children fail and nothing speaks for the fork;
    `supported`: whether the fork was seen to lose anything that could be the reason; `late`: the application's receivers of
    worker_ready, which children do not hear."""
    task = question.task
    if sides.failed:
        return [_unknown(f"the calls were not made: a second import of the application failed ({asked.shown(sides.failed)})")]
    if not sides.alone.pid and sides.alone.at is None and not sides.alone.ended:
        told = f"no second process imported the application beside the one that forks within {question.limit_s:g} s"
        return [_unknown(f"the calls were not made without a fork: {told}")]
    if sides.alone.died_in is not None:
        how = f"{task} ended the process that called it without a fork ({signal_name(sides.alone.code)})"
        return [replace(_unknown(f"{how}: nothing to compare"), todo=ROWS)]
    if not sides.alone.rows and not sides.alone.ended:
        return [_unknown(f"{task} was not back without a fork, either, after {question.call_s:g} s: nothing to compare")]
    stuck = [one for one in sides.children.values() if one.stuck]
    if stuck:
        alone = Side() if supported else by_itself()
        return [
            _beside_stuck(stuck, sides, task) if _came_back(alone, stuck[0].at) else _stuck(stuck[0], len(stuck), sides, task)
        ]
    alike = _raised_alike(sides)
    found = _died(sides, task, supported, by_itself) or _raised(sides, supported, by_itself)
    found = found or _differing(sides, second, by_itself, supported, late)
    if found:
        return [found, *alike]
    if not sides.decided:
        return [_unknown(f"a forked child was not back from {task} in time: nothing is known of it"), *alike]
    return alike


def _unknown(what: str) -> Finding:
    todo = "a longer --call-limit-s or --limit-s, a quicker row, or 'harness probe', which watches for longer"
    return Finding(rule="call-in-child", level=Level.NOTE, what=visible(what), todo=todo)


def _stuck(child: Side, count: int, sides: Sides, task: str) -> Finding:
    at = child.at if child.at is not None else 0
    took, waited_s = sides.alone.took_s[at], child.cpu[-1][0] - child.begun_s
    call = "worker_process_init" if at == -1 else f"{task}, row {at + 1},"
    return Finding(
        rule="call-in-child", level=Level.ERROR, todo=TODO,
        what=f"{visible(call)} ended in {took:.2g} s without a fork, and {count} of {len(sides.children)} forked children did "
        f"not come back from it within {waited_s:.0f} s, at 0 % CPU",
        evidence=(f"the child waits {visible(child.stands)}",) if child.stands else (),
    )  # fmt: skip


def _came_back(child: Side, row: int | None) -> bool:
    return any(one["row"] == row and not one["error"] for one in child.rows)


def _came_through(side: Side, at: int | None) -> bool:
    """Likewise, also of its start (-1): its first call tells."""
    return _came_back(side, at) or (at == -1 and bool(side.rows))


def _beside_stuck(stuck: Sequence[Side], sides: Sides, task: str) -> Finding:
    return Finding(
        rule="call-beside", level=Level.WARNING, todo=BESIDE,
        what=f"{len(stuck)} of {len(sides.children)} processes that called {visible(task)} at once did not come back from row "
        f"{(stuck[0].at or 0) + 1}; a forked child that called it by itself did",
        evidence=(f"it waits {visible(stuck[0].stands)}",) if stuck[0].stands else (),
    )  # fmt: skip


def _died(sides: Sides, task: str, supported: bool, by_itself: Callable[[], Side]) -> Finding | None:
    """A call that ends the child, and returns without a fork; with another one beside it, perhaps, if it comes back alone."""
    children = list(sides.children.values())
    child = next((one for one in children if one.died_in is not None), None)
    if child is None or not _came_through(sides.alone, child.died_in):
        return None
    call = "worker_process_init" if child.died_in == -1 else f"{visible(task)}, row {(child.died_in or 0) + 1},"
    how = "" if child.code is None else f" ({signal_name(child.code)})"
    if not supported and _came_through(by_itself(), child.died_in):
        what = f"{call} ended a child that called it beside others{how}; a child by itself comes back from it"
        return Finding(rule="call-beside", level=Level.WARNING, todo=BESIDE, what=what)
    many = sum(one.died_in is not None for one in children)
    return Finding(
        rule="call-in-child", level=Level.ERROR, todo=TODO,
        what=f"{call} ended {many} of {len(children)} forked children{how}, and comes back without a fork",
    )  # fmt: skip


def _raised(sides: Sides, supported: bool, by_itself: Callable[[], Side]) -> Finding | None:
    """An error of children alone; a chance, perhaps, if not all of them have it and nothing speaks for the fork."""
    failed = {one["row"] for one in sides.alone.rows if one["error"]}
    fine = {one["row"] for one in sides.alone.rows} - failed
    errors = [[one for one in child.rows if one["error"] and one["row"] in fine] for child in sides.children.values()]
    found = next((each[0] for each in errors if each), None)
    if found is None:
        return None
    told = asked.shown(found["error"])[:160]
    if not supported and _came_back(by_itself(), found["row"]):
        what = f"row {found['row'] + 1} raised in a child that called it beside others: {told}; a child by itself answers it"
        return Finding(rule="call-beside", level=Level.WARNING, todo=BESIDE, what=what)
    sure = supported or all(errors)
    return Finding(
        rule="call-in-child",
        level=Level.ERROR if sure else Level.WARNING,
        todo=NO_PROCESSES if DAEMONIC in told else TODO,
        what=f"row {found['row'] + 1} raised in a forked child alone: {told}",
    )


def _raised_alike(sides: Sides) -> list[Finding]:
    """That rows raise in forked children and without a fork, once: of these, the calls show nothing."""
    alone = {one["row"]: one["error"] for one in sides.alone.rows if _failed(one)}
    forked = {one["row"] for child in sides.children.values() for one in child.rows if _failed(one)}
    both, rows = sorted(alone.keys() & forked), {one["row"] for one in sides.alone.rows}
    if not both:
        return []
    first = f"row {both[0] + 1}: {asked.shown(alone[both[0]])[:160]}"
    return [
        Finding(
            rule="call-raises", level=Level.NOTE, todo=ROWS,
            what=f"{len(both)} of {len(rows)} row{'s' if len(rows) > 1 else ''} raised in forked children, and without a fork, "
            f"too; {first}",
        )
    ]  # fmt: skip


def _failed(one: Mapping[str, Any]) -> bool:
    """Whether a call raised, and not to tell its worker something."""
    return results.kind(one["error"]) not in ("", *serial.ON_PURPOSE)


def answered(sides: Sides) -> bool:
    """Whether each forked child came back from its calls, and from one at least with an answer."""
    children = sides.children.values()
    return sides.decided and all(one.died_in is None and any(not each["error"] for each in one.rows) for one in children)


def _differing(
    sides: Sides, second: Callable[[], Sequence[tuple[int, Any]]], by_itself: Callable[[], Side], supported: bool,
    late: Sequence[str],
) -> Finding | None:  # fmt: skip
    """Another answer of a child. It may hang on the time, on the process or on who calls beside it, and is no error unless the
    fork lost something, or came before a receiver of worker_ready, and the child answers so by itself, too."""
    expected = checks.reference(_answers(sides.alone.rows))
    given = [answer for child in sides.children.values() for answer in _answers(child.rows)]
    if not given or not expected.answers or _wrong(expected, given) is None:
        return None
    expected = expected.beside(second())
    found = _wrong(expected, given)
    if found is None:
        return None
    row, place, wanted, got = found
    alone = Side() if supported else by_itself()
    by_itself_too = not supported and _wrong(expected, _answers(alone.rows)) is not None
    if not by_itself_too and _came_back(alone, row):
        return Finding(
            rule="call-beside", level=Level.WARNING, todo=BESIDE,
            what=f"row {row + 1} is answered otherwise in a child that called it beside others, at {checks.named(place)}: "
            f"{_short(got)} instead of {_short(wanted)}",
            evidence=("a forked child by itself answers as without a fork; the fork was seen to lose nothing",),
        )  # fmt: skip
    missed = bool(late) and by_itself_too
    lost = "" if supported else f"; {UNHEARD % few(list(late), 2)}" if missed else "; the fork was seen to lose nothing"
    return Finding(
        rule="call-in-child", level=Level.ERROR if supported or missed else Level.WARNING, todo=TODO,
        what=f"row {row + 1} is answered otherwise in a forked child, at {checks.named(place)}: {_short(wanted)} without a "
        f"fork, {_short(got)} in the child",
        evidence=(f"two processes that did not fork agree on it{lost}",),
    )  # fmt: skip


def repeated(sides: Sides) -> str:
    """That forked children answer a row alike that is answered otherwise each time without a fork, in words; or ''."""
    alone, forked = _by_row(sides.alone.rows), [_by_row(child.rows) for child in sides.children.values()]
    for row, answers in alone.items():
        first = [child[row][0] for child in forked if row in child]
        if len(first) > 1 and len(answers) > 1 and answers[0] != answers[1] and all(one == first[0] for one in first):
            return f"row {row + 1}: {len(first)} forked children gave the same answer, and 2 calls without a fork did not"
    return ""


def _by_row(rows: Iterable[Mapping[str, Any]]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for row, answer in _answers(rows):
        found.setdefault(row, []).append(answer)
    return found


def _wrong(expected: Reference, given: Sequence[tuple[int, Any]]) -> tuple[int, Place, Any, Any] | None:
    expected.begin()
    for row, answer in given:
        expected(row, answer)
    for place, (row, one) in expected.examples.items():
        return row, place, one.expected, one.got
    return None


def _short(value: Any) -> str:
    text = asked.shown(repr(value))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _answers(rows: Iterable[Mapping[str, Any]]) -> list[tuple[int, Any]]:
    """(row, result) of those that can be read; of a long answer, its digest."""
    found = []
    for one in rows:
        if one["error"] or one["payload"] is None:
            continue
        payload = one["payload"]
        long = isinstance(payload, dict) and "sha256" in payload
        result = payload["sha256"] if long else results.stored(payload)
        if result is not results.UNREADABLE:
            found.append((one["row"], result))
    return found


def once_more(question: Question, scratch: Path, limit_s: float) -> list[tuple[int, Any]]:
    """The answers of one more process that does not fork."""
    folder = scratch / "again"
    folder.mkdir()
    with asked.asking(question, folder, (0,)) as (one,):
        asked.until([one], lambda: bool(one.first("done")), limit_s)
        return _answers(line for line in one.lines if "row" in line)
