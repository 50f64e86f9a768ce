"""Fine: the thread has done its work, and ended, before the fork."""

import os
import threading

from celery import Celery

app = Celery("finished_thread", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
LOADED, TABLE, GUARD = threading.Event(), {}, threading.Lock()


def load():
    with GUARD:
        TABLE.update(one=1, two=2)
    LOADED.set()


LOADER = threading.Thread(target=load, name="loader")
LOADER.start()
LOADER.join()


@app.task(name="finished_thread.look_up")
def look_up(word):
    LOADED.wait()
    with GUARD:
        return TABLE.get(word)
