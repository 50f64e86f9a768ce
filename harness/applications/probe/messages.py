"""The application's own messages, as templates: whatever differs by request or by moment is a mark that the client fills in.

`expires` and `eta` (of `expires=`, `countdown=` or `eta=`) are moments. They were counted from when the message was made, which
is before the first pool starts, and are counted again from when it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from harness.broker import PRIORITY_MARK
from harness.client.own_message import CELERYS_HEADERS
from harness.errors import BadInput
from harness.texts import visible
from harness.worker import contract

MOMENTS = {"expires": "expires", "eta": "is put off for"}  # header, and what it does to a message


class CannotProbe(BadInput):
    """An application that runs, and of which our broker does not get what a probe needs: no fault of it."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """`text`: the message, for `client.wire`. `offsets_s`: of the headers in MOMENTS that it has, from its sending on.
    `limits_s`: (hard, soft) time limits that it brings, None where it leaves that to the worker."""

    text: str
    offsets_s: Mapping[str, float]
    limits_s: tuple[float | None, float | None]
    unstored: bool  # it asks for its answer not to be stored
    priority: int = 0
    own_headers: tuple[str, ...] = ()  # names of those that are not Celery's


def queued(key: str, messages: Sequence[bytes]) -> str:
    """'2 to gold, such as (3, 'gold')': how many messages wait under a key of the broker's, and the arguments of the first."""
    first = json.loads(messages[0])["headers"].get("argsrepr", "")
    return f"{len(messages)} to {visible(key.partition(PRIORITY_MARK)[0])}{f', such as {visible(first)}' if first else ''}"


def template(message: bytes, *, made_s: float, utc_offset_s: float = 0.0) -> Template:
    """A message that was made at `made_s` (Unix time) by an application whose own time zone is so far from UTC. Raises
    CannotProbe for one of Celery's first protocol.
    """
    found = json.loads(message)
    headers = found["headers"]
    if headers.get("id") != contract.PLACEHOLDER:
        raise CannotProbe(
            "the application's messages have no id in their headers", remedy="it needs task_protocol 2, Celery's default"
        )
    offsets = {name: round(_unix(headers[name], utc_offset_s) - made_s, 3) for name in MOMENTS if headers.get(name)}
    hard, soft = headers.get("timelimit") or (None, None)
    unstored = bool(headers.get("ignore_result"))
    found["headers"] = {
        **headers, **{name: f"{contract.REBASE}{offset:+.3f}" for name, offset in offsets.items()},
        **({"ignore_result": False} if unstored else {}),
    }  # fmt: skip
    found["properties"]["delivery_tag"] = contract.PLACEHOLDER  # the name of a delivery: it must differ by request
    return Template(
        text=json.dumps(found), offsets_s=offsets, limits_s=(hard, soft), unstored=unstored,
        priority=found["properties"].get("priority") or 0, own_headers=tuple(sorted(set(headers) - CELERYS_HEADERS)),
    )  # fmt: skip


def _unix(moment: str, utc_offset_s: float) -> float:
    found = datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=timezone(timedelta(seconds=utc_offset_s)))).timestamp()


def said(templates: Sequence[Template], limits: Mapping[str, Any] | None = None) -> list[str]:
    """What a reader has to know of them; `limits`: the task's own, which Celery writes into messages, too."""
    told = []
    for name, does in MOMENTS.items():
        found = sorted({round(one.offsets_s[name], 1) for one in templates if name in one.offsets_s})
        if found:
            span = f"{found[0]:g} s" if len(found) == 1 else f"{found[0]:g} to {found[-1]:g} s"
            told.append(f"each message {does} {span} after it is sent, as the application has it")
    for title, brought in (("priority", {str(one.priority) for one in templates if one.priority}),
                           ("own headers", {name for one in templates for name in one.own_headers})):  # fmt: skip
        if brought:
            told.append(f"each message is sent with the application's {title}: {', '.join(sorted(brought))}")
    for place, (name, kind) in enumerate((("hard_s", "time limit"), ("soft_s", "soft time limit"))):
        known = (limits or {}).get(name)
        brought = {f"{limit:g} s" for one in templates if (limit := one.limits_s[place]) and limit != known}
        if brought:
            told.append(f"each message brings a {kind} of {', '.join(sorted(brought))}, which is kept")
    if any(one.unstored for one in templates):
        told.append("ignore_result of the messages is off in the trial: an answer that is not stored cannot be checked")
    return told


def least(templates: Sequence[Template]) -> dict[str, Any]:
    """The tightest of what the messages bring, as far as they bring it: keys of `trial.application.Limits`."""
    found = {
        "hard_s": [one.limits_s[0] for one in templates],
        "soft_s": [one.limits_s[1] for one in templates],
        "expires_s": [one.offsets_s.get("expires") for one in templates],
        "put_off_s": [one.offsets_s.get("eta") for one in templates],
    }
    known = {name: [value for value in values if value is not None] for name, values in found.items()}
    return {name: (max if name == "put_off_s" else min)(values) for name, values in known.items() if values}
