"""Broken by a fork: a thread that writes all day keeps a re-entrant lock by hand."""

import os
import threading
import time

from celery import Celery

app = Celery("ledger", broker=os.environ.get("CELERY_BROKER_URL"), backend=os.environ.get("CELERY_RESULT_BACKEND"))


class Ledger:
    def __init__(self):
        self.guard = threading.RLock()
        self.total = 0

    def audit(self):
        while True:
            self.guard.acquire()
            time.sleep(0.3)
            self.guard.release()
            time.sleep(0.002)

    def book(self, amount):
        self.guard.acquire()
        try:
            self.total += amount
            return amount
        finally:
            self.guard.release()


BOOKS = Ledger()
threading.Thread(target=BOOKS.audit, name="audit", daemon=True).start()


@app.task(name="ledger.book")
def book(amount):
    return BOOKS.book(amount)
