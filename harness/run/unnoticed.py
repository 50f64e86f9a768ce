"""The section of a record about faults that leave every answer in place, from what a trial left and its requests. Pure."""

from __future__ import annotations

from harness.measure import silent as facts
from harness.records.answers import Requests
from harness.records.silent import Silent
from harness.trial.left import Left


def silent(left: Left, requests: Requests | None) -> Silent:
    """Of a worker; a baseline has no pool, and shows only how its process ended."""
    if left.cell.is_baseline:
        return Silent(end=left.ended.end)
    found = Silent()
    if requests is not None and len(requests):
        columns = requests.columns
        executors = frozenset(zip(columns["pid"].tolist(), columns["tid"].tolist(), strict=True))
        watched = left.machine.watched
        if watched.uses and watched.uses_span_s > 0:
            found = facts.of_threads(watched.uses, watched.uses_span_s, executors)
        known = requests.answered & (columns["begin"] >= 0)
        equal = facts.equal_errors(columns["pid"][known], columns["begin"][known], requests.difference[known])
        found = found.revised(equal_errors=equal)
    return found.revised(
        alone_share=left.alone_share, left_behind=left.ended.left_behind, serial=left.ended.log_serial, end=left.ended.end
    )
