"""Broken by a fork: requests write to a journal of three places, which a thread empties."""

import os
import queue
import threading

from celery import Celery

app = Celery("journal", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
ENTRIES = queue.Queue(maxsize=3)
WRITTEN = []


def write():
    while True:
        WRITTEN.append(ENTRIES.get())


threading.Thread(target=write, name="journal", daemon=True).start()


@app.task(name="journal.noted")
def noted(text):
    ENTRIES.put(text)
    return text.upper()
