from celery import Celery

app = Celery("packed", broker="amqp://nobody@localhost:1//", backend="rpc://")
app.conf.update(task_serializer="msgpack", result_serializer="msgpack", accept_content=["msgpack"])


@app.task
def joined(first, second):
    return {"text": first + second, "bytes": b"\x00\xff"}
