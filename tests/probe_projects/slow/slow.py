"""A task that takes its time without using the CPU."""

import time

from celery import Celery

app = Celery("slow")


@app.task(name="slow.doubled")
def doubled(number: int) -> int:
    time.sleep(1.5)
    return 2 * number
