"""Messages and results through files that are whole before anybody can find them.

kombu's filesystem transport and Celery's `file://` results write a file in place: who looks in the moment before its text is
there reads half of it, and ends of that (JSONDecodeError). Here a file is written beside, and then gets its name.
kombu 4.6 to 5.7, Python 3.7.
"""

import os
import time
import uuid


def use(app):
    """Let `app`, of a worker or of who asks it, exchange messages in REPRODUCE_FOLDER."""
    from celery.backends.filesystem import FilesystemBackend
    from kombu.transport.filesystem import Channel

    folder = os.environ["REPRODUCE_FOLDER"]
    queue = os.path.join(folder, "queue")
    app.conf.worker_enable_remote_control = False  # that needs a transport that broadcasts
    app.conf.broker_transport_options = {
        "data_folder_in": queue,
        "data_folder_out": queue,
        "control_folder": os.path.join(folder, "control"),
        "polling_interval": 0.05,
    }
    Channel._put = put
    FilesystemBackend.set = keep


def put(channel, queue, payload, **_):
    """For `Channel._put`: names begin with milliseconds, as there, for messages are taken in the order of their names."""
    from kombu.utils.json import dumps

    name = "%d_%s.%s.msg" % (round(time.monotonic() * 1000), uuid.uuid4(), queue)
    write(os.path.join(channel.data_folder_out, name), dumps(payload))


def keep(backend, key, value):
    """For `FilesystemBackend.set`."""
    write(backend._filename(key), value)


def write(path, data):
    """`path`, and the text or bytes in it, are there at once or not at all."""
    new = os.path.join(os.environ["REPRODUCE_FOLDER"], uuid.uuid4().hex)
    with open(new, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8"))
    os.replace(new, path)
