"""Fine: a pool that is in use before the fork, in whose place each child makes one of its own when it begins."""

import os
from concurrent.futures import ThreadPoolExecutor

from celery import Celery
from celery.signals import worker_process_init

app = Celery("made_anew", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
CREW = ThreadPoolExecutor(1)
CREW.submit(len, "").result()


@worker_process_init.connect
def make_anew(**_):
    global CREW
    CREW = ThreadPoolExecutor(1)


@app.task(name="made_anew.square")
def square(number):
    return CREW.submit(pow, number, 2).result()
