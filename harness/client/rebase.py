"""Moments in an application's messages (`expires`, `eta`), counted from its sending: see `applications.probe.messages`."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from harness.worker import contract

MARK = re.compile(re.escape(contract.REBASE) + r"([+-][0-9.]+)")


def fill(message: str, now_s: float) -> str:
    """The message with its marks as moments, `now_s` being Unix time.

    >>> fill('{"expires": "HARNESS-REBASE:+15.000", "eta": null}', 0.25)
    '{"expires": "1970-01-01T00:00:15.250000+00:00", "eta": null}'
    """
    if contract.REBASE not in message:
        return message
    return MARK.sub(lambda found: moment(now_s + float(found[1])), message)


def moment(at_s: float) -> str:
    """A moment as Celery writes it into a header: ISO 8601, in UTC."""
    return datetime.fromtimestamp(at_s, UTC).isoformat()
