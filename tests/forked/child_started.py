"""Fine: each child starts the thread that it needs, in worker_process_init."""

import os
import queue
import threading

from celery import Celery
from celery.signals import worker_process_init

app = Celery("child_started", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
SHELF = queue.Queue(maxsize=2)


def fill():
    while True:
        SHELF.put(7)


@worker_process_init.connect
def open_shop(**_):
    threading.Thread(target=fill, name="filler", daemon=True).start()


@app.task(name="child_started.take")
def take(count):
    return sum(SHELF.get() for _ in range(count))
