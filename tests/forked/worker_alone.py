"""Broken by a fork: a thread that gathers requests is started in workers alone, as their command line says."""

import os
import queue
import sys
import threading

from celery import Celery

app = Celery("worker_alone", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
INBOX = queue.Queue()
IS_WORKER = "worker" in sys.argv


def serve():
    while True:
        number, reply = INBOX.get()
        reply.put(number * 2)


if IS_WORKER:
    threading.Thread(target=serve, name="gathers", daemon=True).start()


@app.task(name="worker_alone.twice")
def twice(number):
    if not IS_WORKER:
        return number * 2
    reply = queue.Queue()
    INBOX.put((number, reply))
    return reply.get()
