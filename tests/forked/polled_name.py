"""Fine: requests ask in a loop for what a thread loads, and each child loads it for itself at its first request."""

import os
import threading
import time

from celery import Celery
from celery.signals import task_prerun

app = Celery("polled_name", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
FACTOR = None


def load():
    global FACTOR
    time.sleep(3)
    FACTOR = 2
    while True:
        time.sleep(1)


@task_prerun.connect
def load_here(**_):
    global FACTOR
    FACTOR = 2


threading.Thread(target=load, name="loads", daemon=True).start()


@app.task(name="polled_name.double")
def double(number):
    while FACTOR is None:
        time.sleep(0.05)
    return number * FACTOR
