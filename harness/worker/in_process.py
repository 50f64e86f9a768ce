"""What runs without a worker have in common: the trial's spec, the phases, and how an error is told.

Our own model's baseline (`harness.worker.baseline`) and the serial calls of somebody's application (`harness.worker.serial`).
"""

import json
import os
import time

from harness.worker import contract, heartbeat

GO_EVERY_S = 0.005


def read_spec():
    """The trial's spec; from now on, signs of life go where it says."""
    with open(os.environ[contract.SPEC]) as file:
        spec = json.load(file)
    heartbeat.open_in(spec["events_dir"])
    return spec


def phase(name):
    """Tell that a phase begins, the log too; its number."""
    number = contract.PHASES.index(name)
    heartbeat.emit(contract.PHASE, number)
    print("phase " + name, flush=True)
    return number


def wait_until_told(result_path):
    """Nothing is measured before the driver says so, by a file beside the result."""
    while not os.path.exists(os.path.join(os.path.dirname(result_path), contract.GO)):
        time.sleep(GO_EVERY_S)


def requests(seconds, minimum, warmup, warmup_limit_s, whole_s=float("inf"), most=float("inf")):
    """The phase's number, once for each request to run: the first, up to `warmup` of them, and those that are measured.

    These are at least `minimum`, and go on for `seconds`. A request is run between one number and the next. None is begun
    that would end after `whole_s` if it took as long as the one before; if there is time for two more at most, these are
    measured. There are `most` at the most.
    """
    start, took_s, made = time.monotonic(), 0.0, 0
    for name, least, least_s, most_s in (
        ("first", 1, 0.0, 0.0),
        ("warmup", warmup, 0.0, warmup_limit_s),
        ("measure", minimum, seconds, float("inf")),
    ):
        begun, done, elapsed = time.monotonic(), 0, 0.0
        if begun - start + took_s > whole_s or made >= most or (name == "warmup" and 3 * took_s > whole_s):
            continue
        number = phase(name)
        while done == 0 or elapsed < least_s or (done < least and elapsed < most_s):
            if made >= most or (done and time.monotonic() - start + took_s > whole_s):
                break
            before = time.monotonic()
            yield number
            after, made = time.monotonic(), made + 1
            done, elapsed, took_s = done + 1, after - begun, after - before
    phase("drain")


def described(error):
    """'ValueError: what it said', on one line."""
    return contract.error_line("%s: %s" % (type(error).__name__, error))
