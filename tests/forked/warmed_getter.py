"""Broken by a fork: a function that keeps its answer starts the thread, and was called before the fork."""

import os
import queue
import threading
from concurrent.futures import Future
from functools import lru_cache

from celery import Celery

app = Celery("warmed_getter", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


def serve(inbox):
    while True:
        number, reply = inbox.get()
        reply.set_result(number + 100)


@lru_cache(maxsize=1)
def batches():
    inbox = queue.Queue()
    threading.Thread(target=serve, args=(inbox,), name="batcher", daemon=True).start()
    return inbox


batches()


@app.task(name="warmed_getter.add")
def add(number):
    reply, inbox = Future(), batches()
    inbox.put((number, reply))
    return reply.result()
