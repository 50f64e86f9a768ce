"""Waits for another process, which the fault starts: for its end, its lock, its word. Some never end."""

import itertools
import os
import subprocess
import sys
import tempfile
import threading

from harness.backends.faults import helpers

SEMAPHORE = 1  # of _multiprocessing.SemLock's kinds
NUMBERS = itertools.count()  # threads that strike at the same time need names of their own
WHERE = {"folder": ""}  # the trial's own, if it has one

PAUSE = "import signal\nwhile True: signal.pause()\n"
SLEEP = "time.sleep(float(sys.argv[2]))\n"
DEADLOCK = "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()\n"
#: Takes the semaphore of this name.
TAKE = """
from _multiprocessing import SemLock
semaphore = SemLock._rebuild(0, 1, 1, sys.argv[3])
semaphore.acquire()
print("taken", flush=True)
"""
RELEASE = "semaphore.release()\n"
#: Locks the file of this descriptor, by an open file of its own.
LOCK_FILE = """
import fcntl
file = os.open("/proc/self/fd/%s" % sys.argv[3], os.O_RDWR)
os.close(int(sys.argv[3]))
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
"""
#: Accepts one connection, and says nothing.
ACCEPT = """
import socket
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen()
print(server.getsockname()[1], flush=True)
peer, _ = server.accept()
"""
#: Publishes one message to a channel. The URL may hold a password, which no command line should show.
PUBLISH = "import redis\nredis.Redis.from_url(os.environ['FAULTY_URL']).publish(sys.argv[3], 'done')\n"


def compiler(value):
    """Wait for a child process that computes for `value` seconds, as a compiler would."""
    code = "import time; end = time.monotonic() + %r\nwhile time.monotonic() < end: pass" % value
    subprocess.check_call([sys.executable, "-c", code])


def child(value):
    """Wait for a child process that sleeps `value` seconds."""
    helpers.start(SLEEP, value).wait()


def endless_child(value):
    """Wait for a child process that waits for a signal, for ever."""
    helpers.start(PAUSE).wait()


def deadlocked_child(value):
    """Wait for a child process that has locked itself out."""
    helpers.start(DEADLOCK).wait()


def file_lock(value):
    """Wait for a lock on a file that another process holds for `value` seconds; for ever, if that is 0."""
    import fcntl

    with tempfile.TemporaryFile() as file:
        number = file.fileno()
        process, _ = helpers.start_ready(LOCK_FILE + (SLEEP if value else PAUSE), value, number, pass_fds=[number])
        fcntl.flock(number, fcntl.LOCK_EX)
        process.wait()


def shared_lock(value):
    """Wait for a lock of multiprocessing that a process holds for `value` seconds; if that is 0, it took the lock and ended."""
    semaphore, process = _taken_elsewhere(value)
    if not value:
        process.wait()
    semaphore.acquire()
    process.wait()


def shared_lock_in_thread(value):
    """Wait for a thread of its own, which waits for a lock that another process holds for `value` seconds."""
    from concurrent.futures import ThreadPoolExecutor

    semaphore, process = _taken_elsewhere(value)
    with ThreadPoolExecutor(1) as executor:
        executor.submit(semaphore.acquire).result()
    process.wait()


def _taken_elsewhere(seconds):
    """A multiprocessing lock, and the process that has it."""
    import _multiprocessing

    name = "/faulty-%d-%d" % (os.getpid(), next(NUMBERS))
    semaphore = _multiprocessing.SemLock(SEMAPHORE, 1, 1, name, False)
    process, _ = helpers.start_ready(TAKE + (SLEEP + RELEASE if seconds else ""), seconds, name)
    _multiprocessing.sem_unlink(name)
    return semaphore, process


def pipe(value):
    """Read what a child process writes to a pipe after `value` seconds."""
    reads, writes = os.pipe()
    process = helpers.start(SLEEP + "os.write(int(sys.argv[3]), b'x')\n", value, writes, pass_fds=[writes])
    os.close(writes)
    os.read(reads, 1)
    os.close(reads)
    process.wait()


def peer(value):
    """Ask a process on a loopback socket: it answers after `value` seconds; never, if that is 0."""
    import socket

    process, port = helpers.start_ready(ACCEPT + (SLEEP + "peer.send(b'x')\n" if value else PAUSE), value)
    with socket.create_connection(("127.0.0.1", int(port))) as connection:
        connection.recv(1)
    process.wait()


def listener(value):
    """Wait for an event that a listening thread of redis-py sets, when a message comes after `value` seconds."""
    import redis
    from celery import current_task

    url = current_task.app.conf.broker_url
    told, channel = threading.Event(), "faulty-%d-%d" % (os.getpid(), next(NUMBERS))
    subscription = redis.Redis.from_url(url).pubsub()
    subscription.subscribe(**{channel: lambda message: told.set()})
    thread = subscription.run_in_thread(sleep_time=1.0, daemon=True)
    process = helpers.start(SLEEP + PUBLISH, value, channel, env=dict(os.environ, FAULTY_URL=url))
    told.wait()
    thread.stop()
    process.wait()


def fifo(value):
    """Open a FIFO to read it; nobody opens it to write."""
    path = os.path.join(WHERE["folder"] or tempfile.mkdtemp(), "fifo-%d-%d" % (os.getpid(), threading.get_ident()))
    if not os.path.exists(path):
        os.mkfifo(path)
    with open(path, "rb") as file:
        file.read(1)


FAULTS = {
    "subprocess-wait": compiler,
    "child": child,
    "endless-child": endless_child,
    "deadlocked-child": deadlocked_child,
    "file-lock": file_lock,
    "shared-lock": shared_lock,
    "shared-lock-in-thread": shared_lock_in_thread,
    "pipe": pipe,
    "peer": peer,
    "listener": listener,
    "fifo": fifo,
}
