"""C8 and C9: the two claims that compare figures of cells instead of asking how each ended. Pure.

Where a pool definitely does not answer (it hung, crashed or raised), the comparison has no case: memory and pace of what
does not work decide nothing. Where a figure is missing or was spoiled, the case is unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from harness.experiment.matrix import Cell
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.studies.claims import cases
from harness.studies.claims.cases import Case, Stand, Trials

LESS_MEMORY = 0.10  # share that must be saved; below, sampling every 2 s does not tell
ALIKE = 0.80  # of the processes' throughput; two short trials of one cell were seen to differ by 10 %
BUSY = 0.80  # of all cores
SHARED_POOLS = ("threads", "gevent")
MIB = 2**20


def memory(cells: Sequence[Cell], trials: Trials) -> list[Case]:
    """C8: each cell of threads or greenlets beside the prefork cells of the same concurrency and call that work."""
    known = set(cells)
    found = []
    for cell in cells:
        if cell.pool not in SHARED_POOLS or (cell.placement, cell.workload) != ("import", "digits-cnn"):
            continue
        for placement in ("first-task", "import"):
            other = replace(cell, pool="prefork", placement=placement)
            if other in known and (case := _less_memory(cell, other, trials)):
                found.append(case)
    return found


def _less_memory(cell: Cell, other: Cell, trials: Trials) -> Case | None:
    ours, theirs = trials.get(cell.id, ()), trials.get(other.id, ())
    if _does_not_work(ours) or _does_not_work(theirs):
        return None
    one, two = peak_pss_bytes(ours), peak_pss_bytes(theirs)
    stand, seen = Stand.UNKNOWN, f"{cell.pool}: {cases.told(ours)}; {other.id}: {cases.told(theirs)}"
    if one and two:
        stand = Stand.AGREES if one <= (1 - LESS_MEMORY) * two else Stand.CONTRADICTS
        seen = f"{one / MIB:.0f} MiB, prefork {two / MIB:.0f} MiB with the model loaded at {other.placement}"
    where = {"pool": cell.pool, "concurrency": cell.concurrency, "prefork placement": other.placement}
    return _compared(cell, where, stand, seen, [*ours, *theirs])


def threads_beside_processes(cells: Sequence[Cell], trials: Trials) -> list[Case]:
    """C9: two threads with one model beside two processes with one each, by workload."""
    known = set(cells)
    found = []
    for cell in cells:
        other = replace(cell, pool="prefork", placement="first-task")
        if (cell.pool, cell.placement, cell.concurrency) == ("threads", "import", 2) and other in known:
            found.append(_gil(cell, other, trials))
    return found


def _gil(cell: Cell, other: Cell, trials: Trials) -> Case:
    ours, theirs = ([r for r in trials.get(one.id, ()) if r.outcome is Outcome.OK] for one in (cell, other))
    pace, beside, busy = throughput_per_s(ours), throughput_per_s(theirs), saturation(ours)
    stand = Stand.UNKNOWN
    everything = [*trials.get(cell.id, ()), *trials.get(other.id, ())]
    seen = f"threads: {cases.told(trials.get(cell.id, ()))}; processes: {cases.told(trials.get(other.id, ()))}"
    seen += spoiled([*ours, *theirs])
    if pace and beside and busy is not None:
        stand = Stand.AGREES if pace >= ALIKE * beside and busy >= BUSY else Stand.CONTRADICTS
        alone = saturation(trials.get(cell.baseline().id, ()))
        seen = f"threads {pace:.1f}/s at {busy:.0%} of all cores, processes {beside:.1f}/s at {saturation(theirs) or 0:.0%}" + (
            f"; one thread alone, without Celery, {alone:.0%}" if alone is not None else ""
        )
    return _compared(cell, {"workload": cell.workload}, stand, seen, everything)


def _does_not_work(trials: Sequence[TrialRecord]) -> bool:
    return bool(cases.judged(trials)) and not any(cases.answered(record) for record in trials)


def _compared(cell: Cell, where: dict[str, object], stand: Stand, seen: str, trials: Sequence[TrialRecord]) -> Case:
    return Case(
        name=cell.id, backend=cell.backend, where=where, stand=stand, seen=seen, evidence=cases.links(trials),
        outcomes=Counter(record.outcome.value for record in trials),
    )  # fmt: skip


def peak_pss_bytes(trials: Sequence[TrialRecord]) -> float | None:
    """Median over the trials that answered, of the worker's processes together."""
    return _median([record.memory.peak_pss_bytes for record in trials if cases.answered(record)])


def throughput_per_s(trials: Sequence[TrialRecord]) -> float | None:
    """Median over the trials whose figures can be used."""
    good = (r.pace for r in trials if not r.certainty.unusable)
    return _median([one.measured_requests / one.measured_s for one in good if one.measured_s and one.measured_requests])


def saturation(trials: Sequence[TrialRecord]) -> float | None:
    """CPU time of the worker's processes over time and usable cores, 0 to 1; median over those trials."""
    return _median([r.cpu.use.saturation for r in trials if r.cpu.use and not r.certainty.unusable])


def spoiled(trials: Sequence[TrialRecord]) -> str:
    """'; figures that cannot be used: machine too noisy: …', or ''."""
    why = dict.fromkeys(record.certainty.unusable for record in trials if record.certainty.unusable)
    return f"; figures that cannot be used: {'; '.join(why)}" if why else ""


def _median(values: Sequence[float | None]) -> float | None:
    found = [float(value) for value in values if value is not None]
    return median(found) if found else None
