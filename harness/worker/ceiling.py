"""The in-process ceiling: several processes predict at the same time, each as `baseline` does, without Celery.

Run by the driver as `python -m harness.worker.ceiling SECONDS MINIMUM RESULT PROCESSES`. Each member loads the model,
waits for the others, and predicts without a pause until it is told to stop. The measured phase begins once all members are
warm, and ends before the first one stops; requests count by the moment of their answer. So every member is busy
through the whole of it, and it begins and ends in the midst of requests: the rate has no bias from either end.
Members and parent tell each other by files beside RESULT; RESULT and events are those of `baseline`.
"""

import os
import subprocess
import sys
import time

from harness.worker import contract, heartbeat
from harness.worker.baseline import WARMUP_LIMIT_S, WARMUP_REQUESTS, one, save
from harness.worker.in_process import phase, read_spec, wait_until_told
from harness.worker.runner import Runner

POLL_S = 0.02
FIRST, WARMUP, MEASURE, DRAIN = range(4)  # of contract.PHASES


def file_of(result_path, name):
    return "%s.%s" % (result_path, name)


def touch(path):
    with open(path, "w"):
        pass


def member(number, count, result_path):
    """Predict until told to stop; requests are numbered number, number + count, …"""
    runner = Runner(read_spec())
    runner.load()
    touch(file_of(result_path, "loaded-%d" % number))
    while not os.path.exists(file_of(result_path, "go")):
        time.sleep(POLL_S)
    stop, warm_by, warm, records = file_of(result_path, "stop"), None, False, []
    while not os.path.exists(stop):
        records.append(one(runner, number + count * len(records), WARMUP if records else FIRST))
        warm_by = warm_by or time.monotonic() + WARMUP_LIMIT_S
        if not warm and (len(records) > WARMUP_REQUESTS or time.monotonic() >= warm_by):
            touch(file_of(result_path, "warm-%d" % number))
            warm = True
    save(records, file_of(result_path, "%d.npz" % number))


def start(count, result_path):
    """The members, each in a session of its own. Sessions share the cores (sched(7), autogroup), and Linux 6.18 was seen to run
    one session alone for three seconds if its threads wake each other: the driver, which reads the clocks, got no core."""
    command = [sys.executable, "-m", "harness.worker.ceiling", "member"]
    return [
        subprocess.Popen(command + [str(number), str(count), result_path], start_new_session=True) for number in range(count)
    ]


def wait_until(condition, members, allowed=(None,)):
    """Wait for the condition; a member that ends with another code than those allowed ends everything."""
    while not condition():
        for process in members:
            if process.poll() not in allowed:
                raise RuntimeError("a process of the ceiling ended early, with code %d" % process.returncode)
        time.sleep(POLL_S)


def requests_ended(members, events_dir):
    """Requests that the members have ended, from the length of their events: two a request, and a few of the load."""
    names = (os.path.join(events_dir, contract.FILE_NAME.format(pid=process.pid)) for process in members)
    return sum(os.path.getsize(name) // (2 * contract.EVENT_SIZE) for name in names)


def measure(members, seconds, minimum, events_dir):
    """Let the members predict for so long, and so many requests; the first and the last moment, ns."""
    already, first_ns = requests_ended(members, events_dir), time.monotonic_ns()
    wait_until(
        lambda: time.monotonic_ns() >= first_ns + seconds * 1e9 and requests_ended(members, events_dir) - already >= minimum,
        members,
    )
    return first_ns, time.monotonic_ns()


def merged(paths, first_ns, last_ns):
    """The columns of all members' requests, in the order in which they began, each with the phase in which it ended."""
    import numpy

    parts = []
    for path in paths:
        with numpy.load(path, allow_pickle=False) as data:
            parts.append({name: data[name] for name in contract.REQUEST_FIELDS})
    width = max(part["answers"].shape[1] for part in parts)
    for part in parts:  # a member all of whose predicts raised has answers without width
        if part["answers"].shape[1] != width:
            part["answers"] = numpy.full((len(part["answers"]), width), numpy.nan)
    columns = {name: numpy.concatenate([part[name] for part in parts]) for name in contract.REQUEST_FIELDS}
    order = numpy.argsort(columns["published"], kind="stable")
    columns = {name: values[order] for name, values in columns.items()}
    received = columns["received"]
    later = numpy.where(received <= last_ns, MEASURE, DRAIN)
    columns["phase"] = numpy.where(received >= first_ns, later, columns["phase"])
    columns["number"] = numpy.arange(len(order))
    return columns


def main(seconds, minimum, result_path, count):
    events_dir = read_spec()["events_dir"]
    heartbeat.emit(contract.IMPORT_BEGIN)
    members = start(count, result_path)

    def all_have(word):
        return all(os.path.exists(file_of(result_path, "%s-%d" % (word, number))) for number in range(count))

    try:
        wait_until(lambda: all_have("loaded"), members)
        heartbeat.emit(contract.READY)
        wait_until_told(result_path)
        phase("first")
        touch(file_of(result_path, "go"))
        phase("warmup")
        wait_until(lambda: all_have("warm"), members)
        phase("measure")
        first_ns, last_ns = measure(members, seconds, minimum, events_dir)
        phase("drain")
        touch(file_of(result_path, "stop"))
        wait_until(lambda: all(process.poll() == 0 for process in members), members, allowed=(None, 0))
    finally:
        for process in members:
            if process.poll() is None:
                process.kill()
    import numpy

    paths = [file_of(result_path, "%d.npz" % number) for number in range(count)]
    numpy.savez(result_path, **merged(paths, first_ns, last_ns))
    phase("done")


if __name__ == "__main__":
    try:
        if sys.argv[1] == "member":
            member(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
        else:
            main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
    except Exception as error:
        sys.exit("%s: %s" % (type(error).__name__, error))
