"""What a right answer is: one that a user's expression says is right, or one like that of a serial call. Pure.

Two serial calls with the same arguments may differ, in a time or an id, and so may those of another process, or of one beside
others: such places are left out of the comparison, in all rows, and named. If the whole answer differs, nothing is left to
compare. Numbers may differ by a share of what is expected (threads add up floats in another order), and, near zero, by a
smaller share of the largest number at their place in any answer; but not if they are then another row's to the last digit, as
coordinates of one town are (`Reference.weigh`). What a place is, `differences` says.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from harness.applications.probe.differences import (
    ANY,
    RTOL,
    Difference,
    OfTask,
    Place,
    Tolerance,
    differences,
    is_blend,
    largest,
    leaves,
    root,
)  # fmt: skip
from harness.experiment.mix import Mix
from harness.worker import their_app

CALLS, PROCESSES = "from call to call", "from process to process, beside other threads, under load, or in another order"
SWAPPED = (
    "serial calls in several processes at once got each other's answers: they share something that does not keep requests "
    "apart (a file, a database, a connection)"
)
LATER, EXECUTORS = "from before a trial to after it", "by which process, thread or greenlet answers"
FLAGS = "in every answer, as what says where it was made does"
ALIKE = "from the serial calls, alike in all answers of a row"
BEHIND = "from before this trial to after it, and not by themselves"
CROSSED_MOST = 200  # wrong answers that are held against every other row
DIGITS = 1e-12  # of a number: two that are alike to so many digits are one


class AnswerCheck(Protocol):
    """Whether an answer to the row is right, and how far off it is: 0 if it is right, inf where no number tells."""

    def __call__(self, row: int, result: Any) -> tuple[bool, float]: ...


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Answers of serial calls, by row, and the places that are not compared: `ignored` differ from call to call, `elsewhere` in
    other processes, beside each other, with other hash seeds and in other orders, `later` change by themselves, `behind` were
    changed during this trial, `executors` say who answered, `flags` may, see `who`, and `eager` may say that a worker did.
    `swapped`: processes that called at once got each other's answers. `upheld`: calls after a trial gave the same."""

    answers: Mapping[int, Any]
    ignored: frozenset[Place]
    elsewhere: frozenset[Place] = frozenset()
    later: frozenset[Place] = frozenset()
    behind: frozenset[Place] = frozenset()  # of one trial
    executors: frozenset[Place] = frozenset()  # of one trial
    flags: frozenset[Place] = frozenset()  # likewise
    eager: frozenset[Place] = frozenset()  # likewise
    swapped: bool = False
    upheld: bool = False
    mix: Mix | None = None  # whose rows these are
    near: Tolerance = field(default_factory=Tolerance)
    differed: Counter[Place] = field(default_factory=Counter, compare=False)  # where answers did, and how often
    examples: dict[Place, tuple[int, Difference]] = field(default_factory=dict, compare=False)  # the first there, with its row
    crossed: Counter[bool] = field(default_factory=Counter, compare=False)  # wrong ones that another row's would be, or not
    compared: Counter[bool] = field(default_factory=Counter, compare=False)  # answers that were, and that had nothing beside
    near_ones: Counter[bool] = field(default_factory=Counter, compare=False)  # made of another row's, or not: see `weigh`

    @cached_property
    def fields(self) -> frozenset[Place]:
        """All places of all answers."""
        return frozenset(place for row, answer in self.answers.items() for place, _ in leaves(answer, root(row, self.mix)))

    @cached_property
    def left(self) -> frozenset[Place]:
        """Those of them that are compared."""
        return frozenset(place for place in self.fields if not self._is_ignored(place))

    @property
    def usable(self) -> bool:
        """Whether a place of some answer is left to compare."""
        return bool(self.left)

    def begin(self) -> None:
        """Forget what was counted: another trial's answers come."""
        self.differed.clear()
        self.examples.clear()
        self.crossed.clear()
        self.compared.clear()
        self.near_ones.clear()

    def weigh(self, answers: Iterable[tuple[int, Any]]) -> None:
        """Look, before each is judged, at those that differ by no more than a number may: whether most of them are, where they
        are not their own row's, another row's to the last digit. Then that is what they are; noise would not meet them."""
        for row, result in answers:
            if row in self.answers and (digits := self._digits(row, result)) and not self._compared_with_own(row, result):
                self.near_ones[bool(self._others_in(row, result, digits))] += 1

    def __call__(self, row: int, result: Any) -> tuple[bool, float]:
        self.compared[row in self._told] += 1
        if row not in self.answers:  # the serial call raised: there is nothing to compare with
            return True, 0.0
        found = self._compared_with_own(row, result)
        if not found and self.near_ones[True] > self.near_ones[False]:
            found = self._others_in(row, result, self._digits(row, result))
        self.differed.update({one.place for one in found})
        for one in found:
            self.examples.setdefault(one.place, (row, one))
        if found and self.crossed.total() < CROSSED_MOST:
            self.crossed[self._is_anothers(row, result) or bool(self._others_in(row, result, self._digits(row, result)))] += 1
        return not found, max((one.gap for one in found), default=0.0)

    @cached_property
    def _told(self) -> frozenset[int]:
        """The rows that have something to compare with."""
        return frozenset(
            row
            for row, answer in self.answers.items()
            if any(place in self.left for place, _ in leaves(answer, root(row, self.mix)))
        )

    def _alike(self, row: int) -> list[int]:
        """The rows of its task that have an answer."""
        return [other for other in self.answers if root(other, self.mix) == root(row, self.mix)]

    def _compared(self, row: int, expected: Any, got: Any, near: Tolerance | None = None) -> list[Difference]:
        """How two answers of a row's task differ in the places that are compared."""
        begin = root(row, self.mix)
        return [one for one in differences(expected, got, near or self.near, begin) if not self._is_ignored(one.place)]

    def _compared_with_own(self, row: int, result: Any) -> list[Difference]:
        return self._compared(row, self.answers[row], result)

    @cached_property
    def _fine(self) -> Tolerance:
        return replace(self.near, rtol=min(DIGITS, self.near.rtol))

    def _digits(self, row: int, result: Any) -> list[Difference]:
        """How an answer differs from its row's if numbers may differ by their last digits alone."""
        return self._compared(row, self.answers[row], result, self._fine)

    def _others_in(self, row: int, result: Any, digits: list[Difference]) -> list[Difference]:
        """Those digits, if the answer is another row's wherever it is not its own row's."""
        begin, own = root(row, self.mix), self.answers[row]
        others = (self.answers[other] for other in self._alike(row) if other != row) if digits else ()
        return digits if any(is_blend(own, one, result, self._fine, begin, self._is_ignored) for one in others) else []

    def beside(self, *processes: Iterable[tuple[int, Any]]) -> Reference:
        """With what the same rows gave in other processes at once. One that gave a row several answers, another row's among
        them, got that from a process beside it: such answers are wrong there, too, and no reason to leave anything out."""
        kept, swapped = list[tuple[int, Any]](), False
        for answers in map(list, processes):
            others = [(row, got) for row, got in answers if row in self.answers and self._is_anothers(row, got)]
            often = Counter(row for row, _ in answers)
            if mixed := any(often[row] > 1 for row, _ in others):
                swapped = True
            kept += [one for one in answers if not mixed or one not in others]
        return replace(self, elsewhere=self.others(kept), swapped=swapped)

    def _is_anothers(self, row: int, got: Any) -> bool:
        """Whether an answer is not its own row's, and right for another row."""
        others = (other for other in self._alike(row) if other != row)
        own = not self._compared_with_own(row, got)
        return not own and any(not self._compared(other, self.answers[other], got) for other in others)

    def after(self, answers: Sequence[tuple[int, Any]], once_more: Sequence[tuple[int, Any]] = ()) -> Reference:
        """With what the same rows gave after a trial, and after a while in which nothing ran: what changed then, too, does so
        by itself; what did not was changed during the trial."""
        found = self.others(answers)
        by_itself = reference([*answers, *once_more], self.near.rtol, self.mix).ignored
        later = frozenset(place for place in found if any(_holds(each, place) or _holds(place, each) for each in by_itself))
        return replace(self, later=self.later | later, behind=found - later, upheld=bool(answers) and not found)

    def from_now_on(self, answers: Sequence[tuple[int, Any]]) -> Reference:
        """With what the rows answer since a trial; of a row that was not called again nothing is known any more."""
        now = {row: got for row, got in reversed(answers) if row in self.answers}
        near = replace(self.near, largest=largest(now, self.mix))
        return replace(self, answers=now, behind=frozenset(), near=near)

    def others(self, answers: Iterable[tuple[int, Any]]) -> frozenset[Place]:
        """The places that are compared so far and in which these answers differ."""
        known = ((row, got) for row, got in answers if row in self.answers)
        return frozenset(one.place for row, got in known for one in self._compared(row, self.answers[row], got))

    @cached_property
    def _left_out(self) -> frozenset[Place]:
        return self.ignored | self.elsewhere | self.later | self.behind | self.executors | self.flags | self.eager

    def _is_ignored(self, place: Place) -> bool:
        return any(_holds(each, place) for each in self._left_out)

    def said(self, arguments: Sequence[Any]) -> list[str]:
        """What is not compared, and what could not be seen: a sentence each. `arguments`: of the rows."""
        said = []
        if self.ignored:
            said.append(f"not compared, for it differs {CALLS}: {listed(self.ignored)}")
        if self.elsewhere:
            said.append(f"not compared, for it differs {PROCESSES}: {listed(self.elsewhere)}")
        if self.swapped:
            said.append(SWAPPED)
        for rows in self._groups() if self.usable else ():
            if self._is_one(rows):
                of = f" of {self.mix.task_of(rows[0])}" if self.mix else ""
                what = f"all {len(rows)} rows{of} have the same answer" if len(rows) > 1 else f"one row{of} has an answer"
                helps = "; other rows of it show it" if self.mix else "; --args with different ones shows it"
                other = helps if any(arguments[row] for row in rows) else ""  # a task without arguments has no other rows
                said.append(f"{what}: an answer that another request got could not be seen{other}")
        return said

    def _groups(self) -> list[list[int]]:
        """The rows that have an answer, by task."""
        return list({root(row, self.mix): self._alike(row) for row in self.answers}.values())

    def _is_one(self, rows: Sequence[int]) -> bool:
        first, *others = rows
        return not any(self._digits(first, self.answers[other]) for other in others)

    @property
    def part(self) -> str:
        """Which share of the answer is compared; '' if all of it is."""
        return f"{len(self.left)} of {len(self.fields)} fields" if self.left != self.fields else ""

    def coverage(self) -> str:
        """'3 of 4 fields in 120 of 120 answers', of those since `begin`, and what is left out; '' if there were none."""
        answers = self.compared.total()
        what = self.part or "the whole answer"
        within = f", numbers within {100 * self.near.rtol:g} %" if self.near.largest.keys() & self.left else ""
        reasons = (
            (CALLS, self.ignored), (PROCESSES, self.elsewhere), (LATER, self.later), (BEHIND, self.behind),
            (EXECUTORS, self.executors), (FLAGS, self.flags), (ALIKE, self.eager),
        )  # fmt: skip
        without = "".join(f"; left out, for they differ {why}: {listed(places)}" for why, places in reasons if places)
        return f"{what} in {self.compared[True]} of {answers} answers{within}{without}" if answers else ""


def _holds(outer: Place, place: Place) -> bool:
    """Whether a place is the outer one, or lies in it; ANY stands for every position."""
    pairs = zip(outer, place, strict=False)
    return len(outer) <= len(place) and all(one == other or ANY in (one, other) for one, other in pairs)


def listed(places: Iterable[Place]) -> str:
    return ", ".join(sorted(map(named, places)))


def named(place: Place) -> str:
    """'result.total'; of a task of a mix, 'shop.price: result.total'."""
    if place and isinstance(place[0], OfTask):
        return f"{place[0]}: {named(place[1:])}"
    return ".".join(("result", *place))


def reference(answers: Iterable[tuple[int, Any]], rtol: float = RTOL, mix: Mix | None = None) -> Reference:
    """From (row, result) of all serial calls, in order."""
    first: dict[int, Any] = {}
    again: list[tuple[int, Any]] = []
    for row, result in answers:
        if row in first:
            again.append((row, result))
        else:
            first[row] = result
    near = Tolerance(rtol=rtol, largest=largest(first, mix))
    ignored = {place for row, result in again for place, *_ in differences(first[row], result, near, root(row, mix))}
    return Reference(answers=first, ignored=frozenset(ignored), near=near, mix=mix)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """The user's own `--check`: true for a right answer. It knows `result`, `args`, `kwargs`, `row`, `math` and, in a mix, the
    name of the `task`."""

    text: str
    rows: Sequence[Any]
    mix: Mix | None = None

    def __call__(self, row: int, result: Any) -> tuple[bool, float]:
        args, kwargs = their_app.arguments(self.rows[row])  # type: ignore[no-untyped-call]
        known = {"result": result, "args": args, "kwargs": kwargs, "row": row, "math": math}
        if self.mix is not None:
            known["task"] = self.mix.task_of(row)
        try:
            right = bool(eval(self.text, {"__builtins__": __builtins__, **known}))  # noqa: S307 - typed by who runs it
        except Exception:  # whatever an answer of another form does to it
            right = False
        return right, 0.0 if right else math.inf


def anything(row: int, result: Any) -> tuple[bool, float]:
    """No check: whatever came back counts as right, and the record says that it was not checked."""
    return True, 0.0
