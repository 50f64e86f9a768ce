"""Broken by a fork: a thread gathers requests into batches, and each request waits for its Future."""

import os
import queue
import threading
from concurrent.futures import Future

from celery import Celery

app = Celery("batcher", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


class Batcher:
    def __init__(self):
        self.inbox = queue.Queue()
        threading.Thread(target=self.serve, name="batcher", daemon=True).start()

    def serve(self):
        while True:
            number, reply = self.inbox.get()
            reply.set_result(number + 100)

    def ask(self, number):
        reply = Future()
        self.inbox.put((number, reply))
        return reply.result()


BATCHES = Batcher()


@app.task(name="batcher.add")
def add(number):
    return BATCHES.ask(number)
