"""Fine: requests wait for what a thread loads, and each child is told at its fork that it has it."""

import os
import threading
import time

from celery import Celery

app = Celery("set_at_fork", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
READY = threading.Event()


def load():
    time.sleep(3)
    READY.set()
    while True:
        time.sleep(1)


os.register_at_fork(after_in_child=READY.set)
threading.Thread(target=load, name="loads", daemon=True).start()


@app.task(name="set_at_fork.double")
def double(number):
    READY.wait()
    return number * 2
