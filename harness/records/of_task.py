"""What one task of a mix did in a trial: a part of the record, see `sections.Answers`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class OfTask:
    """`share`: of the requests, as it was asked for; `requests` and the counts after it: of all that were sent, the warm-up's,
    too. `measured`: of the measured phase, answered rightly, of which the times are: seconds, None where too few tell them."""

    task: str
    share: float
    requests: int
    ok: int
    wrong: int
    unanswered: int
    errors: dict[str, int] = field(default_factory=dict)
    measured: int = 0
    latency_s: dict[str, float] = field(default_factory=dict)  # by percentile, 'p50'
    waited_p50_s: float | None = None  # from the sending to the begin in an executor
    ran_p50_s: float | None = None  # from there to its end
    ran_mean_s: float | None = None
