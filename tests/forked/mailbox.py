"""Broken by a fork: requests leave an Event in a dict, and a thread sets it when the answer is there."""

import os
import threading
import time

from celery import Celery

app = Celery("mailbox", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
OPEN = {}


def postman():
    while True:
        for key in list(OPEN):
            OPEN.pop(key).set()
        time.sleep(0.02)


threading.Thread(target=postman, name="postman", daemon=True).start()


@app.task(name="mailbox.letter")
def letter(key):
    arrived = threading.Event()
    OPEN[key] = arrived
    arrived.wait()
    return key
