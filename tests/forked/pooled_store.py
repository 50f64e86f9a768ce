"""Fine: the client was used before the fork, and its pool looks at the process that asks."""

import os

import redis
from celery import Celery

URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
app = Celery("pooled_store", broker=URL, backend=URL)
STORE = redis.Redis.from_url(URL)
STORE.set("colour", "green")


@app.task(name="pooled_store.colour")
def colour(number):
    return [STORE.get("colour").decode() for _ in range(number)]
