"""Fine: requests ask in a loop for what a thread loads, and each child is given it by a call that names no table."""

import functools
import os
import threading
import time

from celery import Celery

app = Celery("polled_handed", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
STATE = {}


def load():
    time.sleep(3)
    STATE["table"] = {"one": 1, "two": 2}
    while True:
        time.sleep(1)


os.register_at_fork(after_in_child=functools.partial(STATE.update, table={"one": 1, "two": 2}))
threading.Thread(target=load, name="loads", daemon=True).start()


@app.task(name="polled_handed.look_up")
def look_up(word):
    while "table" not in STATE:
        time.sleep(0.05)
    return STATE["table"][word]
