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

from harness.worker import contract, heartbeat, in_process, their_app

WARMUP_LIMIT_S = 10.0
TIMES_EACH = 2  # in a row, so that the time is enough to see whether the answers to one repeat


def encoded(result, serializer):
    """What a worker would store, as JSON: text as it is, other bytes in base64; None where it cannot be read back safely."""
    from kombu import serialization

    if serializer == "pickle":
        return None
    _, _, payload = serialization.dumps({"result": result}, serializer=serializer)
    return payload if isinstance(payload, str) else {"base64": base64.b64encode(payload).decode()}


def one(app, task, rows, number, phase_number):
    """Run one request; its line."""
    row = number // TIMES_EACH % len(rows)
    args, kwargs = their_app.arguments(rows[row])
    error, payload = "", None
    begin = time.monotonic_ns()
    heartbeat.emit(contract.TASK_BEGIN, number)
    ended = task.apply(args=args, kwargs=kwargs, throw=False)
    heartbeat.emit(contract.TASK_END, number)
    end = time.monotonic_ns()
    if not ended.successful():
        error = in_process.described(ended.result)
    elif isinstance(ended.result, BaseException):
        error = "returned %s" % in_process.described(ended.result)
    else:
        try:
            payload = encoded(ended.result, app.conf.result_serializer)
        except Exception as raised:  # a worker cannot store such a result either
            error = in_process.described(raised)
    return {"number": number, "row": row, "phase": phase_number, "begin": begin, "end": end, "pid": os.getpid(),
            "tid": heartbeat.native_id(), "error": error, "payload": payload}  # fmt: skip


def measure(app, task, rows, seconds, minimum, file):
    """Run the three phases; in warm-up each row is asked at least twice, to see whether answers repeat."""
    for number, phase_number in enumerate(in_process.requests(seconds, minimum, TIMES_EACH * len(rows), WARMUP_LIMIT_S)):
        file.write(json.dumps(one(app, task, rows, number, phase_number)) + "\n")
        file.flush()


def main(seconds, minimum, result_path):
    from celery import signals

    spec = in_process.read_spec()
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
    in_process.phase("done")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
