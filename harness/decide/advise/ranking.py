"""From configurations to advice. Pure.

The best are a *set*: the fastest that keeps every bound, and all that cannot be told from it by the rule of
`certainty.comparison`; where a cell was run fewer than three times, how much fresh workers differ is unknown, and whatever is
within FEW_TRIALS of the fastest, or overlaps with its interval, counts as not told apart. Of the set, those within FEW_TRIALS
of the fastest come first, the smallest memory leading; of those that need as much within FACTOR, the fastest. So one that is
far slower by the middle of its trials is not advised because the trials are few, nor a slower one for 1 MiB. The goal is rows
a second, so that batches are compared fairly.
A sibling (one thread for each native library) that brought its pool nothing is not advised.

Hardly anybody can change the engine, so each engine has advice of its own (`engines`); across them, one that is past its end of
life (`ends`) is not advised if another one serves.

If what Celery costs per request decides (`overhead`) and several serve, there is no best: the paces are those of Celery's own
work, and a pool that is ahead in it is not ahead for the task. Nor is there one if the task's own rate limit decides, or what
requests wait for while nobody works.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from harness.certainty import comparison
from harness.certainty.comparison import FACTOR, FEW_TRIALS, LEAST, Comparison, compare
from harness.decide.advise import settings
from harness.decide.advise.candidates import Candidate, comparable, held
from harness.decide.advise.constraints import HANG_RATE, Bound, latency_bound, memory_bound
from harness.decide.advise.overhead import busy, limited, overhead, waited
from harness.measure.figures import PERCENTILES
from harness.records.outcomes import Outcome
from harness.run.plan import FAILS_ALONE, NOT_BOUGHT
from harness.summary import sibling
from harness.summary.hang_rate import HangRate, clean_trials_for
from harness.texts import few

SPREAD = 8.0  # between the paces of pools by their overhead alone; 4 were seen (160 to 650 a second)
LIMITED = 2.0  # likewise, by a rate limit: Celery's bucket lets a burst through first, and a short trial ends soon after
REPEAT = 5
RARE = 0.05  # of workers: a kind that is rarer is not asked for
AGAIN = "measure again, --retry invalid (after harness tune: the same command)"  # tune has no such option: it always does so


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """`change` of what is asked for, and the answer that it would give."""

    change: str
    then: str
    candidate: Candidate | None


@dataclass(frozen=True, kw_only=True)
class Advice:
    """For one model and traffic. `best`: those that cannot be told from the fastest, see above for their order; empty if the
    data support no advice, then `measure` says why. `overhead`: a sentence, if what Celery costs per request decides, or '';
    `alike`: then all that keep the bounds and are as fast as that lets them be, if there are several, the smallest memory
    first, and none is the best; others are `slower`."""

    workload: str
    traffic: str
    bounds: tuple[Bound, ...]
    best: tuple[Candidate, ...]
    runner_up: Candidate | None
    slower: tuple[Candidate, ...]  # than the runner-up
    behind: Comparison | None  # the runner-up to the best
    sensitivity: tuple[Sensitivity, ...]
    vetoed: tuple[Candidate, ...]
    unfit: tuple[Candidate, ...]
    unknown: tuple[Candidate, ...]
    unused: tuple[Candidate, ...]  # neither vetoed nor measured: slow, unchecked, invalid
    measure: tuple[str, ...]
    overhead: str = ""
    limited: str = ""  # likewise, if the task's own rate limit decides
    waited: str = ""  # likewise, if what requests are put off for does
    alike: tuple[Candidate, ...] = ()
    unbought: tuple[str, ...] = ()  # pools, or cells of a pool, for which there was no time within the budget
    siblings: tuple[str, ...] = ()  # a sentence each: what one thread for each native library brought
    engine: str = ""  # of one engine's own advice
    ended: str = ""  # that this engine is past its end of life, in words
    engines: tuple[Advice, ...] = ()  # if several were measured: of each

    @property
    def provisional(self) -> bool:
        """It rests on fewer trials a cell than can tell any two apart."""
        return any(len(one.paces) < LEAST for one in self.best)

    @property
    def shown(self) -> Candidate | None:
        """The one whose settings are printed; None if nothing can be advised."""
        return next(iter((*self.best, *self.alike)), None)


def advise(candidates: Iterable[Candidate], bounds: Sequence[Bound]) -> list[Advice]:
    """One piece of advice for each model and traffic, in the order of the cells."""
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        groups.setdefault(one.question, []).append(one)
    return [_by_engine(group, tuple(bounds)) for group in groups.values()]


def _by_engine(group: Sequence[Candidate], bounds: tuple[Bound, ...]) -> Advice:
    """Of each engine, if there are several, and across them."""
    engines: dict[str, list[Candidate]] = {}
    for one in group:
        engines.setdefault(one.cell.backend, []).append(one)
    if len(engines) == 1:
        return _advice(group, group, bounds)
    maintained = [one for one in group if not one.ended]
    leading = maintained if any(one.fit for one in maintained) else group
    each = (replace(_advice(own, own, bounds), engine=name, ended=own[0].ended) for name, own in engines.items())
    return replace(_advice(leading, group, bounds), engines=tuple(each))


def _advice(leading: Sequence[Candidate], group: Sequence[Candidate], bounds: tuple[Bound, ...]) -> Advice:
    """`leading`: of the group, those of which one may be advised."""
    fit = tuple(_useful([one for one in leading if one.fit]))
    bound = limited(_near(fit, LIMITED))
    waits = "" if bound else waited(_near(fit, LIMITED))
    near = _near(fit, LIMITED if bound or waits else SPREAD)
    decides = "" if bound or waits else overhead(near)
    alike = tuple(sorted(near, key=_memory)) if (bound or waits or decides) and len(near) > 1 else ()
    ranked = sorted((one for one in fit if one not in alike), key=lambda one: -one.rows_per_s)
    best = [] if alike else _in_order([one for one in ranked if not told_apart(ranked[0], one)])
    rest = [one for one in ranked if one not in best]
    second = rest[0] if rest and not alike else None
    unknown = tuple(one for one in group if one.measured and one.unknown and not one.broken)
    workload, traffic = group[0].question
    loosened = () if alike else tuple(_loosened(leading, None, bounds))
    return Advice(
        workload=workload, traffic=traffic, bounds=bounds, best=tuple(best), runner_up=second,
        slower=tuple(one for one in rest if one is not second),
        behind=compare(ranked[0].paces, second.paces) if second else None, overhead=decides, alike=alike,
        limited=bound, waited=waits,
        siblings=tuple(_siblings(group)), unbought=tuple(_unbought(group)),
        sensitivity=tuple(_sensitivity(leading, best[0], bounds)) if best else loosened,
        vetoed=tuple(sorted((one for one in group if one.vetoed), key=lambda one: not one.atlas)),
        unfit=tuple(one for one in group if one.measured and one.broken),
        unknown=unknown, unused=tuple(one for one in group if one.unused),
        measure=(*_measure(group, best, unknown), *_unseen(alike or best, bounds)),
    )  # fmt: skip


def _near(fit: Sequence[Candidate], spread: float) -> list[Candidate]:
    """Those that are no further behind the fastest than what decides may put a pool. What is slower has another reason; so has
    a slower pool whose executors the task keeps busy: in greenlets beside other programs, a task of 0.1 ms took 32 ms."""
    pace = {one.id: one.row["throughput_per_s"] or 0.0 for one in fit}
    fastest = max(pace.values(), default=0.0)
    return [one for one in fit if pace[one.id] == fastest or (spread * pace[one.id] >= fastest and not busy(one))]


def _in_order(ranked: Sequence[Candidate]) -> list[Candidate]:
    """`ranked`: by pace, none told from the first. See above."""
    near = [one for one in ranked if one.rows_per_s * FEW_TRIALS >= ranked[0].rows_per_s]
    least = min(map(_memory, near), default=0.0)
    small = [one for one in near if _memory(one) <= FACTOR * least]
    return [*small, *sorted((one for one in near if one not in small), key=_memory), *ranked[len(near) :]]


def _memory(one: Candidate) -> float:
    peak = one.row["peak_pss_bytes"]
    return math.inf if peak is None else float(peak)


def told_apart(first: Candidate, other: Candidate) -> bool:
    """Whether the other one is really slower. With few trials, what was seen of both must not overlap, either."""
    if first is other or not comparison.told_apart(first.paces, other.paces):
        return False
    few_trials = min(len(first.paces), len(other.paces)) < LEAST
    return not few_trials or first.seen[0] > other.seen[1]


def _plain(one: Candidate, group: Iterable[Candidate]) -> Candidate | None:
    """Beside which it was measured, if it is a sibling."""
    return next((other for other in group if other.cell == one.cell.plain), None)


def _useful(fit: Sequence[Candidate]) -> list[Candidate]:
    """All but the siblings that brought nothing to a cell which is fit, too."""
    beside = [(one, _plain(one, fit)) for one in fit]
    return [one for one, plain in beside if plain is None or sibling.helps(one.paces, plain.paces)]


def _unbought(group: Sequence[Candidate]) -> list[str]:
    """The names of the pools for which there was no time; of the cells, where others of their pool had some."""
    lacking = [one for one in group if one.reason.startswith(NOT_BOUGHT)]
    known = {one.cell.pool for one in group if one not in lacking}
    return list(dict.fromkeys(one.id if one.cell.pool in known else one.cell.pool for one in lacking))


def _siblings(group: Sequence[Candidate]) -> Iterable[str]:
    for one in group:
        plain = _plain(one, group)
        if plain and one.measured and (brought := sibling.brought(one.paces, plain.paces, plain.id)):
            given = ", ".join(f"{name}={value}" for name, value in settings.of(one.cell, one.application).variables.items())
            yield f"with {given}: {one.id} has {brought}"


def _sensitivity(group: Sequence[Candidate], winner: Candidate, bounds: tuple[Bound, ...]) -> Iterable[Sensitivity]:
    yield from _loosened(group, winner, bounds)
    for bound in _tighter(winner):
        known = tuple(one for one in bounds if one.name != bound.name)
        then = _fastest(group, (*known, bound))
        words = f"{then.id}, {_ratio(then, winner)} of the rows per second" if then else "nothing that was measured"
        yield Sensitivity(change=f"with {bound.name} below {bound.shown(bound.value)}", then=words, candidate=then)


def _loosened(group: Sequence[Candidate], winner: Candidate | None, bounds: tuple[Bound, ...]) -> Iterable[Sensitivity]:
    """What each bound costs: the answer without it."""
    for bound in bounds:
        then = _fastest(group, tuple(one for one in bounds if one is not bound))
        if then is None or (winner is not None and not told_apart(then, winner)):
            if winner is not None:
                yield Sensitivity(change=f"without {bound}", then="the same answer", candidate=winner)
            continue
        faster = f", {_ratio(then, winner)} of the rows per second" if winner is not None else ""
        yield Sensitivity(change=f"without {bound}", then=f"{then.id}{faster} ({_has(then, bound)})", candidate=then)


def _has(one: Candidate, bound: Bound) -> str:
    """What it has of what is bounded: as far as one more fresh worker may go, or what was seen."""
    figure, end = bound.read(one.row), bound.end(one.row)
    if end is not None and end != figure:
        return f"its {bound.name} may be {bound.shown(end)} in one more fresh worker"
    return f"its {bound.name} is {bound.shown(figure)}" if figure is not None else f"its {bound.name} is not known"


def _tighter(winner: Candidate) -> Iterable[Bound]:
    """Bounds that the winner just does not keep any more: from there on, the answer is another."""
    slightly, fresh = 1 - 1e-9, winner.row["fresh"]
    for name in reversed(PERCENTILES):
        if (value := fresh[name].end) is not None:
            yield latency_bound(name, value * slightly)
            break
    if (value := fresh["memory"].end) is not None:
        yield memory_bound(value * slightly)


def _fastest(group: Sequence[Candidate], bounds: tuple[Bound, ...]) -> Candidate | None:
    asked = (replace(one, broken=(kept := held(one.row, bounds))[0], unknown=kept[1]) for one in group)
    return max(_useful([one for one in asked if one.fit]), key=lambda one: one.rows_per_s, default=None)


def _ratio(one: Candidate, other: Candidate) -> str:
    return f"{one.rows_per_s / other.rows_per_s:.2f} x"


def _measure(group: Sequence[Candidate], best: Sequence[Candidate], unknown: Sequence[Candidate]) -> Iterable[str]:
    """What would make the advice better, or possible."""
    alone = [one.reason for one in group if one.outcome is Outcome.SKIPPED and one.reason.startswith(FAILS_ALONE)]
    if alone:
        yield f"{len(alone)} configuration{'s' if len(alone) > 1 else ''}: {alone[0]}"
    elif not any(one.measured or one.atlas for one in group):
        usable = f"with figures that can be used: {AGAIN}" if any(one.answers for one in group) else ""
        yield f"no configuration ended ok {usable or 'with figures: read the outcomes first'}"
    if unchecked := [one for one in group if one.outcome is Outcome.UNCHECKED]:
        named = few([one.id for one in unchecked])
        yield f"the answers of {named} were compared with nothing, or not in full, so none is advised: {comparable(unchecked)}"
    promising = [one for one in unknown if not best or one.rows_per_s > best[0].rows_per_s]
    lacking: dict[tuple[Bound, str], list[str]] = {}
    for one in promising:
        for bound in one.unknown:
            lacking.setdefault((bound, bound.lacks(one.row)), []).append(one.id)
    for (bound, lacks), names in lacking.items():
        yield f"whether {few(names)} keep{'s' if len(names) == 1 else ''} {bound} cannot be said: {lacks}"
    single = [one.id for one in best if len(one.paces) < LEAST]
    if single:
        yield f"fewer than {LEAST} trials of {few(single)}: --repeat {REPEAT} tells how much fresh workers differ"


def _unseen(best: Sequence[Candidate], bounds: Sequence[Bound]) -> Iterable[str]:
    """How many workers of a worse kind so few could have missed: no interval knows of a kind that was never met."""
    workers = min((len(one.paces) for one in best), default=0)
    wanted = clean_trials_for(RARE)
    if workers and workers < wanted and any(bound.name != HANG_RATE for bound in bounds):
        missed = HangRate(hung=0, judged=workers).below * 100
        yield (
            f"the bounds are held against {workers} fresh workers: a worse kind of worker could be {missed:.0f} % of all and "
            f"not be among them (95 %); --repeat {wanted} makes that {RARE * 100:.0f} %"
        )
