"""The in-process baseline: the same model and the same call, in one process, without Celery.

Run by the driver as `python -m harness.worker.baseline SECONDS MINIMUM RESULT`. It predicts the workload's rows
round and round until SECONDS have passed and MINIMUM requests are done, after a first and a few warm-up predicts, and
writes to RESULT (.npz, see `contract.REQUEST_FIELDS`) what a load generator would have seen. Events are a worker's
own, so that the same watchdog can watch it.
"""

import os
import sys
import time

from harness.worker import contract, heartbeat, in_process
from harness.worker.runner import Runner

WARMUP_REQUESTS = 5
WARMUP_LIMIT_S = 5.0


def one(runner, number, phase_number):
    """Predict one request; a record with the fields of contract.REQUEST_FIELDS."""
    row = number * runner.spec["batch"] % len(runner.rows_stored)
    begin = time.monotonic_ns()
    heartbeat.emit(contract.TASK_BEGIN, number)
    error, answer, predict_begin, predict_end = "", None, begin, begin
    try:
        rows = runner.rows(row)
        predict_begin = time.monotonic_ns()
        answer = runner.predict(rows)
        predict_end = time.monotonic_ns()
    except Exception as raised:  # counted by its text: a raised predict is an answer about the cell
        error = in_process.described(raised)
    heartbeat.emit(contract.TASK_END, number)
    ids = (os.getpid(), heartbeat.native_id())
    sending = (begin, begin, begin)  # meant to be sent, and sent, as it is begun
    received = time.monotonic_ns()
    return (number, row, phase_number) + sending + (received, begin, predict_begin, predict_end) + ids + (error, answer)


def measure(runner, seconds, minimum):
    """Predict through the three phases; the records of all requests."""
    records = []
    for number in in_process.requests(seconds, minimum, WARMUP_REQUESTS, WARMUP_LIMIT_S):
        records.append(one(runner, len(records), number))
    return records


def save(records, path):
    import numpy

    columns = dict(zip(contract.REQUEST_FIELDS, zip(*records)))
    width = max([answer.size for answer in columns["answers"] if answer is not None] or [0])
    nothing = numpy.full(width, numpy.nan)
    columns["answers"] = [nothing if a is None else a.ravel().astype("float64") for a in columns["answers"]]
    numpy.savez(path, **{name: numpy.array(values) for name, values in columns.items()})


def main(seconds, minimum, result_path):
    runner = Runner(in_process.read_spec())
    heartbeat.emit(contract.IMPORT_BEGIN)
    runner.load()
    heartbeat.emit(contract.READY)
    in_process.wait_until_told(result_path)
    save(measure(runner, seconds, minimum), result_path)
    in_process.phase("done")


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    except Exception as error:
        sys.exit("%s: %s" % (type(error).__name__, error))
