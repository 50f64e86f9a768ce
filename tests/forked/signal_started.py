"""Broken by a fork: a thread that starts with the worker fills the shelf that requests take from."""

import os
import queue
import threading

from celery import Celery
from celery.signals import worker_init

app = Celery("signal_started", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
SHELF = queue.Queue(maxsize=2)


def fill():
    number = 0
    while True:
        SHELF.put(number)
        number += 1


@worker_init.connect
def open_shop(**_):
    threading.Thread(target=fill, name="filler", daemon=True).start()


@app.task(name="signal_started.numbers")
def numbers(count):
    return len([SHELF.get() for _ in range(count)])
