"""A whole gate: two checkouts, two sides, pairs of trials until the rule has seen enough or the time is used up.

The trials of a pair take turns, in an order that chance makes; each has the machine as a worker of the user's would have it. Or
they run at once: then both meet the same neighbours at the same moment, and much smaller slow-downs are seen beside them. But
they share the cores with each other, and a side with more threads than the other gets more of them.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from harness.applications.gate import checkouts, rule, sides
from harness.applications.gate.checkouts import Commit, Repository
from harness.applications.gate.order import NAMES, GateOrder
from harness.applications.gate.rule import BASE, BOTH, HEAD, Decision, Pair, Rule, Trial, Word
from harness.applications.gate.sides import Side
from harness.applications.probe.order import ProbeOrder
from harness.errors import Interrupted
from harness.experiment import seeds
from harness.experiment.pools import POOLS
from harness.records.store import now
from harness.run import opening, workflow
from harness.run.opening import Opened
from harness.texts import portable

FILE, LOG = "gate.json", "head.log"
RunTrial = Callable[[str, int, int], Trial | None]  # of a side, in the pool of this place, with this number
RunPair = Callable[[int, int], Pair | None]  # in the pool of this place, with this number


class Screen(workflow.Screen, Protocol):
    """What a gate tells a person beside what a run does."""

    def paired(self, pool: str, pair: Pair, decision: Decision) -> None:
        """A pair ended, and what all pairs of the pool say now."""


@dataclass(kw_only=True)
class PoolAnswer:
    """One pool's pairs, and what they say. `name`: 'prefork', or 'prefork -> threads' if the change is of the pool."""

    name: str
    pairs: list[Pair] = field(default_factory=list)
    decision: Decision = rule.NOTHING
    evidence: str = ""  # in the gate's folder, of a head that could not be run at all


@dataclass(frozen=True, kw_only=True)
class GateAnswer:
    """`seconds`: of wall time, in all. `started`: ISO 8601."""

    word: Word
    base: Commit
    head: Commit
    pools: tuple[PoolAnswer, ...]
    order: GateOrder
    notes: tuple[str, ...]
    started: str
    seconds: float

    @property
    def decides(self) -> PoolAnswer:
        """The pool whose word is the gate's."""
        return next(one for one in self.pools if one.decision.word is self.word)


def run(order: GateOrder, screen: Screen) -> GateAnswer:
    """Raises BadInput, HarnessError; Interrupted after a Ctrl-C, with the trials kept."""
    try:
        return _run(order, screen)
    except Interrupted as error:
        where = ", ".join(str(order.out / name) for name in NAMES)
        raise Interrupted(
            "stopped on request, so nothing was decided", remedy=f"a gate begins anew; its trials: {where}"
        ) from error


def _run(order: GateOrder, screen: Screen) -> GateAnswer:
    began, started = time.monotonic(), now()
    repository = checkouts.repository(order.probe.folder)
    base, head = repository.commit("--base", order.base), repository.commit("--head", order.head)
    links = repository.linked(order.links)
    notes = repository.said(base, head, links)
    for note in notes:
        screen.say(f"note: {note}")
    with opening.opened(order.out, "gate", screen.say, fresh=True) as opened:
        if opened.folder.moved_to:  # its checkouts, if it was killed
            shutil.rmtree(opened.folder.moved_to / opened.scratch.name, ignore_errors=True)
        opened.folder.write_json(FILE, {"decision": None, "started": started})
        orders = _orders(order, repository, {BASE: base, HEAD: head}, links, opened)
        if note := checkouts.of_pointers(_top(opened, HEAD)):
            screen.say(f"note: {note}")
            notes.append(note)
        try:
            with sides.opened(orders, order.pools, opened, screen) as both:
                for side in both:
                    sides.check_origin(side, repository.root, _top(opened, side.name), links)
                notes += _noted(both, screen)
                pools = _measured(order, both, began, screen, opened.stopped.is_set)
        except sides.Broken as error:
            reason = f"the application cannot be run any more, in {sides.TRIES} of {sides.TRIES} tries: {error}"
            decision = Decision(word=Word.WORSE, by="outcome", reason=reason, decided=True)
            pools = [PoolAnswer(name=HEAD, decision=decision, evidence=_kept(error.evidence, order.out))]
    return GateAnswer(
        word=overall(pools), base=base, head=head, pools=tuple(pools), order=order, notes=tuple(notes), started=started,
        seconds=time.monotonic() - began,
    )  # fmt: skip


def _kept(log: str, folder: Path) -> str:
    """The log in the gate's own folder, without secrets; its place there, '' if there is none."""
    if not log or not Path(log).is_file():
        return ""
    (folder / LOG).write_text(portable(Path(log).read_text(errors="replace")))
    return LOG


def _orders(
    order: GateOrder, repository: Repository, commits: dict[str, Commit], links: Sequence[Path], opened: Opened
) -> dict[str, ProbeOrder]:
    """Each side's own order: in its checkout, with a folder of its own."""
    found = {}
    for name in NAMES:
        folder = repository.checkout(commits[name], _top(opened, name), links)
        found[name] = replace(order.probe, folder=folder, out=order.out / name)
    return found


def _top(opened: Opened, name: str) -> Path:
    return opened.scratch.absolute() / "checkouts" / name


def _noted(both: Sequence[Side], screen: Screen) -> list[str]:
    """What both sides have said of themselves and a reader has to know."""
    base, head = both
    found = [unseen_executors(base, head)]
    if base.source.sources == head.source.sources:
        found.append("the modules that the application loaded have the same text on both sides")
    notes = [note for note in found if note]
    for note in notes:
        screen.say(f"note: {note}")
    return notes


def unseen_executors(base: Side, head: Side) -> str:
    """That their settings name other numbers of executors, and that both run with as many; '' if they do not."""
    one, other = (str(side.source.facts.told.get("concurrency", "")) for side in (base, head))
    alike = {cell.concurrency for side in (base, head) for cell in side.cells if POOLS[cell.pool].executors != "main"}
    if one == other or len(alike) != 1:
        return ""
    return (
        f"worker_concurrency is {one or 'not set'} at the base and {other or 'not set'} at the head, and both are run with "
        f"{alike.pop()} executors, so what that changes is not seen: --worker with your worker's line runs each with its own"
    )


def _measured(
    order: GateOrder, both: Sequence[Side], began_s: float, screen: Screen, interrupted: Callable[[], bool]
) -> list[PoolAnswer]:
    by_name = {side.name: side for side in both}
    pools = [PoolAnswer(name=_named(*cells)) for cells in zip(*([c.pool for c in side.cells] for side in both), strict=True)]
    most_s = math.inf
    for side in both:
        screen.begins(side.source.planned()[0], 0, 1, None)
        most_s = sides.patience_s(side.serial(most_s))
        if interrupted():
            return pools

    like = alike(*both)

    def trial(name: str, place: int, number: int) -> Trial | None:
        found = by_name[name].trial(place, number)
        return found if found is None or like[place] else replace(found, own_s=None)

    def left_s() -> float:
        return order.budget_s - (time.monotonic() - began_s)

    dice = seeds.dice("turns", order.probe.settings.seed)
    until_decided(pools, at_once(trial) if order.at_once else by_turns(trial, dice), order.rule, left_s, screen)
    return pools


def alike(base: Side, head: Side) -> list[bool]:
    """Whether both sides have the same executors, in each pool: twice as many may keep each request for twice as long, and the
    worker be as fast as before."""
    kinds = [[(cell.pool, cell.concurrency) for cell in side.cells] for side in (base, head)]
    return [one == other for one, other in zip(*kinds, strict=True)]


def _named(base: str, head: str) -> str:
    return base if base == head else f"{base} -> {head}"


def until_decided(
    pools: Sequence[PoolAnswer], run_pair: RunPair, wanted: Rule, left_s: Callable[[], float], screen: Screen
) -> None:
    """Run pairs, pool after pool in turn, until each pool is decided, one is worse, or there is no time for one more pair."""
    own, number = wanted.among(len(pools)), 0
    while todo := [place for place, one in enumerate(pools) if not one.decision.decided]:
        number += 1
        for place in todo:
            one = pools[place]
            if left_s() < max((pair.seconds for pair in one.pairs), default=0.0):
                return
            pair = run_pair(place, number)
            if pair is None:
                return
            one.pairs.append(pair)
            one.decision = rule.decide(one.pairs, own)
            screen.paired(one.name, pair, one.decision)
            if one.decision.word is Word.WORSE:
                return


def by_turns(trial: RunTrial, dice: np.random.Generator) -> RunPair:
    """One after the other; chance says which is first."""

    def run_pair(place: int, number: int) -> Pair | None:
        first = (BASE, HEAD)[int(dice.integers(2))]
        found = {name: trial(name, place, number) for name in (first, HEAD if first == BASE else BASE)}
        return _paired(found, first)

    return run_pair


def at_once(trial: RunTrial) -> RunPair:
    """Both at the same time. What one raises is raised after the other has ended."""

    def run_pair(place: int, number: int) -> Pair | None:
        with ThreadPoolExecutor(len(NAMES)) as threads:
            begun = {name: threads.submit(trial, name, place, number) for name in NAMES}
        return _paired({name: one.result() for name, one in begun.items()}, BOTH)

    return run_pair


def _paired(found: Mapping[str, Trial | None], first: str) -> Pair | None:
    base, head = found[BASE], found[HEAD]
    return Pair(base=base, head=head, first=first) if base and head else None


def overall(pools: Sequence[PoolAnswer]) -> Word:
    """The gravest word of all pools."""
    words = {one.decision.word for one in pools}
    return next(word for word in (Word.WORSE, Word.CANNOT_SAY, Word.PASSES) if word in words)
