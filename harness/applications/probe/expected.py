"""What the answers of somebody's own application are held against: the user's expression, or what the serial calls gave.

It is settled by the serial calls. These are made again after each trial if they are quick, and after one that answers otherwise
or raises. What changes by itself is compared no more. What changed during one trial is not compared in it, and from then on
held against what the serial calls answer since. `notes` say how far it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.applications.probe import checks, results, who, words
from harness.applications.probe.checks import AnswerCheck, Expression, Reference
from harness.applications.probe.differences import Place
from harness.applications.probe.order import ProbeOrder
from harness.client import opaque
from harness.records.answers import Requests
from harness.texts import few, visible
from harness.trial.left import Ending, Left
from harness.worker import contract
from harness.worker.their_app import RetriedTooOften

MOVED = (
    "The serial calls gave other answers after a trial than before it, and others again later: these depend on the time, or on "
    "the process"
)
BY_WHAT = "by what it left (in a file, a database, a cache), or by the time"
SINCE = "from now on, answers are held against what the serial calls give since"

READABLE = "they are with result_serializer = 'json' in the application's settings"
IN_MAIN_THREADS = ("prefork", "prefork-spawn", "solo")
FLAG = (
    "is true in every answer where it is false without Celery, or the other way round: it may say where an answer was made, as "
    "a process's daemon and a request's is_eager do, or be wrong; --check 'expression on result' decides"
)
EAGER = (
    "differs from the serial calls in the same way in each answer of a row: the task asks whether its request is_eager, which "
    "is true of serial calls alone, so nobody knows which is right; --check 'expression on result' decides"
)
Calls = Callable[[], Sequence[Mapping[str, Any]]]  # that are made; their lines

#: how a serial call ends that a worker begins again for ever
AGAIN = (RetriedTooOften.__name__, "Reject")


@dataclass(kw_only=True)
class Expected:
    """Before the serial calls, nothing."""

    order: ProbeOrder
    say: Callable[[str], None]
    rows: int  # that are sent: those, from the first on, that the serial calls came to
    turns: tuple[int, ...] = ()  # of the serial calls of a mix
    asks_eager: bool = False  # whether a task asks if it is called without a worker
    spoiler: str = ""  # the row that ended the serial calls, or that they never came back from, in words
    retried: frozenset[int] = frozenset()  # rows that the serial calls tried again and again, in vain
    check: AnswerCheck = checks.anything
    checked: str = ""  # what answers are held against, in words
    notes: list[str] = field(default_factory=list)  # of the serial calls, and of the comparison with them
    changed: str = ""  # that the serial calls answer otherwise since the trial that was compared last, in words
    broken: str = ""  # that they raise since a trial and answered before, in words
    unseen: tuple[str, ...] = ()  # ids of the cells after whose trials they were not made, since they were made last
    answered: frozenset[int] = frozenset()  # rows that never raised in the serial calls
    raised: bool = False  # whether another one did
    right_in: frozenset[str] = frozenset()  # pools that ran the task in the main thread of a process, and answered as expected
    _next: Reference | None = None  # what the next trial's answers are held against

    @property
    def nothing(self) -> bool:
        return self.check is checks.anything

    @property
    def unsure(self) -> str:
        """Why answers of the last trial that seem right may not be, in words; or ''."""
        if isinstance(self.check, Reference) and self.check.flags:
            return f"{checks.listed(self.check.flags)} {FLAG}"
        if isinstance(self.check, Reference) and self.check.eager:
            return f"{checks.listed(self.check.eager)} {EAGER}"
        return self.changed

    @property
    def coverage(self) -> str:
        return self.check.coverage() if isinstance(self.check, Reference) else ""

    @opaque.deep()
    def compared(self, left: Left) -> Requests | None:
        """The requests of a trial, each answer held against what is expected, but for what only says who answered."""
        self.changed = ""
        if self._next is not None:
            self.check, self._next = self._next, None
        found, pool = self._compared(left), left.cell.pool
        if found is not None and pool in IN_MAIN_THREADS and found.right.any() and not found.wrong.any():
            self.right_in |= {pool}
        return found

    def _compared(self, left: Left) -> Requests | None:
        nobody = frozenset[Place]()
        found = self._held(left, nobody, nobody)
        wrong = found is not None and found.wrong.any() and not left.cell.is_baseline
        if not wrong or not isinstance(self.check, Reference):
            return found
        told = list(results.told(left))
        marks = who.answered(told, self.check, who.names(left.events))
        flags = who.flags(told, self.check)
        found = self._held(left, marks, flags) if marks or flags else found
        eager = who.agreed(told, self.check) if self.asks_eager else nobody
        return self._held(left, marks, flags, eager) if eager else found

    def _held(
        self, left: Left, marks: frozenset[Place], flags: frozenset[Place], eager: frozenset[Place] = frozenset()
    ) -> Requests | None:
        if isinstance(self.check, Reference):
            self.check = replace(self.check, executors=marks, flags=flags, eager=eager)
            self.check.begin()
        return (results.of_serial if left.cell.is_baseline else results.of_worker)(left, self.check)

    @opaque.deep()
    def compared_again(self, left: Left, call: Calls, wait: Calls | None) -> Requests | None:
        """Make the serial calls once more, after a trial. Its requests, compared anew, if they answer otherwise now; else None.
        `wait`: makes them after a while in which nothing runs, None if that cannot be afforded."""
        lines, before = call(), self.check
        once_more: Sequence[Mapping[str, Any]] = ()
        raising = self._raising(lines)
        moved = before.others(_answers(lines)) if isinstance(before, Reference) else frozenset()
        if wait is not None and (moved or raising):
            once_more = wait()
            raising = {row: error for row, error in raising.items() if row in self._raising(once_more)}
        suspects, before_it = few([*self.unseen, left.cell.id]), f", or {few(self.unseen)} before it" if self.unseen else ""
        self.unseen = ()
        if raising:
            row, error = next(iter(raising.items()))
            self.changed = (
                f"the serial calls answered before this trial{before_it}, and raise since: {self.order.row_name(row)}: {error}"
            )
            since = f"since {suspects}" if " " not in suspects else f"since one of {suspects}"
            self.broken = f"{self.order.row_name(row)} raises without Celery {since}, and answered before: {error}"
            self._tell([f"warning: {self.broken}. What it needs was changed: no more pools are tried on it"])
        if not isinstance(before, Reference):
            return None
        self.check = after = before.after(list(_answers(lines)), list(_answers(once_more)))
        if not moved:
            return None
        self._moved(before, after, list(_answers([*once_more, *lines])), suspects, before_it)
        return self._compared(left)

    def _moved(
        self, before: Reference, after: Reference, now: Sequence[tuple[int, Any]], suspects: str, before_it: str
    ) -> None:
        """Say what changed, and settle what the next trial is held against."""
        if by_itself := after.later - before.later:
            self._tell([f"not compared from now on: {checks.listed(by_itself)}. {MOVED}"])
        if after.behind:
            places = checks.listed(after.behind)
            since = f"since this trial{before_it}"
            self.changed = self.changed or f"the serial calls answer otherwise {since}, at {places}: changed {BY_WHAT}"
            self._tell([f"the serial calls answer otherwise at {places} since {suspects}, changed {BY_WHAT}; {SINCE}"])
            self._next = after.from_now_on(now)
        elif not after.usable:
            self.check, self.checked = checks.anything, "came"
            self._tell([_unchecked(after)])

    def _raising(self, lines: Sequence[Mapping[str, Any]]) -> dict[int, str]:
        """The rows that raise in each of these calls, and never did at first, with the error."""
        right = {line["row"] for line in lines if line["payload"] is not None}
        return {line["row"]: line["error"] for line in lines if line.get("error") and line["row"] in self.answered - right}

    @opaque.deep()
    def settle(
        self, lines: Sequence[Mapping[str, Any]], ended: Ending, beside: Sequence[Mapping[str, Any]] = (),
        also: Sequence[str] = (),
    ) -> None:  # fmt: skip
        """Decide what is expected. `lines`: of the serial calls; `beside`: of others that called the same rows at once, or that
        could not; `also`: what else has to be said of them.

        A row that ends the serial calls, or that they do not come back from, is sent to the pools all the same.
        """
        order, self.notes = self.order, []
        self.changed = self.broken = ""
        self._next, self.unseen = None, ()
        raised = {line["row"] for line in lines if line["error"]}
        self.answered, self.raised = frozenset(line["row"] for line in lines) - raised, bool(raised)
        self.retried = frozenset(line["row"] for line in lines if results.kind(line["error"]) in AGAIN)
        least = len(order.mix.tasks) if order.mix else 0  # the first row of each task is sent, whatever came of the calls
        came_to = max(max((line["row"] for line in lines), default=-1) + 1, least)  # they are gone through in order
        at = results.row_in_work(len(lines), len(order.rows), self.turns) if lines else None
        if at is not None and ended.by != "done":
            came_to = max(came_to, at + 1)
            how = f"ended the serial calls ({words.last_words(ended)})" if ended.by == "worker-exit" else "never came back"
            self.spoiler = f"{order.row_name(at)} {how}"
        witnessed = [line for line in beside if contract.FAILED not in line]
        found = checks.reference(_answers(lines), order.tolerance, order.mix).beside(*_by_process(witnessed))
        if order.check and (found.answers or all(line["error"] for line in lines)):
            self.check, self.checked = Expression(text=order.check, rows=order.rows, mix=order.mix), "pass the check"
        elif found.usable:
            self.check, self.checked = found, "match those of serial calls"
            self.rows = came_to
            alone = "" if witnessed else _alone(beside)
            self._tell([text for text in (*found.said(order.rows), alone, self._some_rows(), self._spoiled()) if text])
        else:
            self.check, self.checked = checks.anything, "came"
            self._tell([_unchecked(found, lines)])
        self._tell(also)

    def _some_rows(self) -> str:
        if self.rows == (every := len(self.order.rows)):
            return ""
        came = "came to" if self.spoiler else "had time for"
        return f"the serial calls {came} the first {self.rows} of {every} rows: these are sent"

    def _spoiled(self) -> str:
        told = "it is sent to the pools as well, and its answers are compared with nothing"
        return f"{self.spoiler}: {told}" if self.spoiler else ""

    def _tell(self, notes: Sequence[str]) -> None:
        """Keep what is said of the comparison, and say it."""
        for text in map(visible, notes):
            self.notes.append(text)
            self.say(text)


def _answers(lines: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, Any]]:
    return ((row, result) for _, row, result in results.readable(lines))


def _alone(beside: Sequence[Mapping[str, Any]]) -> str:
    """That no other process could make the serial calls, and why; '' if that is not known."""
    line = next((one for one in beside if contract.FAILED in one), None)
    if line is None:
        return ""
    why, alike = next(iter(str(line[contract.FAILED]).splitlines()), ""), "wait" if line.get(contract.WAITS) else "fail"
    return (
        f"no second process can import the application beside the first ({why}): whether answers depend on the process that "
        f"gives them is not known, and pools whose children import it (prefork-spawn) {alike} alike"
    )


def _by_process(lines: Sequence[Mapping[str, Any]]) -> list[list[tuple[int, Any]]]:
    """The answers of each of the processes that called at once."""
    pids = dict.fromkeys(line.get("pid") for line in lines)
    return [list(_answers([line for line in lines if line.get("pid") == pid])) for pid in pids]


def _unchecked(found: Reference, lines: Sequence[Mapping[str, Any]] = ()) -> str:
    """`lines`: of the serial calls, if they gave no answers."""
    raised = bool(lines) and all(line["error"] for line in lines)
    if found.answers:
        why = f"differ {checks.LATER}" if found.later else f"differ {checks.CALLS}"
    else:
        why = "all raised" if raised else "gave no answer that can be read (JSON or msgpack)" if lines else "never came back"
    unread = bool(lines) and not found.answers and not raised
    helps = f"; {READABLE}" if unread else "; --check 'expression on result' does" if found.answers or raised else ""
    return f"warning: the serial calls {why}: answers are not checked{helps}"
