"""Broken: a thread loads a table, and requests ask in a loop whether it is there."""

import os
import threading
import time

from celery import Celery

app = Celery("polled_table", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
STATE = {}


def load():
    time.sleep(3)
    STATE["table"] = {"one": 1, "two": 2}
    while True:
        time.sleep(1)


threading.Thread(target=load, name="loads", daemon=True).start()


@app.task(name="polled_table.look_up")
def look_up(word):
    while "table" not in STATE:
        time.sleep(0.05)
    return STATE["table"][word]
