"""Fine: what requests wait for was set before the fork, though the thread that set it still runs."""

import os
import threading
import time

from celery import Celery

app = Celery("opened_gate", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
OPENED = threading.Event()


def open_and_stay():
    OPENED.set()
    while True:
        time.sleep(1)


threading.Thread(target=open_and_stay, name="porter", daemon=True).start()
OPENED.wait()


@app.task(name="opened_gate.enter")
def enter(name):
    OPENED.wait()
    return name
