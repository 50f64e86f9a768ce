"""What the client has to say of a trial beside its requests' own moments: a part of the record.

Written by `harness.client` as it ends, read by `conclude`. Seconds, requests per second. Every trial starts a client, which
has nothing to validate: these are plain dataclasses, and pydantic is imported by who reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Step:
    """One rate that was tried in a search for the peak, see `harness.client.peak`."""

    rate_per_s: float
    requests: int  # that were answered, or over the bound before they were
    misses: int  # of these, over the bound
    met: str  # 'met', 'missed' or 'undecided'
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Sending:
    """`sends` and `late` count open traffic, a search included; `withdrawn` are requests that were taken back from the
    queue, as no worker would have answered them in time; `cut_off` are those of the measured phase among them.

    `few`: requests are so slow that they were measured from the first one on, see `certainty.few`; `cold`: then, whether the
    first one of each executor is known to take longer; `unsent`: those for which there was no time.
    `stopped`: when and why the measured phase ended before its time, see `harness.client.early`; '' if it did not."""

    seeds: dict[str, int] = field(default_factory=dict)
    warmup_windows: int = 0
    warmup_stable: bool | None = None  # None: too few windows to say
    rate_per_s: float | None = None  # of open traffic: what was asked for, or found
    sends: int = 0
    late: int = 0
    late_bound_s: float | None = None  # in the measured phase
    latest_s: float | None = None  # the latest send of the measured phase
    backlog_before: int = 0  # unanswered requests as the measured phase of open traffic began,
    backlog_after: int = 0  # and as it ended
    overloaded: bool = False
    withdrawn: int = 0
    cut_off: int = 0
    duplicates: int = 0  # answers that came a second time
    cpu_s: float | None = None  # of the client in the measured phase
    peak_per_s: float | None = None  # 0: no rate meets the bound; None: not looked for, or not found out
    peak: str = ""  # what the search came to, in a sentence
    peak_held: bool | None = None  # whether the measured phase kept the bound, too; None: it cannot say
    steps: list[Step] = field(default_factory=list)
    few: bool = False
    cold: bool = False
    unsent: int = 0
    stopped: str = ""


def read(path: Path) -> Sending | None:
    """None where the client was killed before it could write."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Sending).validate_json(path.read_text())
    except (OSError, ValidationError):
        return None
