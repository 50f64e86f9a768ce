"""Fine, if a little old: a thread keeps a table up to date, and requests read it."""

import os
import threading
import time

from celery import Celery

app = Celery("rates", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
TABLE = {"EUR": 1.0}


def refresh():
    while True:
        TABLE["USD"] = 1.1
        time.sleep(0.5)


threading.Thread(target=refresh, name="rates", daemon=True).start()


@app.task(name="rates.convert")
def convert(amount):
    return amount * TABLE["EUR"]
