"""Fine: it asks Python to be told of a fork, makes a new lock there and starts its thread again."""

import os
import threading
import time

from celery import Celery

app = Celery("hears_of_forks", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


def tidy():
    while True:
        with GUARD:
            time.sleep(0.2)
        time.sleep(0.01)


def begin():
    global GUARD
    GUARD = threading.Lock()
    threading.Thread(target=tidy, name="tidy", daemon=True).start()


begin()
os.register_at_fork(after_in_child=begin)


@app.task(name="hears_of_forks.triple")
def triple(number):
    with GUARD:
        return 3 * number
