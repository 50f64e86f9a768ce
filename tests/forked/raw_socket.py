"""Broken by a fork: all children speak over one connection."""

import os
import socket
from urllib.parse import urlsplit

from celery import Celery

URL = os.environ.get("CELERY_BROKER_URL", "redis://127.0.0.1:6379/0")
app = Celery("raw_socket", broker=URL, backend=URL)
WHERE = urlsplit(URL)
LINE = socket.create_connection((WHERE.hostname, WHERE.port))


@app.task(name="raw_socket.echo")
def echo(text):
    LINE.sendall(b"ECHO %s\r\n" % text.encode())
    return LINE.recv(100).decode()
