"""A task that leaves a note, and one that runs out of memory and is acknowledged late."""

import os

import redis
from celery import Celery

app = Celery("app", broker=os.environ["CELERY_BROKER_URL"])
app.conf.worker_prefetch_multiplier = 1


@app.task(name="app.note", acks_late=True)
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)


@app.task(name="app.resize", acks_late=True)
def resize():
    raise MemoryError("this image is too large")
