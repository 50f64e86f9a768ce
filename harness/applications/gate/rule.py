"""When a gate has seen enough: outcomes first, then pace, by pairs of trials that ran by turns. Pure.

*Outcomes.* Worse, if every trial of the head failed and none of the base, with CONFIRMED of each. By chance that happens in
6 % of gates at the most (if half of all workers fail anyway; in 0.8 % if one in ten does). A head of which some trials fail is
held against the base by the pairs in which one side alone failed (`_fails_more`), after each pair. If both fail, or the base
alone, there is no pace to compare.

*Pace.* Of each pair whose trials were both answered: the logarithm of the base's requests per second over the head's. Its mean
is the slow-down; `certainty.sequential` gives the interval, which may be looked at after each pair. Worse, if all of it lies
above `tolerance`; passes, if all of it lies below `matters`.

*CPU and time.* Beside other programs the pace of single trials differs by tens of per cent. The CPU time of a request, and how
long it keeps its executor without waits for a core (`measure.own_time`), differ by far less. So a head is worse, too, if a
request takes more of one of them by more than `tolerance`. It never passes by them alone: what is slow between requests shows
in neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from harness.certainty import sequential
from harness.records.outcomes import ANSWERED, NOT_JUDGED, Outcome

CONFIRMED = 2  # trials of each side that end alike before an outcome decides
BASE, HEAD, BOTH = "base", "head", "both"
FIGURES = 3  # of each pool, that can make it worse: pace, CPU time, and time of an executor
MOST_UNJUDGED = 3  # trials of a side of which nobody can say how they ended, before the gate gives up


class Word(StrEnum):
    PASSES = "passes"
    WORSE = "worse"
    CANNOT_SAY = "cannot say"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Slow-downs as shares of the base's pace: 0.02 is a pace of 98 %. `confidence`: that no word is wrong."""

    tolerance: float = 0.02
    matters: float = 0.10
    confidence: float = 0.95

    def among(self, pools: int) -> Rule:
        """The rule for each figure of so many pools: one wrong word or more is no likelier than for one figure (Bonferroni). A
        word is wrong at one end of an interval only: *worse* at the lower one, *passes* at the upper one. So each end is given
        the error that a figure may have."""
        return replace(self, confidence=1 - 2 * (1 - self.confidence) / (pools * FIGURES))


@dataclass(frozen=True, kw_only=True)
class Trial:
    """`pace_per_s`: requests per second; None if it was not answered, or its figures cannot be used (`unusable`).
    `cpu_s`: the worker's core-seconds per request; `own_s`: how long one keeps its executor, see `own_time`; `others_share`: of
    the cores, that others kept from us, and `ours_share`, that the trial used itself; None likewise."""

    outcome: Outcome
    reason: str = ""
    evidence: str = ""
    seconds: float = 0.0
    pace_per_s: float | None = None
    cpu_s: float | None = None
    own_s: float | None = None
    others_share: float | None = None
    ours_share: float | None = None
    unusable: str = ""

    @property
    def judged(self) -> bool:
        return self.outcome not in NOT_JUDGED

    @property
    def failed(self) -> bool:
        return self.judged and self.outcome not in ANSWERED


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two trials, one right after the other, or both at once. `first`: the side that ran first, or `BOTH`."""

    base: Trial
    head: Trial
    first: str = BASE

    @property
    def seconds(self) -> float:
        """Of wall time, that the pair took."""
        each = self.base.seconds, self.head.seconds
        return max(each) if self.first == BOTH else sum(each)

    @property
    def slowdown(self) -> float | None:
        """The logarithm of the base's pace over the head's; above 0 if the head is slower."""
        return _log_ratio(self.base.pace_per_s, self.head.pace_per_s)

    @property
    def dearer(self) -> float | None:
        """The logarithm of the head's CPU time per request over the base's; above 0 if the head takes more."""
        return _log_ratio(self.head.cpu_s, self.base.cpu_s)

    @property
    def longer(self) -> float | None:
        """The logarithm of how long a request of the head keeps its executor over one of the base; above 0 if it is longer."""
        return _log_ratio(self.head.own_s, self.base.own_s)


def _log_ratio(one: float | None, other: float | None) -> float | None:
    return math.log(one / other) if one and other else None


@dataclass(frozen=True, kw_only=True)
class Span:
    """A change and its interval, as shares of the base's figure: a pace that falls by `middle`, a time that rises by it."""

    middle: float
    low: float
    high: float
    confidence: float

    def shown(self, more: str, less: str) -> str:
        """'11.2 % slower (8.1 % to 14.3 %, at 97.5 %)'; an end below 0 is on the other side."""
        word, ends = more if self.middle >= 0 else less, f"{self.low * 100:.1f} % to {self.high * 100:.1f} %"
        return f"{abs(self.middle) * 100:.1f} % {word} ({ends} {more}, at {self.confidence * 100:.4g} %)"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`by`: 'outcome', 'pace', 'cpu', 'time', or '' if there was nothing to go by. `pace`: by how much the head is slower;
    `cpu` and `time`: by how much more CPU time a request takes, and how much longer it keeps its executor; None as long as
    there are too few pairs. `decided`: no further pair is needed."""

    word: Word
    by: str
    reason: str
    decided: bool
    pace: Span | None = None
    cpu: Span | None = None
    time: Span | None = None


NOTHING = Decision(word=Word.CANNOT_SAY, by="", reason="there was no time for a pair of trials", decided=False)


def decide(pairs: Sequence[Pair], rule: Rule) -> Decision:
    """What these pairs of one pool say. `rule`: for this pool, see `Rule.among`."""
    return _by_outcome(pairs, rule) or _by_pace(pairs, rule)


def _by_outcome(pairs: Sequence[Pair], rule: Rule) -> Decision | None:
    """None if outcomes decide nothing, and pace may."""
    base, head = ([one for one in side if one.judged] for side in ([p.base for p in pairs], [p.head for p in pairs]))

    def told(word: Word, reason: str, *, decided: bool = True) -> Decision:
        return Decision(word=word, by="outcome", reason=reason, decided=decided)

    for name, side, all_ in (("base", base, [p.base for p in pairs]), ("head", head, [p.head for p in pairs])):
        if len(all_) - len(side) >= MOST_UNJUDGED:
            last = next(one for one in reversed(all_) if not one.judged)
            return told(
                Word.CANNOT_SAY, f"{name}: {len(all_) - len(side)} trials could not be judged ({last.outcome}: {last.reason})"
            )
    if min(len(base), len(head)) < CONFIRMED:
        return None if not any(one.failed for one in [*base, *head]) else told(
            Word.CANNOT_SAY, f"{_counts(base, head)}: to be confirmed by a second trial", decided=False
        )  # fmt: skip
    failed = sum(one.failed for one in base), sum(one.failed for one in head)
    if failed[1] == len(head) and not failed[0]:
        return told(Word.WORSE, f"{_counts(base, head)}: {_last(head)}")
    if failed[0] == len(base) and failed[1] == len(head):
        return told(
            Word.CANNOT_SAY, f"both sides fail, so there is nothing to compare: {_counts(base, head)}; head: {_last(head)}"
        )
    if failed[0] == len(base) and not failed[1]:
        return told(Word.PASSES, f"{_counts(base, head)}: only the base fails")
    if _fails_more(pairs, rule.confidence):
        return told(Word.WORSE, f"{_counts(base, head)}: the head fails more often; {_last(head)}")
    if failed[1] > failed[0]:
        return told(Word.CANNOT_SAY, f"{_counts(base, head)}: too few to tell from chance; {_last(head)}", decided=False)
    return None


def _fails_more(pairs: Sequence[Pair], confidence: float) -> bool:
    """Whether the pairs in which one side alone failed say that the head does so more often.

    If both fail alike, each such pair is a fair coin. Betting on the head with every odds from even to certain, in equal parts,
    is a fair game then: that it ever wins 1 / (1 - confidence) times the stake is no likelier than 1 - confidence (Ville).
    """
    alone = [
        pair.head.failed for pair in pairs if pair.base.judged and pair.head.judged and pair.base.failed != pair.head.failed
    ]
    heads, tails = sum(alone), len(alone) - sum(alone)
    if not alone:
        return False
    from scipy.special import betainc, betaln  # takes most of a second to import, and most gates need none of it

    share = 1 - float(betainc(heads + 1, tails + 1, 0.5))
    won = math.log(2) * (len(alone) + 1) + float(betaln(heads + 1, tails + 1)) + math.log(share)
    return won >= -math.log(1 - confidence)


def _by_pace(pairs: Sequence[Pair], rule: Rule) -> Decision:
    """By the pace; by what a request takes if the pace is open."""
    pace = _span([pair.slowdown for pair in pairs], _falls, rule.confidence)
    cpu = _span([pair.dearer for pair in pairs], math.expm1, rule.confidence)
    time = _span([pair.longer for pair in pairs], math.expm1, rule.confidence)
    found = Decision(word=Word.CANNOT_SAY, by="pace", reason="", decided=False, pace=pace, cpu=cpu, time=time)
    if pace is None:
        return replace(found, reason=_open(pairs))
    slower, tolerated = pace.shown("slower", "faster"), percent(rule.tolerance)
    if pace.low > rule.tolerance:
        return replace(found, word=Word.WORSE, decided=True, reason=f"{slower}: more than the {tolerated} that is tolerated")
    if pace.high < rule.matters:
        told = f"{slower}: less than the {percent(rule.matters)} that matters"
        return replace(found, word=Word.PASSES, decided=True, reason=told)
    others = [("cpu", cpu, _of_cpu(cpu)), ("time", time, _of_time(time))]
    for by, span, told in others:
        if span and span.low > rule.tolerance:
            reason = f"{told}: more than the {tolerated} that is tolerated; pace: {slower}"
            return replace(found, word=Word.WORSE, by=by, decided=True, reason=reason)
    return replace(found, reason="; ".join([f"{slower}: not told yet", *(told for _, span, told in others if span)]))


def _of_cpu(span: Span | None) -> str:
    return f"a request takes {span.shown('more CPU', 'less CPU')}" if span else ""


def _of_time(span: Span | None) -> str:
    return f"a request takes {span.shown('more time', 'less time')} without its waits for a core" if span else ""


def _span(values: Sequence[float | None], share: Callable[[float], float], confidence: float) -> Span | None:
    """None if there are too few values."""
    logs = sequential.mean_of([value for value in values if value is not None], confidence)
    if not math.isfinite(logs.low):
        return None
    return Span(middle=share(logs.mean), low=share(logs.low), high=share(logs.high), confidence=confidence)


def _open(pairs: Sequence[Pair]) -> str:
    known = sum(pair.slowdown is not None for pair in pairs)
    if len(pairs) == known:
        return f"too few pairs of trials: {known}"
    spoiled = next(
        (one.unusable or one.reason for pair in pairs for one in (pair.base, pair.head) if one.pace_per_s is None), ""
    )
    return f"only {known} of {len(pairs)} pairs have figures: {spoiled}"


def _counts(base: Sequence[Trial], head: Sequence[Trial]) -> str:
    """'base ok 2, head hung 2'."""
    return ", ".join(f"{name} {tally(side)}" for name, side in (("base", base), ("head", head)))


def tally(side: Sequence[Trial]) -> str:
    """'ok 4, hung 1'."""
    words = list(dict.fromkeys(one.outcome for one in side))
    return ", ".join(f"{word} {sum(one.outcome is word for one in side)}" for word in words) or "none"


def _last(side: Sequence[Trial]) -> str:
    return next((one.reason for one in reversed(side) if one.failed), "")


def _falls(log: float) -> float:
    """A slow-down as a share of the base's pace."""
    return -math.expm1(-log)


def percent(share: float) -> str:
    """'3 %', '2.5 %'."""
    return f"{share * 100:.3g} %"
