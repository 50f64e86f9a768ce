"""A long task that is acknowledged late, with a visibility timeout that is shorter than it."""

import os
import time

import redis
from celery import Celery

app = Celery("app", broker=os.environ["CELERY_BROKER_URL"])
app.conf.task_acks_late = True
app.conf.worker_prefetch_multiplier = 1
app.conf.broker_transport_options = {"visibility_timeout": 5}


@app.task(name="app.note")
def note(text):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("done", text)


@app.task(name="app.export", bind=True)
def export(self, seconds):
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).rpush("begun", self.request.id)
    time.sleep(seconds)
