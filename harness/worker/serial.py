"""One serial call after the other of somebody's own task, in one process and without a worker: the reference of a probe.

`python -m harness.worker.serial SECONDS MINIMUM RESULT`: as `harness.worker.baseline`, for an application of which nothing is
known but its name. `task.apply` runs the task here; `worker_process_init` is sent first, as the pool `solo` does, since an
application may load its model there. RESULT gets a line (JSON) as each request ends, so that a kill loses none.
"""

import base64
import json
import os
import sys
import time

from harness.worker import contract, heartbeat, their_app

WARMUP_LIMIT_S = 10.0


def phase(name):
    heartbeat.emit(contract.PHASE, contract.PHASES.index(name))


def encoded(result, serializer):
    """What a worker would store, as JSON: text as it is, other bytes in base64; None where it cannot be read back safely."""
    from kombu import serialization

    if serializer == "pickle":
        return None
    _, _, payload = serialization.dumps({"result": result}, serializer=serializer)
    return payload if isinstance(payload, str) else {"base64": base64.b64encode(payload).decode()}


def one(app, task, rows, number, phase_number):
    """Run one request; its line."""
    row = number % len(rows)
    args, kwargs = their_app.arguments(rows[row])
    error, payload = "", None
    begin = time.monotonic_ns()
    heartbeat.emit(contract.TASK_BEGIN, number)
    ended = task.apply(args=args, kwargs=kwargs, throw=False)
    heartbeat.emit(contract.TASK_END, number)
    end = time.monotonic_ns()
    if not ended.successful():
        error = described(ended.result)
    elif isinstance(ended.result, BaseException):
        error = "returned %s" % described(ended.result)
    else:
        try:
            payload = encoded(ended.result, app.conf.result_serializer)
        except Exception as raised:  # a worker cannot store such a result either
            error = described(raised)
    return {"number": number, "row": row, "phase": phase_number, "begin": begin, "end": end, "pid": os.getpid(),
            "tid": heartbeat.native_id(), "error": error, "payload": payload}  # fmt: skip


def described(error):
    return " ".join(("%s: %s" % (type(error).__name__, error)).split())[: contract.ERROR_LENGTH]


def measure(app, task, rows, seconds, minimum, file):
    """The three phases; in warm-up each row is asked at least twice, to see whether answers repeat."""
    number = 0
    for name, least, least_s, most_s in (
        ("first", 1, 0.0, 0.0),
        ("warmup", 2 * len(rows), 0.0, WARMUP_LIMIT_S),
        ("measure", minimum, seconds, float("inf")),
    ):
        phase(name)
        begun, done, elapsed = time.monotonic(), 0, 0.0
        while done == 0 or elapsed < least_s or (done < least and elapsed < most_s):
            line = one(app, task, rows, number, contract.PHASES.index(name))
            file.write(json.dumps(line) + "\n")
            file.flush()
            number, done, elapsed = number + 1, done + 1, time.monotonic() - begun
    phase("drain")


def main(seconds, minimum, result_path):
    from celery import signals

    with open(os.environ[contract.SPEC]) as spec_file:
        spec = json.load(spec_file)
    heartbeat.open_in(spec["events_dir"])
    heartbeat.emit(contract.IMPORT_BEGIN)
    app = their_app.found(spec["app"])
    task = their_app.called(app, spec["task"])
    app.conf.update(spec["settings"])
    signals.worker_process_init.send(sender=None)
    with open(spec["rows"]) as rows_file:
        rows = json.load(rows_file)
    heartbeat.emit(contract.READY)
    with open(result_path, "w") as file:
        measure(app, task, rows, seconds, minimum, file)
    phase("done")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
