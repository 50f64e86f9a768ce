from celery import Celery

app = Celery("packed", broker="redis://localhost:1/0", backend="rpc://")
app.conf.update(task_serializer="msgpack", result_serializer="msgpack", accept_content=["msgpack"])


@app.task
def joined(first, second):
    return {"text": first + second, "bytes": b"\x00\xff"}
