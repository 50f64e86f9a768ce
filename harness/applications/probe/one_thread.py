"""What a pool reaches if its native libraries take one thread each: measured beside it where it was over-subscribed. Pure.

An engine takes a thread per core in each process, and a pool starts several processes, or calls it from several threads. Where
the CPU verdict of a pool's trial says that they push each other off the cores, the same cell is measured with these variables
set, too: its *sibling*, whose `engine_threads` are '1x1'. It is as any other cell on record.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.measure.cpu_verdict import CpuWord
from harness.records.outcomes import Outcome
from harness.records.record import TrialRecord
from harness.run.plan import Planned

#: each library reads its own as it is loaded: OpenMP (and PyTorch), OpenBLAS, MKL, numexpr
VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
#: of a package's own pools of threads, which no other variable reaches; by how its name begins
OF_PACKAGES = {
    "tensorflow": ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    "polars": ("POLARS_MAX_THREADS",),
    "tokenizers": ("RAYON_NUM_THREADS",),
}
NOT_ANY_MORE = (
    "not run: no trial of today's plan shows its pool over-subscribed, or the env file sets all of its variables; what was "
    "measured before is of another plan"
)


def variables(own: Mapping[str, str], installed: Iterable[str]) -> dict[str, str]:
    """What is set in a sibling; {} if nothing is left to set.

    `own`: the application's variables, which are kept; `installed`: names of its packages.

    >>> variables({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}, ["numpy"])
    {'OPENBLAS_NUM_THREADS': '1', 'NUMEXPR_NUM_THREADS': '1'}
    >>> list(variables({}, ["polars", "numpy"]))[-1]
    'POLARS_MAX_THREADS'
    """
    packages = tuple(installed)
    own_pools = [names for begins, names in OF_PACKAGES.items() if any(name.startswith(begins) for name in packages)]
    return {name: "1" for name in (*VARIABLES, *itertools.chain(*own_pools)) if name not in own}


def said(given: Mapping[str, str]) -> str:
    """As the reason of a sibling's record says it.

    >>> said({"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
    'with OMP_NUM_THREADS=1, MKL_NUM_THREADS=1'
    """
    return f"with {', '.join(f'{name}={value}' for name, value in given.items())}"


def follows(item: Planned, records: Sequence[TrialRecord], given: Mapping[str, str], key: str) -> list[Planned]:
    """As many trials of its sibling as this cell has on record up to this one, if one of them was over-subscribed.

    `given`: see `variables`; `key`: the sibling's. Trials of a sibling of an earlier plan are replaced, even if by a skipped
    one: their ratio to the cell of today would be none.
    """
    cell = item.cell.sibling()
    mine = [one for one in _of(item.cell, records) if one.asked.plan_key == item.key and one.trial <= item.trial]
    if not mine or item.cell.is_baseline or item.cell.plain:
        return []
    if given and any(_competes(item.cell, record) for record in mine):
        return [Planned(cell=cell, trial=record.trial, key=key) for record in mine]
    stale = any(one.asked.plan_key != key and one.outcome is not Outcome.SKIPPED for one in _of(cell, records))
    return [Planned(cell=cell, trial=item.trial, key=f"{key}-skipped", skip=NOT_ANY_MORE)] if stale else []


def _of(cell: Cell, records: Iterable[TrialRecord]) -> list[TrialRecord]:
    return [record for record in records if record.cell_id == cell.id]


def _competes(cell: Cell, record: TrialRecord) -> bool:
    """Whether its native threads may be what over-subscribed the cores: a child that has but one thread has none."""
    single = POOLS[cell.pool].executors == "processes" and record.cpu.threads_peak.get("child") == 1
    return record.cpu.verdict.startswith(CpuWord.OVER_SUBSCRIBED) and not record.spoiled and not single
