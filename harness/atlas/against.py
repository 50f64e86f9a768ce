"""What the atlas has against a configuration: how often trials of its kind failed. Pure.

Which entries are of its kind depends on what failed (`FREE` has the fields that may differ):
    *Versions, pool, placement, parent, call, one or more at once, replaced children*: always the same, see `entries`. Python's
    release may differ: a run's own is in no record, and each environment allows but one.
    *hung, respawning*: prefetch, traffic and the compile cache may differ. How many threads the engine has may not: a fork
    loses the threads that there are, and with one of them some calls do not hang (`results/incidents`).
    *crashed, wrong, errors*: the number of engine threads may differ, too, and the batch. An engine that two threads break is
    broken whatever it does with its own.
    *stalled, waiting*: nothing may differ. They are about pace: a prefetch of 1, or a model that computes for longer, decides.
    *The size*: entries of the same workload and batch, if there are any; else of other batches; else of all workloads, such as
    for each model of a user's own. The words say so. A stall is then left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.atlas.entries import BAD, Entry, kind, releases
from harness.certainty import exact
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome

MODEL, BATCH = "workload", "batch"
QUEUES = ("prefetch", "traffic", "compile_cache")
UNSAFE = (*QUEUES, "engine_threads", BATCH)
FREE = {
    Outcome.HUNG: QUEUES, Outcome.RESPAWNING: QUEUES, Outcome.CRASHED: UNSAFE, Outcome.WRONG: UNSAFE, Outcome.ERRORS: UNSAFE
}  # fmt: skip
SAID = {
    Outcome.ERRORS: "raised errors", Outcome.WRONG: "answered wrongly", Outcome.RESPAWNING: "lost children again and again",
    Outcome.WAITING: "waited without an end",
}  # fmt: skip
#: how far from the size that was asked about, nearest first: what may differ, and what is then said
NEARNESS = ((frozenset[str](), ""), (frozenset({BATCH}), "other batches"), (frozenset({MODEL, BATCH}), "other models"))


def said(outcome: Outcome) -> str:
    """What trials that ended so did, in a sentence."""
    return SAID.get(outcome, outcome.value)


@dataclass(frozen=True, kw_only=True)
class Failed:
    """`failed` of `judged` trials ended with `outcome`; `elsewhere`: what they all differ in from what was asked about."""

    outcome: Outcome
    failed: int
    judged: int
    elsewhere: str = ""

    @property
    def interval(self) -> tuple[float, float]:
        """Of the rate: exact (Clopper and Pearson 1934), 95 %."""
        return exact.interval(self.failed, self.judged)

    def __str__(self) -> str:
        """
        >>> str(Failed(outcome=Outcome.CRASHED, failed=3, judged=12, elsewhere="other models"))
        '3 of 12 crashed (5 % - 57 %) with other models'
        """
        low, high = self.interval
        within = f"({low * 100:.0f} % - {high * 100:.0f} %)"
        where = f" with {self.elsewhere}" if self.elsewhere else ""
        return f"{self.failed} of {self.judged} {said(self.outcome)} {within}{where}"


def failures(known: Iterable[Entry], cell: Cell, versions: Mapping[str, str]) -> list[Failed]:
    """What failed in the same combination, gravest first; nothing where there is no entry of its kind, or none failed."""
    wanted, here = releases(cell.pool, versions), kind(cell)
    near = [(one, _differing(one.cell, here)) for one in known if one.releases == wanted]
    return [found for outcome in BAD if (found := _failed(near, outcome))]


def of_entry(one: Entry) -> list[Failed]:
    """What failed of one entry's own trials, gravest first."""
    return [Failed(outcome=bad, failed=count, judged=one.judged) for bad in BAD if (count := one.outcomes.get(bad, 0))]


def _failed(near: Sequence[tuple[Entry, frozenset[str]]], outcome: Outcome) -> Failed | None:
    """`near`: each entry of the same releases, with the fields in which it differs from what is asked about."""
    if (free := FREE.get(outcome)) is None:
        return _counted([one for one, differs in near if not differs], outcome)
    for more, elsewhere in NEARNESS:
        if found := [one for one, differs in near if differs <= {*free, *more}]:
            return _counted(found, outcome, elsewhere)
    return None


def _differing(one: Cell, other: Cell) -> frozenset[str]:
    return frozenset(name for name, value in vars(one).items() if value != getattr(other, name))


def _counted(found: Sequence[Entry], outcome: Outcome, elsewhere: str = "") -> Failed | None:
    failed = sum(one.outcomes.get(outcome, 0) for one in found)
    judged = sum(one.judged for one in found)
    return Failed(outcome=outcome, failed=failed, judged=judged, elsewhere=elsewhere) if failed else None
