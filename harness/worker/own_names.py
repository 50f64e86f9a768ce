"""What a task of somebody's own application can read of the executor that runs it: names and ids, as it would answer them.

Told once for each thread of each process, and for each set of names that it has, so that an answer with such a name is known
for what it is. Python 3.7, nothing but the standard library and what is loaded anyway.
"""

import json
import os
import re
import socket
import sys
import threading

from harness.worker import contract, heartbeat

MOST = 500  # sets of names of one process that are told
_told = set()  # (process id, thread's name, thread's ident)


def tell(directory, hostname):
    """Leave the names of the executor that calls this; `hostname`: of the worker, as a request has it."""
    pid = os.getpid()
    known = pid, *_of_thread()
    if known in _told or len(_told) >= MOST:
        return
    _told.add(known)
    names = [*known, os.getppid(), heartbeat.native_id(), hostname, socket.gethostname(), *_of_process()]
    path = os.path.join(directory, contract.NAMES_FILE_NAME.format(pid=pid))
    with open(path, "a") as file:
        file.write(json.dumps([heartbeat.native_id(), [name for name in names if name]]) + "\n")


def _of_thread():
    """Name and ident. A greenlet is another thread in each request: its number is not told, and neither is its ident."""
    name, ident = threading.current_thread().name, threading.get_ident()
    is_green = getattr(threading.get_ident, "__module__", "") != "_thread"
    return (re.sub(r"\d+", contract.ANY_NUMBER, name), 0) if is_green else (name, ident)


def _of_process():
    """The names that multiprocessing and Celery's own copy of it have for this process."""
    for library in ("multiprocessing.process", "billiard.process"):
        if library in sys.modules:
            yield sys.modules[library].current_process().name
