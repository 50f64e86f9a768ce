"""The figures of a configuration's fresh workers that bounds are held against. Pure.

A bound is a promise for whatever worker is started next, so it is held against the end for one more fresh worker
(`certainty.intervals.end_of_one_more`), and one worker that breaks it is enough to break it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.certainty import intervals
from harness.certainty.intervals import LEAST_WORKERS
from harness.measure.figures import PERCENTILES
from harness.records.record import TrialRecord
from harness.records.sections import Figures

CPU_PER_REQUEST = "cpu per request"  # seconds of the worker's processes
Known = Sequence[tuple[TrialRecord, Figures | None]]
Own = tuple[float, float | None]  # a worker's figure, and the end of its own interval on the bad side
Read = Callable[[TrialRecord, Figures | None], Own | None]


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """One figure of `workers` fresh workers. `values`: of those that have it; `least`: more is better. `worst`: the worst of
    them; `end`: what one more stays on the right side of, None if that cannot be said."""

    workers: int
    values: tuple[float, ...]
    own: tuple[float | None, ...]
    least: bool = False
    most: float | None = None  # what it cannot be above

    @property
    def worst(self) -> float | None:
        return (min if self.least else max)(self.values, default=None)

    @property
    def whole(self) -> bool:
        """Whether every worker has the figure: one that lacks it, slow perhaps, must not be left out."""
        return len(self.values) == self.workers

    @property
    def end(self) -> float | None:
        if not self.whole:
            return None
        end = intervals.end_of_one_more(self.values, self.own, upper=not self.least)
        return end if end is None or self.most is None else min(end, self.most)

    def lacks(self, limit: float, shown: Callable[[float], str], measure: str) -> str:
        """What would tell whether `limit` is kept. `measure`: what gives the figure to a worker that lacks it."""
        said = [] if self.whole else [measure]
        if (missing := LEAST_WORKERS - self.workers) > 0:
            said.append(f"--repeat {LEAST_WORKERS}: it takes {LEAST_WORKERS} fresh workers, {missing} more than there are")
        elif self.end is not None:
            said.append(f"one more fresh worker may have {shown(self.end)}; {self._narrower(limit)}")
        return "; ".join(said)

    def _narrower(self, limit: float) -> str:
        """What brings the end to the right side: more of what is known of each worker, or more workers."""
        ends = [end for end in self.own if end is not None]
        said = []
        if any(end < limit if self.least else end > limit for end in ends):
            said.append("more requests tell more of the worst of them")
        low, high = intervals.of_one_more(self.values)
        if low is not None and high is not None and (low < limit if self.least else high > limit):
            more = intervals.workers_for(self.values, limit, upper=not self.least)
            said.append(f"--repeat {more} may narrow that" if more else "the workers differ too much for so near a bound")
        return ", ".join(said)


def of(known: Known) -> dict[str, Fresh]:
    """By the name of the bound; `known`: the trials that count, such as those that ended ok, a fresh worker each."""
    found = {name: _fresh(known, _latency(name)) for name in PERCENTILES}
    cores = max((record.cpu.use.cores for record, _ in known if record.cpu.use), default=0)
    return {
        **found,
        "throughput": _fresh(known, _throughput, least=True),
        "memory": _fresh(known, _memory),
        "cores": _fresh(known, _cores, most=float(cores) or None),
        CPU_PER_REQUEST: _fresh(known, _cpu_per_request),
    }


def _fresh(known: Known, read: Read, *, least: bool = False, most: float | None = None) -> Fresh:
    found = [one for record, figures in known if (one := read(record, figures)) and one[0] > 0]
    values, own = tuple(value for value, _ in found), tuple(end for _, end in found)
    return Fresh(workers=len(known), values=values, own=own, least=least, most=most)


def _latency(name: str) -> Read:
    def read(_: TrialRecord, figures: Figures | None) -> Own | None:
        if figures is None or name not in figures.latency_s:
            return None
        return figures.latency_s[name], figures.latency_span_s.get(name, intervals.NOTHING).high

    return read


def _throughput(_: TrialRecord, figures: Figures | None) -> Own | None:
    return (figures.throughput_per_s, figures.throughput_span_per_s.low) if figures else None


def _memory(record: TrialRecord, _: Figures | None) -> Own | None:
    return (float(record.memory.peak_pss_bytes), None) if record.memory.peak_pss_bytes else None


def _cores(record: TrialRecord, _: Figures | None) -> Own | None:
    """Cores that the worker's processes kept busy, on average."""
    use = record.cpu.use
    return (use.worker_tree / use.window_s, None) if use is not None and use.window_s else None


def _cpu_per_request(record: TrialRecord, _: Figures | None) -> Own | None:
    use = record.cpu.use
    return (use.worker_tree / use.requests, None) if use is not None and use.requests else None
