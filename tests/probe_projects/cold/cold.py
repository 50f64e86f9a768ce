import time

from celery import Celery

time.sleep(2)
app = Celery("cold", broker="redis://localhost:1/0", backend="redis://localhost:1/1")
loaded = []


@app.task
def predict(number):
    if not loaded:
        time.sleep(6)  # longer than a request may be silent that has been seen to be quick
        loaded.append(True)
    return number + 1
