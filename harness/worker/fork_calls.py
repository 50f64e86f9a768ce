"""One task called in forked children, or without any fork: the same calls, so that the two can be compared.

A child begins as one of Celery's does (a daemon, billiard's notices of a fork, `process_initializer` with worker_process_init),
calls its rows, and ends by `os._exit`. Nobody waits for it longer than the driver wants. Python 3.7, standard library only.
"""

import hashlib
import json
import os

# taken before the application may patch them, as gevent and eventlet do
from os import fork
from select import poll
from time import monotonic, sleep

from harness.worker import their_app, unstarted

FOR_S = 3.0  # no call is begun after so many seconds
MOST_TEXT = 20000  # characters of an answer that are told; of a longer one, its digest
ENDS_S = 1.0  # from the last that a child told to its end
TIMES_ALONE = 2  # without a fork each row is called so often: what differs then is not compared


def begun_as_child(app):
    """What a child of Celery's prefork pool runs before its first task."""
    from celery import signals

    try:
        from billiard import util
        from celery.concurrency.prefork import process_initializer

        util._run_after_forkers()
        process_initializer(app, "harness@check")
    except ImportError:
        signals.worker_process_init.send(sender=None)


def daemonic(number):
    """Be the process that billiard makes of a child: a daemon, in which multiprocessing starts no process, with its number.

    Its name stays: an answer that tells it would differ from that without a fork."""
    try:
        from billiard import process

        one = process.Process(name=process.current_process().name)
        one.daemon, one.index = True, number
        process._set_current_process(one)
    except (ImportError, AttributeError):  # no billiard, or an old one
        return


def call_all(app, spec, write, times=1):
    """Call the rows in turn, and write what each call gave, one dict each."""
    task, until = their_app.called(app, spec["task"]), monotonic() + FOR_S
    for turn in range(times):
        for number, row in enumerate(spec["rows"]):
            if (turn or number) and monotonic() > until:
                return
            write({"begins": number})
            begun = monotonic()
            error, payload = their_app.stored(applied(task, row), app.conf.result_serializer)
            text = json.dumps(payload)
            if len(text) > MOST_TEXT:
                payload = {"sha256": hashlib.sha256(text.encode()).hexdigest()}
            write({"row": number, "error": error, "payload": payload, "took_s": monotonic() - begun})


def applied(task, row):
    """As `their_app.applied`; a task that ends its process would end this one, too."""
    try:
        return their_app.applied(task, row)
    except BaseException as raised:
        return Ended(raised)


class Ended:
    """What `EagerResult` says of an exception that Celery lets through."""

    def __init__(self, raised):
        self.result = raised

    def successful(self):
        return False


def in_children(app, spec, say):
    """Fork so many children, let them begin together, and pass on what they tell until the last one has ended."""
    pipes, pids, (gate, opener) = {}, {}, os.pipe()
    for number in range(spec["forks"]):
        reader, writer = os.pipe()
        pid = fork()
        if pid == 0:
            os.close(opener)
            _child(app, spec, writer, gate, number)
        os.close(writer)
        pipes[reader], pids[number] = number, pid
        say(caller=number, pid=pid)
    os.close(opener)  # they begin
    ready, rest = poll(), dict.fromkeys(pipes, b"")
    for reader in pipes:
        ready.register(reader)
    while pipes:
        for reader, _ in ready.poll():
            data = os.read(reader, 65536)
            lines = (rest[reader] + data).split(b"\n")
            rest[reader] = lines.pop()
            for line in lines:
                say(caller=pipes[reader], **json.loads(line.decode()))
            if not data:
                ready.unregister(reader)
                number = pipes.pop(reader)
                say(caller=number, ended=True, code=return_code(pids[number]))


def return_code(pid):
    """A child's return code, below 0 for a signal, once it tells no more; None if it does not end, or another one has asked."""
    until = monotonic() + ENDS_S
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
        while not found and monotonic() < until:
            sleep(0.01)
            found, status = os.waitpid(pid, os.WNOHANG)
    except OSError:  # the application reaps its children
        return None
    if not found:
        return None
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _child(app, spec, writer, gate, number):
    try:

        def write(line):
            os.write(writer, json.dumps(line).encode() + b"\n")

        write({"starts": True})
        daemonic(number if spec["forks"] > 1 else 1)  # by itself as the second one: the first's number is often the default
        begun_as_child(app)
        os.read(gate, 1)  # nobody writes: it ends when the parent closes it
        call_all(app, spec, write)
    finally:
        os._exit(0)


def alone(app, spec, say):
    """The same calls in this process, which forks nothing, and hears that the worker is ready, as forked children do not."""
    say(caller=-1, pid=os.getpid())
    say(caller=-1, starts=True)
    begun_as_child(app)
    unstarted.ready()
    call_all(app, spec, lambda line: say(caller=-1, **line), TIMES_ALONE)
    say(caller=-1, ended=True)
