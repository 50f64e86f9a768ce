from celery import Celery

app = Celery("pickled", broker="redis://localhost:1/5", backend="redis://localhost:1/6")
app.conf.update(result_serializer="pickle", accept_content=["json", "pickle"], task_track_started=True)


@app.task
def price(count):
    return count
