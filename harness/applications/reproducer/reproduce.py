"""Start the worker of this folder, send it requests, and say how they ended: `python reproduce.py`.

Run it with the interpreter of an environment that has what requirements.txt lists. `particulars.py` knows the application: how
it is found, and which answers are right. Without --broker, messages go through files in a folder of its own (kombu's filesystem
transport), so that no server is needed; --broker redis://… uses yours, which matters where a queue stalls. Exit 0: it ended as
it did when it was measured (see cell.json). 1: otherwise.
"""

import argparse
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
POLL_S = 0.05
IDLE_S, IDLE_CPU = 3.0, 0.1  # a worker that hangs uses less than so many cores for so many seconds
WARNED = ("--loglevel", "WARNING", "--without-mingle", "--without-gossip")
SLOW_TIMES = 10  # a silence so many times as long as patience ends the run, whatever the worker computes


def read_cell():
    with open(os.path.join(HERE, "cell.json")) as file:
        return json.load(file)


def addresses(folder, broker):
    """(broker URL, result URL); for the filesystem transport, its folders exist afterwards."""
    if broker:
        return broker, broker
    for name in ("queue", "control", "results"):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    return "filesystem://", "file://" + os.path.join(folder, "results")


def environment(cell, folder, broker):
    broker_url, result_url = addresses(folder, broker)
    found = dict(os.environ)
    found.update(cell["variables"])
    found.update({
        "BROKER_URL": broker_url, "RESULT_URL": result_url, "REPRODUCE_FOLDER": folder, "PYTHONUNBUFFERED": "1",
        "REPRODUCE_QUEUE": os.path.basename(folder),
        "PATH": os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)]),
    })  # fmt: skip
    return found


def start_worker(arguments, place, folder, variables, by_script):
    script = os.path.join(os.path.dirname(sys.executable), "celery")
    command = [sys.executable] + ([script] if by_script else ["-m", "celery"]) + arguments + list(WARNED)
    print("$ " + " ".join(command))
    log = open(os.path.join(folder, "worker.log"), "w")
    return subprocess.Popen(command, cwd=place, env=variables, stdout=log, stderr=log, start_new_session=True)


def wait_ready(worker, folder, limit_s):
    until = time.monotonic() + limit_s
    while not os.path.exists(os.path.join(folder, "ready")):
        if worker.poll() is not None or time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


class Client:
    """Keeps so many requests in flight until all are sent; `counts` says how they ended."""

    def __init__(self, app, cell, requests, particulars):
        self.app, self.cell, self.left, self.particulars = app, cell, requests, particulars
        self.lost = 0
        self.open, self.counts, self.errors = {}, Counter(), Counter()
        self.number = 0
        self.progress_at = time.monotonic()

    def step(self):
        """Send what is due, and take what is there; whether there was any answer."""
        while self.left and len(self.open) < self.cell["in_flight"]:
            row = self.number % self.cell["rows"]
            self.open[self.number] = (row, self.particulars.send(self.app, self.cell, row))
            self.number, self.left = self.number + 1, self.left - 1
        answered = False
        for number, (row, result) in list(self.open.items()):
            if result.ready():
                del self.open[number]
                self.progress_at, answered = time.monotonic(), True
                self.take(row, result)
        return answered

    def take(self, row, result):
        if not result.successful():
            self.counts["errors"] += 1
            self.lost += type(result.result).__name__ == "WorkerLostError"
            self.errors["%s: %s" % (type(result.result).__name__, result.result)] += 1
            return
        right = self.particulars.is_right(self.cell, row, result.result)
        self.counts["ok" if right else "wrong"] += 1


def descendants(pid):
    found = []
    for path in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(path) as file:
                text = file.read()
        except OSError:
            continue
        number, parent = int(text.split(" ", 1)[0]), int(text.rsplit(")", 1)[1].split()[1])
        if parent == pid:
            found += [number] + descendants(number)
    return found


def computed(worker):
    """CPU seconds of the worker and all below it, so far."""
    ticks = 0
    for pid in [worker.pid] + descendants(worker.pid):
        try:
            with open("/proc/%d/stat" % pid) as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))  # of itself and of the children that it has waited for
    return ticks / os.sysconf("SC_CLK_TCK")


def silent(client, worker, patience_s, total):
    """(outcome, reason) after so long a silence, None where an answer comes after all.

    A hang computes nothing; what compiles or computes is given more time.
    """
    done = sum(client.counts.values())
    told = "%d of %d requests answered, then nothing for " % (done, total)
    while time.monotonic() - client.progress_at < SLOW_TIMES * patience_s:
        before = computed(worker)
        time.sleep(IDLE_S)
        idle = computed(worker) - before < IDLE_CPU * IDLE_S
        if client.step() or worker.poll() is not None:
            return None  # it goes on, or has died
        if idle:
            return "hung", told + "%.0f s" % (time.monotonic() - client.progress_at)
    return "slow", told + "%.0f s, but the worker computes" % (time.monotonic() - client.progress_at)


def watch(client, worker, patience_s, total):
    """(outcome, reason)."""
    while sum(client.counts.values()) < total:
        client.step()
        if worker.poll() is not None:
            return "crashed", "the worker ended with code %d" % worker.returncode
        if time.monotonic() - client.progress_at > patience_s:
            ended = silent(client, worker, patience_s, total)
            if ended is not None:
                return ended
        time.sleep(POLL_S)
    if client.lost:
        return "crashed", "child processes died: %d requests were lost with them" % client.lost
    if client.counts["wrong"]:
        return "wrong", "%d of %d answers differ from the reference" % (client.counts["wrong"], total)
    if client.counts["errors"]:
        return "errors", "; ".join("%d x %s" % (count, text) for text, count in client.errors.most_common(2))
    return "ok", "%d of %d answers %s" % (client.counts["ok"], total, client.particulars.MATCH)


def dump_stacks(worker):
    """Stacks of the worker's processes beside this script, where py-spy is there to tell them."""
    if not shutil.which("py-spy"):
        print("py-spy is not on PATH: no stacks are written")
        return
    for pid in [worker.pid] + descendants(worker.pid):
        path = os.path.join(HERE, "stacks-%d.txt" % pid)
        with open(path, "w") as file:
            subprocess.call(["py-spy", "dump", "--native", "--pid", str(pid)], stdout=file, stderr=file)
        print("stacks: " + path)


def stop(worker):
    """End the whole session of the worker, at once: a child that hangs would not go by itself."""
    for pid in descendants(worker.pid) + [worker.pid]:
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass
    try:
        os.killpg(worker.pid, signal.SIGKILL)  # children whose parent was gone already
    except OSError:
        pass
    worker.wait()


def stopped(*_):
    raise KeyboardInterrupt


def main():
    import particulars

    cell = read_cell()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--broker", default="", help="redis://… instead of files")
    parser.add_argument("--requests", type=int, default=cell.get("requests", 20))
    parser.add_argument("--patience", type=float, default=0.0, help="seconds without an answer that count as a hang")
    particulars.options(parser)
    asked = parser.parse_args()
    place = particulars.folder(cell, asked)
    folder = tempfile.mkdtemp(prefix="reproduce-")
    variables = environment(cell, folder, asked.broker)
    worker = app = None
    for ending in (signal.SIGTERM, signal.SIGHUP):  # else the worker, in a session of its own, would live on
        signal.signal(ending, stopped)
    try:
        particulars.prepare(cell, place, variables)
        worker = start_worker(particulars.command(cell), place, folder, variables, cell.get("script"))
        if not wait_ready(worker, folder, 180):
            ended = worker.poll()
            late = "the worker was not ready within 180 s"
            outcome, reason = "refused", late if ended is None else "the worker ended with code %d as it started" % ended
        else:
            os.environ.update(variables)
            app = particulars.make_app()
            client = Client(app, cell, asked.requests, particulars)
            outcome, reason = watch(client, worker, asked.patience or cell["patience_s"], asked.requests)
        if outcome == "hung":
            dump_stacks(worker)
        if outcome in ("refused", "crashed"):
            with open(os.path.join(folder, "worker.log"), errors="replace") as log:
                print(log.read()[-3000:])
    except KeyboardInterrupt:
        outcome, reason = "stopped", "on request"
    finally:
        if worker is not None:
            stop(worker)
        if app is not None and asked.broker:
            particulars.clean(app)
        shutil.rmtree(folder, ignore_errors=True)
    print("outcome: %s (%s)" % (outcome, reason))
    print("when it was measured: %s (%s)" % (cell["outcome"], cell["reason"]))
    if outcome == "stopped":
        return 130
    return 0 if outcome == cell.get("called", cell["outcome"]) else 1


if __name__ == "__main__":
    sys.exit(main())
