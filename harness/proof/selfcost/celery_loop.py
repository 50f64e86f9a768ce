"""Celery's own client in the way of its documentation: `send_task`, then `AsyncResult.get`, again and again.

Run as `python -m harness.proof.selfcost.celery_loop SPEC.json` (keys: url, backend, queue, in_flight, seconds): keeps that many
requests in flight, warms up for a second, and prints one line of JSON: requests, seconds and CPU seconds of this process in the
time that counts.
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from pathlib import Path

from celery import Celery
from celery.result import AsyncResult

from harness.worker import contract

WARM_S = 1.0
ANSWER_LIMIT_S = 30.0


def loop(app: Celery, queue: str, in_flight: int, seconds: float) -> int:
    """Requests answered."""
    results: deque[AsyncResult] = deque()
    done, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        while len(results) < in_flight:
            number = done + len(results)
            results.append(app.send_task(contract.PREDICT_TASK, args=[number, number % 100], queue=queue, serializer="json"))
        results.popleft().get(timeout=ANSWER_LIMIT_S)
        done += 1
    while results:
        results.popleft().get(timeout=ANSWER_LIMIT_S)
        done += 1
    return done


def main(url: str, backend: str, queue: str, in_flight: int, seconds: float) -> None:
    app = Celery("harness-comparison", broker=url, backend=backend)
    loop(app, queue, in_flight, WARM_S)
    begun, cpu_s = time.monotonic(), time.process_time()
    done = loop(app, queue, in_flight, seconds)
    print(json.dumps({"requests": done, "seconds": time.monotonic() - begun, "cpu_s": time.process_time() - cpu_s}))


if __name__ == "__main__":
    main(**json.loads(Path(sys.argv[1]).read_text()))
