"""What a deployment must keep: `--latency p99=50ms --memory 4GiB --cores 2 --min-throughput 100 --max-hang-rate 1%`. Pure.

Each bound is held against what one more fresh worker of a cell will have (`fresh`); what is not known does not keep it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.certainty.intervals import LEAST_WORKERS, needed_requests
from harness.errors import BadInput
from harness.measure.figures import PERCENTILES
from harness.summary.hang_rate import clean_trials_for

NUMBER = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>[a-zA-Zµ%]*)")
SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "": 1.0}
BYTES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
HANG_RATE = "hang rate"
SHARES = {"%": 0.01, "": 1.0}
Read = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """One constraint. `least`: the figure must be at least `value`, else at most.

    `read` takes a row of `cells.csv` (with `fresh`) to the worst that was seen of the figure, which breaks the bound or does
    not; `end` to what one more fresh worker stays on the right side of, which keeps it; None where that is not known. `lacks`
    says what would make it known, `at_least` what the figure cannot be below until then.
    """

    name: str
    value: float
    least: bool
    read: Read
    end: Read
    shown: Callable[[float], str]
    lacks: Callable[[Mapping[str, Any]], str]
    at_least: Read = lambda row: None

    def __str__(self) -> str:
        return f"{self.name} {'>=' if self.least else '<='} {self.shown(self.value)}"

    def at_best(self, row: Mapping[str, Any]) -> float | None:
        """The figure, or what it cannot be better than; None where neither is known."""
        known = self.read(row)
        return known if known is not None else self.at_least(row)

    def keeps(self, figure: float) -> bool:
        return figure >= self.value if self.least else figure <= self.value


def parse(
    *,
    latency: list[str] | None = None,
    memory: str = "",
    cores: float | None = None,
    min_throughput: float | None = None,
    max_hang_rate: str = "",
) -> tuple[Bound, ...]:
    """The bounds that the options describe. Raises BadInput.

    >>> [str(bound) for bound in parse(latency=["p99=50ms"], memory="4GiB", max_hang_rate="1%")]
    ['p99 <= 50 ms', 'memory <= 4096 MiB', 'hang rate <= 1 %']
    """
    found = [_latency(text) for text in latency or []]
    if memory:
        found.append(memory_bound(_quantity("--memory", memory, BYTES)))
    if cores is not None:
        found.append(of_workers("cores", cores, lambda v: f"{v:.2g}"))
    if min_throughput is not None:
        found.append(of_workers("throughput", min_throughput, lambda v: f"{v:.4g} requests/s", least=True))
    if max_hang_rate:
        rate = _quantity("--max-hang-rate", max_hang_rate, SHARES)
        if not 0 < rate < 1:
            raise BadInput(f"--max-hang-rate {max_hang_rate}: a rate is between 0 % and 100 %", remedy="such as 1%")
        found.append(hang_rate_bound(rate))
    return tuple(found)


def hang_rate_bound(rate: float) -> Bound:
    return Bound(
        name=HANG_RATE, value=rate, least=False, read=hang_rate_below, end=hang_rate_below,
        shown=lambda v: f"{v * 100:.3g} %",
        lacks=lambda _: f"--repeat {clean_trials_for(rate)}: so many fresh workers without a hang bound it so low",
    )  # fmt: skip


def memory_bound(most: float) -> Bound:
    return of_workers("memory", most, lambda v: f"{v / 2**20:.0f} MiB")


def latency_bound(name: str, most: float) -> Bound:
    def at_least(row: Mapping[str, Any]) -> float | None:
        """The highest percentile below it: where too few requests support this one, that may tell that the bound is broken."""
        lower = [row["fresh"][other].worst for other in PERCENTILES if PERCENTILES[other] < PERCENTILES[name]]
        return max((value for value in lower if value is not None), default=None)

    few = f"--requests {needed_requests(PERCENTILES[name])}: fewer do not support {name}"
    return replace(of_workers(name, most, lambda v: f"{v * 1e3:.4g} ms" if v < 10 else f"{v:.4g} s", few), at_least=at_least)


def of_workers(
    name: str, value: float, shown: Callable[[float], str], measure: str = "measure it again", *, least: bool = False
) -> Bound:
    """A bound on a figure that each fresh worker has, see `fresh.of`."""
    return Bound(
        name=name, value=value, least=least, shown=shown, read=lambda row: row["fresh"][name].worst,
        end=lambda row: row["fresh"][name].end, lacks=lambda row: row["fresh"][name].lacks(value, shown, measure),
    )  # fmt: skip


def hang_rate_below(row: Mapping[str, Any]) -> float | None:
    """What the rate is below at 95 %, by all fresh workers that were judged; None where it was not even asked."""
    from harness.summary.hang_rate import HangRate

    judged = row["judged_trials"]
    return HangRate(hung=int(row["hung_trials"]), judged=int(judged)).below if judged else None


def needed(bounds: Sequence[Bound]) -> tuple[int, int]:
    """(requests a trial, fresh workers) without which some of these bounds cannot be told to be kept; 1 where any will do."""
    requests = [needed_requests(PERCENTILES[bound.name]) for bound in bounds if bound.name in PERCENTILES]
    workers = [clean_trials_for(bound.value) if bound.name == HANG_RATE else LEAST_WORKERS for bound in bounds]
    return max(requests, default=1), max(workers, default=1)


def most_memory(bounds: Sequence[Bound]) -> float | None:
    """Bytes, where memory is bounded."""
    return next((bound.value for bound in bounds if bound.name == "memory"), None)


def _latency(text: str) -> Bound:
    name, _, value = text.partition("=")
    if name not in PERCENTILES or not value:
        raise BadInput(
            f"--latency {text}: not a percentile and a bound", remedy=f"such as p99=50ms; of {', '.join(PERCENTILES)}"
        )
    return latency_bound(name, _quantity("--latency", value, SECONDS))


def _quantity(option: str, text: str, units: Mapping[str, float]) -> float:
    found = NUMBER.fullmatch(text.strip())
    if found is None or found["unit"] not in units or not float(found["number"]):
        names = ", ".join(unit for unit in units if unit)
        raise BadInput(f"{option} {text!r}: not a number above 0 with a unit", remedy=f"units are {names}")
    return float(found["number"]) * units[found["unit"]]
