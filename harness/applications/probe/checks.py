"""What a right answer is: one that a user's expression says is right, or one like that of a serial call. Pure.

Two serial calls with the same arguments may differ, in a time or an id, and so may those of another process, or of one beside
others: such places are left out of the comparison, in all rows, and named. If the whole answer differs, nothing is left to
compare. Numbers may differ by a share of what is expected (threads add up floats in another order), and, near zero, by a
smaller share of the largest number at their place in any answer. The entries of a list share one place, for their number and
their order may differ; those of a short list of several kinds, as a label with its score, have one each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import repeat
from typing import Any, NamedTuple, Protocol

from harness.worker import their_app

RTOL = 1e-3  # of a number that is expected, if --tolerance names no other
NEAR_ZERO = 1e-2  # of that, of the largest number at the same place
CALLS, PROCESSES = "from call to call", "from process to process, or under load"
LATER = "from before a trial to after it"
A_RECORD = 8  # entries that a list of several kinds has at most, if each is to have a place of its own
CROSSED_MOST = 200  # wrong answers that are held against every other row
FAR = 1e300  # beyond, an integer is no number of the tables any more
ANY = "*"  # in a place's path: whatever index
Place = tuple[str, ...]


class AnswerCheck(Protocol):
    """Whether an answer to the row is right, and how far off it is: 0 if it is right, inf where no number tells."""

    def __call__(self, row: int, result: Any) -> tuple[bool, float]: ...


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a number may be off: `rtol` of the expected one; `largest`: magnitude by place, 1 if it is not known."""

    rtol: float = RTOL
    largest: Mapping[Place, float] = field(default_factory=dict)

    def allows(self, place: Place, expected: float, gap: float) -> bool:
        return gap <= self.rtol * (abs(expected) + NEAR_ZERO * self.largest.get(place, 1.0))


class Difference(NamedTuple):
    """One place in which two answers differ. `gap`: by how much, inf where no number tells."""

    place: Place
    gap: float
    expected: Any
    got: Any


def differences(expected: Any, got: Any, near: Tolerance | None = None, place: Place = ()) -> Iterator[Difference]:
    """The places in which two JSON values differ, and by how much."""
    near = near or Tolerance()
    if isinstance(expected, int) and isinstance(got, int):  # a class or an id, not a measure: the next one is another
        if type(expected) is not type(got) or expected != got:
            gap = abs(got - expected)
            yield Difference(place, float(gap) if 0 < gap < FAR else math.inf, expected, got)
    elif _is_number(expected) and _is_number(got):
        gap = abs(got - expected)
        same = got == expected or (math.isnan(got) and math.isnan(expected))
        if not same and not near.allows(place, expected, gap):
            yield Difference(place, gap if math.isfinite(gap) else math.inf, expected, got)
    elif isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for name, value in expected.items():
            yield from differences(value, got[name], near, (*place, name))
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for name, value, other in zip(_names(expected), expected, got, strict=False):
            yield from differences(value, other, near, (*place, name))
    elif type(expected) is not type(got) or expected != got:
        yield Difference(place, math.inf, expected, got)


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The places of a JSON value that hold no others, and what they hold; an empty list or object is one.

    >>> list(leaves({"a": [1, 2], "b": []}))
    [(('a', '*'), 1), (('a', '*'), 2), (('b',), [])]
    >>> list(leaves(["cat", 0.9]))
    [(('0',), 'cat'), (('1',), 0.9)]
    """
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from leaves(one, (*place, name))
    elif isinstance(value, list) and value:
        for name, one in zip(_names(value), value, strict=False):
            yield from leaves(one, (*place, name))
    else:
        yield place, value


def _names(entries: Sequence[Any]) -> Iterable[str]:
    """What the entries of a list are called in a place's path."""
    if len(entries) <= A_RECORD and len({_kind(one) for one in entries}) > 1:
        return map(str, range(len(entries)))
    return repeat(ANY)


def _kind(value: Any) -> type:
    return float if _is_number(value) else type(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def largest(answers: Iterable[Any]) -> dict[Place, float]:
    """The largest magnitude of a number at each place; places of zeros alone are left out."""
    found: dict[Place, float] = {}
    for answer in answers:
        for place, value in leaves(answer):
            if _is_number(value) and 0 < abs(value) < FAR:
                found[place] = max(found.get(place, 0.0), abs(float(value)))
    return found


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Answers of serial calls, by row, and the places that are not compared: `ignored` differ from call to call, `elsewhere` in
    other processes, beside each other and with other hash seeds, `later` after a trial from before it. `upheld`: the calls were
    made again after a trial that answered otherwise, and gave the same."""

    answers: Mapping[int, Any]
    ignored: frozenset[Place]
    elsewhere: frozenset[Place] = frozenset()
    later: frozenset[Place] = frozenset()
    upheld: bool = False
    near: Tolerance = field(default_factory=Tolerance)
    differed: Counter[Place] = field(default_factory=Counter, compare=False)  # where answers did, and how often
    examples: dict[Place, tuple[int, Difference]] = field(default_factory=dict, compare=False)  # the first there, with its row
    crossed: Counter[bool] = field(default_factory=Counter, compare=False)  # wrong ones that another row's would be, or not
    compared: Counter[bool] = field(default_factory=Counter, compare=False)  # answers that were, and that had nothing beside

    @cached_property
    def fields(self) -> frozenset[Place]:
        """All places of all answers."""
        return frozenset(place for answer in self.answers.values() for place, _ in leaves(answer))

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

    def __call__(self, row: int, result: Any) -> tuple[bool, float]:
        self.compared[row in self.answers] += 1
        if row not in self.answers:  # the serial call raised: there is nothing to compare with
            return True, 0.0
        found = self._compared(self.answers[row], result)
        self.differed.update({one.place for one in found})
        for one in found:
            self.examples.setdefault(one.place, (row, one))
        if found and self.crossed.total() < CROSSED_MOST:
            others = (answer for other, answer in self.answers.items() if other != row)
            self.crossed[any(not self._compared(answer, result) for answer in others)] += 1
        return not found, max((one.gap for one in found), default=0.0)

    def _compared(self, expected: Any, got: Any) -> list[Difference]:
        """How two answers differ in the places that are compared."""
        return [one for one in differences(expected, got, self.near) if not self._is_ignored(one.place)]

    def beside(self, answers: Iterable[tuple[int, Any]]) -> Reference:
        """With what the same rows gave in other processes."""
        return replace(self, elsewhere=self._others(answers))

    def after(self, answers: Sequence[tuple[int, Any]]) -> Reference:
        """With what the same rows gave once more, after a trial whose answers differ."""
        found = self._others(answers)
        return replace(self, later=self.later | found, upheld=bool(answers) and not found)

    def _others(self, answers: Iterable[tuple[int, Any]]) -> frozenset[Place]:
        """The places that are compared so far and in which these answers differ."""
        known = ((self.answers[row], got) for row, got in answers if row in self.answers)
        return frozenset(one.place for expected, got in known for one in self._compared(expected, got))

    @cached_property
    def _left_out(self) -> frozenset[Place]:
        return self.ignored | self.elsewhere | self.later

    def _is_ignored(self, place: Place) -> bool:
        return any(_holds(each, place) for each in self._left_out)

    def said(self) -> list[str]:
        """What is not compared, and what could not be seen: a sentence each."""
        said = []
        if self.ignored:
            said.append(f"not compared, for it differs {CALLS}: {listed(self.ignored)}")
        if self.elsewhere:
            said.append(f"not compared, for it differs {PROCESSES}: {listed(self.elsewhere)}")
        if self.usable and self._is_one():
            rows = f"all {len(self.answers)} rows have the same answer" if len(self.answers) > 1 else "one row has an answer"
            said.append(f"{rows}: an answer that another request got could not be seen; --args with different ones shows it")
        return said

    def _is_one(self) -> bool:
        first, *others = self.answers.values()
        return not any(self._compared(first, other) for other in others)

    def coverage(self) -> str:
        """'3 of 4 fields in 120 of 120 answers', of those since `begin`, and what is left out; '' if there were none."""
        answers = self.compared.total()
        what = f"{len(self.left)} of {len(self.fields)} fields" if self.left != self.fields else "the whole answer"
        within = f", numbers within {100 * self.near.rtol:g} %" if self.near.largest.keys() & self.left else ""
        reasons = ((CALLS, self.ignored), (PROCESSES, self.elsewhere), (LATER, self.later))
        without = "".join(f"; left out, for they differ {why}: {listed(places)}" for why, places in reasons if places)
        return f"{what} in {self.compared[True]} of {answers} answers{within}{without}" if answers else ""


def _holds(outer: Place, place: Place) -> bool:
    """Whether a place is the outer one, or lies in it; ANY stands for every position."""
    pairs = zip(outer, place, strict=False)
    return len(outer) <= len(place) and all(one == other or ANY in (one, other) for one, other in pairs)


def listed(places: Iterable[Place]) -> str:
    return ", ".join(sorted(map(named, places)))


def named(place: Place) -> str:
    """'result.total'."""
    return ".".join(("result", *place))


def reference(answers: Iterable[tuple[int, Any]], rtol: float = RTOL) -> Reference:
    """From (row, result) of all serial calls, in order."""
    first: dict[int, Any] = {}
    again: list[tuple[int, Any]] = []
    for row, result in answers:
        if row in first:
            again.append((row, result))
        else:
            first[row] = result
    near = Tolerance(rtol=rtol, largest=largest(first.values()))
    ignored = {place for row, result in again for place, *_ in differences(first[row], result, near)}
    return Reference(answers=first, ignored=frozenset(ignored), near=near)


@dataclass(frozen=True, kw_only=True)
class Expression:
    """The user's own `--check`: true for a right answer. It knows `result`, `args`, `kwargs`, `row` and `math`."""

    text: str
    rows: Sequence[Any]

    def __call__(self, row: int, result: Any) -> tuple[bool, float]:
        args, kwargs = their_app.arguments(self.rows[row])  # type: ignore[no-untyped-call]
        known = {"result": result, "args": args, "kwargs": kwargs, "row": row, "math": math}
        try:
            right = bool(eval(self.text, {"__builtins__": __builtins__, **known}))  # noqa: S307 - typed by who runs it
        except Exception:  # whatever an answer of another form does to it
            right = False
        return right, 0.0 if right else math.inf


def anything(row: int, result: Any) -> tuple[bool, float]:
    """No check: whatever came back counts as right, and the record says that it was not checked."""
    return True, 0.0
