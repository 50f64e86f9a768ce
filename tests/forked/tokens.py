"""Broken by a fork: a thread hands out tokens, and each request takes one."""

import os
import threading
import time

from celery import Celery

app = Celery("tokens", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))
TOKENS = threading.Semaphore(0)


def refill():
    while True:
        TOKENS.release()
        time.sleep(0.05)


threading.Thread(target=refill, name="refill", daemon=True).start()


@app.task(name="tokens.spend")
def spend(amount):
    for _ in range(amount):
        TOKENS.acquire()
    return amount
