"""Where two answers differ, and by how much: places in a JSON value, and what of a number's gap is none. Pure.

The entries of a list share one place, for their number and their order may differ; those of a short list of several kinds, as a
label with its score, have one each. A text that is an object or a list in JSON (`return json.dumps(answer)`) has the places of
that. In a mix, each task has places of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

from harness.experiment.mix import Mix

RTOL = 1e-3  # of a number that is expected, if --tolerance names no other
NEAR_ZERO = 1e-2  # of that, of the largest number at the same place
A_RECORD = 8  # entries that a list of several kinds has at most, if each is to have a place of its own
FAR = 1e300  # beyond, an integer is no number of the tables any more
TEXTS = 4096  # that are kept as what they say
ANY = "*"  # in a place's path: whatever index
Place = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a number may be off: `rtol` of the expected one; `largest`: magnitude by place, 1 if it is not known."""

    rtol: float = RTOL
    largest: Mapping[Place, float] = field(default_factory=dict)

    def allows(self, place: Place, expected: float, gap: float) -> bool:
        return math.isfinite(gap) and gap <= self.rtol * (abs(expected) + NEAR_ZERO * self.largest.get(place, 1.0))


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
    elif expected != got and (inner := _unfolded(expected)) is not expected and (other := _unfolded(got)) is not got:
        yield from differences(inner, other, near, place)
    elif type(expected) is not type(got) or expected != got:
        yield Difference(place, math.inf, expected, got)


def is_blend(
    one: Any, other: Any, got: Any, near: Tolerance, place: Place = (), ignored: Callable[[Place], bool] = lambda place: False
) -> bool:
    """Whether a JSON value is, in each of its places, that of one or of the other.

    >>> near = Tolerance(rtol=1e-6)
    >>> is_blend({"a": 1.5, "b": 2.5}, {"a": 3.5, "b": 4.5}, {"a": 1.5, "b": 4.5}, near)
    True
    >>> is_blend([1.5], [2.5], [2.4], near)
    False
    """
    if ignored(place):
        return True
    one, other, got = map(_unfolded, (one, other, got))
    if isinstance(got, dict) and isinstance(one, dict) and isinstance(other, dict) and got.keys() == one.keys() == other.keys():
        return all(is_blend(one[name], other[name], got[name], near, (*place, name), ignored) for name in got)
    if isinstance(got, list) and isinstance(one, list) and isinstance(other, list) and len(got) == len(one) == len(other):
        entries = zip(_names(one), one, other, got, strict=False)
        return all(is_blend(first, second, third, near, (*place, name), ignored) for name, first, second, third in entries)
    return any(next(differences(each, got, near, place), None) is None for each in (one, other))


def leaves(value: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The places of a JSON value that hold no others, and what they hold; an empty list or object is one.

    >>> list(leaves({"a": [1, 2], "b": []}))
    [(('a', '*'), 1), (('a', '*'), 2), (('b',), [])]
    >>> list(leaves(["cat", 0.9]))
    [(('0',), 'cat'), (('1',), 0.9)]
    >>> list(leaves('{"a": 1}'))
    [(('a',), 1)]
    """
    value = _unfolded(value)
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from leaves(one, (*place, name))
    elif isinstance(value, list) and value:
        for name, one in zip(_names(value), value, strict=False):
            yield from leaves(one, (*place, name))
    else:
        yield place, value


def _unfolded(value: Any) -> Any:
    """What a text says, if it is an object or a list in JSON that holds something; any other value as it is."""
    return _said(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


@lru_cache(maxsize=TEXTS)
def _said(text: str) -> Any:
    try:
        return json.loads(text) or text
    except (ValueError, RecursionError):
        return text


def _names(entries: Sequence[Any]) -> Iterable[str]:
    """What the entries of a list are called in a place's path."""
    if len(entries) <= A_RECORD and len({_kind(one) for one in entries}) > 1:
        return map(str, range(len(entries)))
    return repeat(ANY)


def _kind(value: Any) -> type:
    return float if _is_number(value) else type(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class OfTask(str):
    """The first part of a place in an answer of a task of a mix: its name. What one task answers says nothing of another."""


def root(row: int, mix: Mix | None) -> Place:
    """Where the places of a row's answer begin."""
    return (OfTask(mix.task_of(row)),) if mix else ()


def largest(answers: Mapping[int, Any], mix: Mix | None = None) -> dict[Place, float]:
    """The largest magnitude of a number at each place; places of zeros alone are left out."""
    found: dict[Place, float] = {}
    for row, answer in answers.items():
        for place, value in leaves(answer, root(row, mix)):
            if _is_number(value) and 0 < abs(value) < FAR:
                found[place] = max(found.get(place, 0.0), abs(float(value)))
    return found
