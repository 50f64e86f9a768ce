"""Fine: a thread that holds a lock of its own, which no request takes."""

import os
import threading
import time

from celery import Celery

app = Celery("statistics_thread", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
REPORTING = threading.Lock()


def report():
    while True:
        with REPORTING:
            time.sleep(0.2)


threading.Thread(target=report, name="statistics", daemon=True).start()


@app.task(name="statistics_thread.square")
def square(number):
    return number * number
