"""Fine: what a full queue does not take is dropped, and nobody waits."""

import contextlib
import os
import queue
import threading

from celery import Celery

app = Celery("dropped_points", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
POINTS = queue.Queue(maxsize=2)
SENT = []


def send():
    while True:
        SENT.append(POINTS.get())


threading.Thread(target=send, name="points", daemon=True).start()


@app.task(name="dropped_points.measure")
def measure(number):
    with contextlib.suppress(queue.Full):
        POINTS.put_nowait(number)
    return number + 1
