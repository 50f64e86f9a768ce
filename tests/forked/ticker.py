"""Broken by a fork: a request waits for the next tick, which a thread announces."""

import os
import threading
import time

from celery import Celery

app = Celery("ticker", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
TICK = threading.Condition()


def announce():
    while True:
        time.sleep(0.1)
        with TICK:
            TICK.notify_all()


threading.Thread(target=announce, name="clock", daemon=True).start()


@app.task(name="ticker.at_next")
def at_next(number):
    with TICK:
        TICK.wait()
    return number
