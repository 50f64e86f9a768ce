"""What the atlas has against a configuration: how often trials of its kind failed. Pure.

Which entries are of its kind depends on what failed (`FREE` has the fields that may differ):
    *Versions, pool, placement, parent, call, one or more at once, replaced children*: always the same, see `entries`.
    *hung, respawning*: prefetch, traffic and the compile cache may differ. How many threads the engine has may not: a fork
    loses the threads that there are, and with one of them some calls do not hang (`results/incidents`).
    *crashed, wrong, errors*: the number of engine threads may differ, too. An engine that two threads break is broken
    whatever it does with its own.
    *stalled, waiting*: nothing may differ. They are about pace: a prefetch of 1, or a model that computes for longer, decides.
    *The model*: entries of the same workload, if there are any. A model that the atlas does not have (each of a user's own is
    one) is held against all workloads, and the words say so; a stall is then left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.atlas.entries import BAD, Entry, kind, releases
from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.summary.hang_rate import exact_interval

MODEL = "workload"
QUEUES = ("prefetch", "traffic", "compile_cache")
UNSAFE = (*QUEUES, "engine_threads")
FREE = {
    Outcome.HUNG: QUEUES, Outcome.RESPAWNING: QUEUES, Outcome.CRASHED: UNSAFE, Outcome.WRONG: UNSAFE, Outcome.ERRORS: UNSAFE
}  # fmt: skip
SAID = {Outcome.ERRORS: "raised errors", Outcome.WRONG: "answered wrongly"}


@dataclass(frozen=True, kw_only=True)
class Failed:
    """`failed` of `judged` trials ended with `outcome`; `elsewhere`: none of them with the workload that was asked about."""

    outcome: Outcome
    failed: int
    judged: int
    elsewhere: bool = False

    def __str__(self) -> str:
        """
        >>> str(Failed(outcome=Outcome.CRASHED, failed=3, judged=12, elsewhere=True))
        '3 of 12 crashed (5 % - 57 %) with other models'
        """
        low, high = exact_interval(self.failed, self.judged)
        within = f"({low * 100:.0f} % - {high * 100:.0f} %)"
        where = " with other models" if self.elsewhere else ""
        return f"{self.failed} of {self.judged} {SAID.get(self.outcome, self.outcome.value)} {within}{where}"


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
    alike = [(one, differs) for one, differs in near if differs <= {*free, MODEL}]
    if own := [one for one, differs in alike if MODEL not in differs]:
        return _counted(own, outcome)
    return _counted([one for one, _ in alike], outcome, elsewhere=True)


def _differing(one: Cell, other: Cell) -> frozenset[str]:
    return frozenset(name for name, value in vars(one).items() if value != getattr(other, name))


def _counted(found: Sequence[Entry], outcome: Outcome, *, elsewhere: bool = False) -> Failed | None:
    failed = sum(one.outcomes.get(outcome, 0) for one in found)
    judged = sum(one.judged for one in found)
    return Failed(outcome=outcome, failed=failed, judged=judged, elsewhere=elsewhere) if failed else None
