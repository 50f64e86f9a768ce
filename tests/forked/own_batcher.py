"""Fine: each process starts its own thread with its first request."""

import os
import queue
import threading
from concurrent.futures import Future

from celery import Celery

app = Celery("own_batcher", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
INBOXES = {}


def serve(inbox):
    while True:
        number, reply = inbox.get()
        reply.set_result(number + 100)


def inbox_of(pid):
    if pid not in INBOXES:
        INBOXES[pid] = queue.Queue()
        threading.Thread(target=serve, args=(INBOXES[pid],), daemon=True).start()
    return INBOXES[pid]


@app.task(name="own_batcher.add")
def add(number):
    reply = Future()
    inbox_of(os.getpid()).put((number, reply))
    return reply.result()
