"""What is shown of the broker, and whether the worker asks it for work."""

from __future__ import annotations

from typing import Any

from harness import broker
from harness.errors import BadInput
from harness.live.facts import Facts
from harness.live.join import asks, has_others
from harness.texts import visible


def view(facts: Facts, url: str, told: bool) -> dict[str, Any]:
    """`url`, whether it `answers`, messages by queue, how many are handed out and not acknowledged (`unacked`), and whether the
    worker `asks` for work (None if its connections cannot be told from others), and `others` are connected that ask (None if
    that is not known). {} without a URL. `told`: the user named it: then a broker of another kind raises BadInput."""
    last = facts.last.broker if facts.moments else None
    if not url or last is None:
        return {}
    if last.answers is None and told:
        broker.check(url)
    if not last.answers:
        return {"url": _shown(url), "answers": False, "why": last.why}
    return {
        "url": _shown(url), "answers": True, "queues": None if last.prefixed else dict(last.queues),
        "unacked": None if last.prefixed else last.unacked, "asks": asks(facts),
        "others": has_others(facts) if facts.brokers else None, "versions": dict(facts.versions),
    }  # fmt: skip


def _shown(url: str) -> str:
    try:
        return visible(broker.shown(url))
    except ValueError as error:
        raise BadInput("the broker's URL cannot be read", remedy="give --broker redis://HOST:PORT/DATABASE") from error
