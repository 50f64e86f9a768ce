"""A message of Celery's as it lies in Redis: JSON around a body. The body is never unpickled, and arguments are not looked at.

The form is kombu's (kombu/transport/virtual/base.py, Message); Celery's own headers are those of its task protocol 2
(https://docs.celeryq.dev/en/stable/internals/protocol.html). Protocol 1 has the task's id in the body, which is
read if it is JSON.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from harness.live.facts import Message

MOST_BYTES = 1 << 20  # of a message that is looked at


def parse(raw: bytes | str, queue: str = "", age_s: float | None = None) -> Message | None:
    """None if it is no message of Celery's, or too large to be looked at.

    >>> parse('{"headers": {"id": "8cae", "task": "shop.price", "eta": null}, "body": ""}', "celery")
    Message(id='8cae', task='shop.price', queue='celery', age_s=None, put_off=False, redelivered=False)
    """
    found = _loaded(raw)
    if not isinstance(found, dict):
        return None
    headers = found.get("headers")
    headers = headers if isinstance(headers, dict) else {}
    told = headers if headers.get("id") else _body(found)
    if not told.get("id"):
        return None
    return Message(
        id=str(told["id"]), task=str(told.get("task", "")), queue=queue, age_s=age_s, put_off=bool(told.get("eta")),
        redelivered=bool(headers.get("redelivered")),
    )  # fmt: skip


def handed(raw: bytes | str, age_s: float | None) -> Message | None:
    """Of an entry in kombu's table of unacknowledged messages: [message, exchange, routing key]."""
    found = _loaded(raw)
    if not isinstance(found, list) or len(found) != 3:
        return None
    return parse(json.dumps(found[0]), str(found[2]), age_s)


def _loaded(raw: bytes | str) -> Any:
    if len(raw) > MOST_BYTES:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _body(found: Mapping[str, Any]) -> dict[str, Any]:
    """What the body of protocol 1 says."""
    if found.get("content-type") != "application/json":
        return {}
    properties = found.get("properties")
    encoded = isinstance(properties, dict) and properties.get("body_encoding") == "base64"
    text = found.get("body")
    if not isinstance(text, str):
        return {}
    try:
        body = _loaded(base64.b64decode(text) if encoded else text)
    except (binascii.Error, ValueError):
        return {}
    return body if isinstance(body, dict) else {}
