"""The message of our own task as Celery's own client writes it: sent through Celery once, read back, and kept.

To import Celery takes a client longer than all else that it imports, and the message is always the same: it is kept for all
later runs, in a file for each kind of broker, release of Celery and text of this module. What differs from request to request
is filled in.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

from harness.worker import contract

MARK = "harness-template-argument"
BODY, QUEUE = "THE-BODY", "THE-QUEUE"
#: headers that Celery writes itself (celery/app/amqp.py, as_task_v2, and kombu's), 4.4 to 5.7
CELERYS_HEADERS = frozenset({
    "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id", "parent_id",
    "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamped_headers", "stamps", "compression",
    "x-delay",
})  # fmt: skip


def place(home: Path, url: str) -> Path:
    """Where the message for a broker of this kind is kept."""
    return home / "messages" / f"{url.partition(':')[0]}-{_maker()}.json"


@functools.cache
def _maker() -> str:
    """What makes it: releases of Celery's, and the text of this module. Asked for in each trial of a run."""
    import hashlib
    from importlib.metadata import version

    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    return "-".join([*(f"{name}-{version(name)}" for name in ("celery", "kombu")), code])


def kept(path: str, queue: str, make: Callable[[], str]) -> str:
    """What stands in the file, for this queue; or what `make` gives, which stands there then. '': nothing is kept."""
    return (_read(path) or _written(path, make())).replace(QUEUE, queue)


def _read(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text() if path else ""
    return ""


def _written(path: str, made: str) -> str:
    """Whole at once, for others write it, too. Where nothing can be written, it is made again each time."""
    draft = Path(f"{path}.{os.getpid()}")
    with contextlib.suppress(OSError):
        if path:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(made)
            draft.replace(path)
    return made


def template(url: str, backend: str, queue: str, take: Callable[[str], bytes | None]) -> str:
    """The message that Celery's own client sends for our task; PLACEHOLDER, BODY, MARK and QUEUE stand where requests differ.

    `take`: gets the message out of a queue of this name, as kombu writes it into Redis.
    """
    from celery import Celery

    side_queue = f"{queue}-template"
    with Celery("harness-client", broker=url, backend=backend, set_as_current=False) as app:
        app.send_task(
            contract.PREDICT_TASK, args=[MARK], task_id=contract.PLACEHOLDER, queue=side_queue, serializer="json",
        )  # fmt: skip
    if (raw := take(side_queue)) is None:
        raise RuntimeError("Celery's own message did not arrive in the broker")
    message = json.loads(raw)
    properties = message["properties"]
    # the tag is the delivery's name in the broker's list of unacknowledged messages: it must differ by request
    properties["delivery_tag"] = contract.PLACEHOLDER
    properties["delivery_info"]["routing_key"] = QUEUE
    return json.dumps({**message, "body": BODY})


def filled(template: str, task_id: str, number: int, row: int) -> str:
    """The message of one request of our own task."""
    body = f'[[{number}, {row}], {{}}, {{"callbacks": null, "errbacks": null, "chain": null, "chord": null}}]'
    encoded = base64.b64encode(body.encode()).decode()
    text = template.replace(contract.PLACEHOLDER, task_id)
    return text.replace(BODY, encoded).replace(f"'{MARK}'", f"{number}, {row}")
