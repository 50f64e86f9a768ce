"""How long a run will still take: a prior for each kind of trial, corrected by what this machine has taken so far.

A trial costs its measured window and, beside it, start, import, first predict, warm-up and stop. The latter hardly
depend on the cell, but for the environment: BESIDE_S holds what a reference run needed (see `results/README.md` for the
machine). Every finished trial corrects that for its own kind, and less for the others: a machine that is slow with one
backend is likely slow with all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.experiment.experiment import Settings
from harness.experiment.matrix import Cell
from harness.experiment.traffic import parse
from harness.machine import cores
from harness.records.outcomes import NOT_JUDGED, STUCK
from harness.records.record import TrialRecord
from harness.run.plan import Planned

# seconds beside the measured window: (in-process baseline, null or faulty control, real backend)
BESIDE_S: Mapping[str, tuple[float, float, float]] = {
    "tensorflow2": (3.0, 1.0, 5.5),
    "tensorflow1": (1.5, 1.2, 3.1),
    "tensorflow1_15": (2.0, 1.2, 3.4),
    "theano": (12.0, 1.4, 6.5),
}
UNKNOWN_S = (3.0, 1.0, 4.0)
PACE_S = {"convnet-large": 0.2}  # seconds of a request, however many executors: one keeps all cores busy
PRIOR_TRIALS = 2.0  # so many typical trials the prior weighs
STABLE_S = 1.5  # three windows of warm-up, see `harness.client.generator`
PEAK_S = 15.0  # a search, about
CORES = cores.usable(len(cores.AVAILABLE), cores.quota())


@dataclass
class _Factor:
    """Seconds taken over seconds expected, drawn to a prior factor while little is known."""

    taken_s: float = 0.0
    expected_s: float = 0.0
    trials: int = 0

    def add(self, taken_s: float, expected_s: float) -> None:
        self.taken_s, self.expected_s, self.trials = self.taken_s + taken_s, self.expected_s + expected_s, self.trials + 1

    def value(self, prior: float) -> float:
        if not self.trials:
            return prior
        weight_s = PRIOR_TRIALS * self.expected_s / self.trials
        return (self.taken_s + prior * weight_s) / (self.expected_s + weight_s)


def left_s(todo: Iterable[Planned], records: Iterable[TrialRecord], settings: Settings) -> float:
    """Seconds that these trials will take, from the records of the run so far."""
    beside = STUCK if settings.stop_early else frozenset()  # these are confirmed while others are measured
    done = [record for record in records if record.outcome not in NOT_JUDGED | beside]
    paces = _paces(done)
    everything, kinds = _Factor(), dict[tuple[str, int], _Factor]()
    for record in done:
        cell = record.as_cell
        expected_s = expected(cell, settings, paces)
        everything.add(record.ended.seconds, expected_s)
        kinds.setdefault(_kind(cell), _Factor()).add(record.ended.seconds, expected_s)
    prior = everything.value(1.0)
    return sum(
        kinds.get(_kind(item.cell), _Factor()).value(prior) * expected(item.cell, settings, paces)
        for item in todo
        if not item.skip
    )


def expected(cell: Cell, settings: Settings, paces: Mapping[str, float]) -> float:
    """Seconds of one trial on the reference machine; `paces`: seconds of a request by baseline's cell id."""
    beside_s = BESIDE_S.get(cell.venv, UNKNOWN_S)[_kind(cell)[1]]
    pace_s = 0.0 if cell.is_control else paces.get(cell.baseline().id, PACE_S.get(cell.workload, 0.0))
    executors = 1 if cell.workload in PACE_S else min(cell.concurrency, CORES)
    if not cell.is_baseline:
        beside_s += STABLE_S
    traffic = parse(cell.traffic)
    if traffic.is_peak:
        return beside_s + PEAK_S + settings.measure_s
    if traffic.rate_per_s:
        return beside_s + max(settings.measure_s, settings.requests / traffic.rate_per_s)
    return beside_s + max(settings.measure_s, settings.requests * pace_s / executors)


def _kind(cell: Cell) -> tuple[str, int]:
    return cell.venv, 0 if cell.is_baseline else 1 if cell.is_control else 2


def _paces(records: Iterable[TrialRecord]) -> dict[str, float]:
    return {
        record.cell_id: record.pace.measured_s / record.pace.measured_requests
        for record in records
        if record.as_cell.is_baseline and record.pace.measured_s and record.pace.measured_requests
    }
