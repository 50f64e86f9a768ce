"""What a right answer is: one that a user's expression says is right, or one like that of a serial call. Pure.

Two serial calls with the same arguments may differ, in a time or an id: such places are left out of the comparison, in all
rows. Where the whole answer differs, nothing is left to compare.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.worker import their_app

RTOL, ATOL = 1e-3, 1e-5  # of numbers: threads add up floats in another order
FAR = 1e300  # beyond, an integer is no number of the tables any more
ANY = "*"  # in a place's path: whatever index
Place = tuple[str, ...]


class AnswerCheck(Protocol):
    """Whether an answer to the row is right, and how far off it is: 0 if it is right, inf where no number tells."""

    def __call__(self, row: int, result: Any) -> tuple[bool, float]: ...


def differences(expected: Any, got: Any, place: Place = ()) -> Iterator[tuple[Place, float]]:
    """The places in which two JSON values differ, and by how much."""
    if isinstance(expected, int) and isinstance(got, int):  # a class or an id, not a measure: the next one is another
        if type(expected) is not type(got) or expected != got:
            gap = abs(got - expected)
            yield place, float(gap) if 0 < gap < FAR else math.inf
    elif _is_number(expected) and _is_number(got):
        gap = abs(got - expected)
        same = got == expected or (math.isnan(got) and math.isnan(expected))
        if not same and not gap <= ATOL + RTOL * abs(expected):
            yield place, gap if math.isfinite(gap) else math.inf
    elif isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for name, value in expected.items():
            yield from differences(value, got[name], (*place, name))
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for value, other in zip(expected, got, strict=True):
            yield from differences(value, other, (*place, ANY))
    elif type(expected) is not type(got) or expected != got:
        yield place, math.inf


def places(value: Any, place: Place = ()) -> Iterator[Place]:
    """The places of a JSON value that hold no others; an empty list or object is one.

    >>> list(places({"a": [1, 2], "b": []}))
    [('a', '*'), ('a', '*'), ('b',)]
    """
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from places(one, (*place, name))
    elif isinstance(value, list) and value:
        for one in value:
            yield from places(one, (*place, ANY))
    else:
        yield place


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Answers of serial calls, by row; `ignored`: places in which they differ from call to call."""

    answers: Mapping[int, Any]
    ignored: frozenset[Place]
    differed: Counter[Place] = field(default_factory=Counter, compare=False)  # where answers did, and how often

    @property
    def usable(self) -> bool:
        """Whether a place of some answer is left to compare."""
        return any(not self._is_ignored(place) for answer in self.answers.values() for place in places(answer))

    def __call__(self, row: int, result: Any) -> tuple[bool, float]:
        if row not in self.answers:  # the serial call raised: there is nothing to compare with
            return True, 0.0
        found = [(place, gap) for place, gap in differences(self.answers[row], result) if not self._is_ignored(place)]
        self.differed.update({place for place, _ in found})
        return not found, max((gap for _, gap in found), default=0.0)

    def _is_ignored(self, place: Place) -> bool:
        return any(place[: len(each)] == each for each in self.ignored)

    def said(self) -> str:
        """What is not compared, '' if everything is."""
        places = sorted(map(named, self.ignored))
        return f"not compared, for it differs from call to call: {', '.join(places)}" if places else ""


def named(place: Place) -> str:
    """'result.total'."""
    return ".".join(("result", *place))


def reference(answers: Iterable[tuple[int, Any]]) -> Reference:
    """From (row, result) of all serial calls, in order."""
    first: dict[int, Any] = {}
    ignored = set[Place]()
    for row, result in answers:
        if row in first:
            ignored |= {place for place, _ in differences(first[row], result)}
        else:
            first[row] = result
    return Reference(answers=first, ignored=frozenset(ignored))


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
