"""Why the figures of a trial cannot be believed. A pure function of what was seen; how the trial ended stands all the same."""

from __future__ import annotations

from harness.judge.outcome import Observations
from harness.records.sending import Sending

CLIENT_LIMIT = 0.9  # of a core: above, the load generator is what limits
HARDLY_COMPUTES = 0.02  # of the time of a request: a lack of cores does not slow what waits elsewhere; doubts tell the rest
LATE_ALLOWED = 0.01  # of the sends of open traffic, see `harness.client.schedule`


def unusable(seen: Observations) -> str:
    """Why the figures of a trial cannot be believed, '' if they can. How it ended stands all the same."""
    if seen.client_cores is not None and seen.client_cores > CLIENT_LIMIT:
        return f"the load generator was the limit: it used {seen.client_cores:.2f} of one core"
    if seen.sending is not None and (late := _late(seen.sending)):
        return late
    if seen.others_share is not None and seen.others_share > seen.noise_limit and not _hardly_computes(seen):
        return f"machine too noisy: others used {seen.others_share:.0%} of the cores that we may use"
    return ""


def _hardly_computes(seen: Observations) -> bool:
    return seen.needs_cores is not None and seen.needs_cores <= HARDLY_COMPUTES


def _late(sending: Sending) -> str | None:
    """Requests of open traffic went out late: then their latency is in part the client's own."""
    if not sending.sends or sending.late <= LATE_ALLOWED * sending.sends:
        return None
    return (
        f"the load generator was late: {sending.late} of {sending.sends} requests went out more than a tenth of the mean gap "
        f"(or 1 ms) after they were meant to, {LATE_ALLOWED:.0%} is allowed"
    )
