"""Find the release of a package, or the commit, at which a cell's outcome or pace changed, by halving. Pure: `measure` runs it.

If the ends are shown to end otherwise (`compare.outcomes`: by counts of trials, never by one trial), a candidate *is like* an
end whose counts its own are not shown to differ from. Else it is like an end if neither its outcomes nor its pace
(`comparison`) are shown to differ. One that cannot be had, or that is like neither end or both, is passed over, and the answer
names the gap that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.decide.bisect.measured import Measured
from harness.decide.compare import outcomes
from harness.errors import BadInput
from harness.records.outcomes import ANSWERED, NOT_JUDGED


@dataclass(frozen=True, kw_only=True)
class BisectAnswer:
    """`last_good` and `first_bad` enclose the change; candidates between them, if any, could not be told."""

    last_good: Measured
    first_bad: Measured
    between: tuple[str, ...]
    measured: tuple[Measured, ...]
    what: str


def search(versions: Sequence[str], measure: Callable[[str], Measured]) -> BisectAnswer:
    """Halve `versions`, ordered from good to bad. Raises BadInput where the ends do not differ or cannot be measured."""
    known = {end: _end(measure(end)) for end in (versions[0], versions[-1])}
    good, bad = known[versions[0]], known[versions[-1]]
    if bad.like(good):
        raise _alike(good, bad)
    low, high = 0, len(versions) - 1
    while (middle := _next(versions, low, high, known)) is not None:
        found = known[versions[middle]] = measure(versions[middle])
        is_good, is_bad = _like(found, good, bad)
        if is_good and not is_bad:
            low = middle
        elif is_bad and not is_good:
            high = middle
    measured = tuple(known[version] for version in versions if version in known)
    return BisectAnswer(
        last_good=known[versions[low]], first_bad=known[versions[high]], between=tuple(versions[low + 1 : high]),
        measured=measured, what=_what(good, bad),
    )  # fmt: skip


def _end(found: Measured) -> Measured:
    """Raises BadInput for one that could not be measured: nothing can be held against it."""
    if found.outcome is None or found.outcome in NOT_JUDGED:
        raise BadInput(
            f"{found.shown} could not be measured: {found.reason}", remedy=found.remedy or "name another one as this end",
            evidence=found.evidence,
        )  # fmt: skip
    return found


def _alike(good: Measured, bad: Measured) -> BadInput:
    """That there is nothing to search for: outcomes first, for what never answers has no pace."""
    counts = f"{outcomes.tally(good.ended)} and {outcomes.tally(bad.ended)}"
    if not any(one in ANSWERED for one in (*good.ended, *bad.ended)):
        return BadInput(
            f"{good.shown} and {bad.shown} both fail, and are not shown to differ in how: {counts}; --good is no good end: "
            f"{good.reason}",
            remedy="name an end that answers as --good, such as an older one; or mend what keeps both from answering",
            evidence=good.evidence,
        )  # fmt: skip
    more = 2 * max(len(good.ended), len(bad.ended))
    return BadInput(
        f"{good.version} and {bad.version} are not shown to differ: {counts}; pace: {bad.difference(good).reason}",
        remedy=f"more trials (--repeat {more}) tell smaller differences; or name other ends",
    )


def _like(found: Measured, good: Measured, bad: Measured) -> tuple[bool, bool]:
    """Whether a candidate is like the good end, and whether it is like the bad one."""
    if found.outcome is None:
        return False, False
    if not good.ends_like(bad):
        return found.ends_like(good), found.ends_like(bad)
    return found.like(good), found.like(bad)


def _next(versions: Sequence[str], low: int, high: int, known: dict[str, Measured]) -> int | None:
    """The candidate nearest to the middle that has not been measured."""
    middle = (low + high) / 2
    open_ = [place for place in range(low + 1, high) if versions[place] not in known]
    return min(open_, key=lambda place: abs(place - middle), default=None)


def _what(good: Measured, bad: Measured) -> str:
    if not good.ends_like(bad):
        words = f"outcome {good.outcome} -> {bad.outcome}" if good.outcome is not bad.outcome else f"how often {bad.outcome}"
        return f"{words} ({outcomes.tally(good.ended)} -> {outcomes.tally(bad.ended)})"
    return f"pace, {bad.difference(good).reason}"
