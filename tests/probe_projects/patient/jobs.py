import time

from celery import Celery

app = Celery("patient", broker="redis://localhost:1/5", backend="redis://localhost:1/6")


@app.task
def report(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.05)
    return {"took": seconds}


@app.task(acks_late=True, reject_on_worker_lost=True)
def careful(seconds):
    time.sleep(seconds)
    return {"took": seconds}
