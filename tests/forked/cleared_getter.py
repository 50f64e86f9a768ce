"""Fine: a function that keeps its answer starts the thread, and forgets it in a forked child."""

import os
import queue
import threading
from concurrent.futures import Future
from functools import lru_cache

from celery import Celery

app = Celery("cleared_getter", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


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
os.register_at_fork(after_in_child=batches.cache_clear)


@app.task(name="cleared_getter.add")
def add(number):
    reply, inbox = Future(), batches()
    inbox.put((number, reply))
    return reply.result()
