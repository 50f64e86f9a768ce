"""Tasks with a side to them: they send further tasks, say nothing on purpose, or start processes of their own."""

import os
import threading
import time

from celery import Celery, Task, signals
from celery.exceptions import Ignore, Reject

app = Celery("sides", broker="redis://localhost:1/0", backend="redis://localhost:1/0")
app.conf.worker_pool = "threads"
app.conf.worker_concurrency = 3
LOCK = threading.Lock()


@signals.worker_process_init.connect
def slow_start(**_):
    if os.environ.get("SIDES_LOCKED"):
        LOCK.acquire()
        LOCK.acquire()
    time.sleep(0.5)


@app.task
def index(count):
    time.sleep(count)


@app.task
def ingest(count):
    index.delay(count)
    return count


@app.task
def ignored(count):
    raise Ignore()


@app.task
def plus(count):
    time.sleep(1.0)
    return count + 1


@app.task(bind=True)
def replaced(self, count):
    if self.request.is_eager:
        return count + 1
    raise self.replace(plus.s(count - 1) | plus.s())


@app.task(acks_late=True)
def rejected(count):
    raise Reject("not wanted", requeue=False)


@app.task
def forking(count):
    pid = os.fork()
    if pid == 0:
        time.sleep(2.0)
        os._exit(0)
    return count


class Fresh(Task):
    def apply_async(self, args=None, kwargs=None, **options):
        options.setdefault("expires", 2)
        return super().apply_async(args, kwargs, **options)


@app.task(base=Fresh, soft_time_limit=30)
def fresh(count):
    return count


STUCK = threading.Lock()
STUCK.acquire()


@app.task
def stuck(count):
    STUCK.acquire()
    return count
