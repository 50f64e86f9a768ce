"""Tries one backend on one bundle, without Celery: does it answer what the reference answers?

Run in the backend's own environment, by the contract tests and by anybody in doubt:

    python -m harness.backends.check BACKEND BUNDLE [--call predict] [--batch N] [--intra N] [--inter N]
                                     [--cache-dir DIR] [--answers FILE.npy]

Predicts every row of inputs.npy, N at a time (default: all in one call), and prints one line of JSON, the last of
stdout: backend, call, workload, versions, rows, batch, max_abs_error and max_abs_reference, accuracy (null without
labels), load_s, first_predict_s, predict_s (median of the later calls, null if there is none). Exit code 0 whatever
the errors are, the caller judges; 3 with one line on stderr where a layer is unsupported or the call unknown.
"""

import argparse
import json
import os
import sys
import tempfile
import time

from harness import backends
from harness.backends import bundle

BAD_INPUT = 3


def predict_all(answer, rows, batch):
    """Answers for all rows, (n, outputs), and the seconds each call took."""
    import numpy

    answers, seconds = [], []
    for start in range(0, len(rows), batch):
        begin = time.monotonic()
        answers.append(numpy.asarray(answer(rows[start : start + batch])))
        seconds.append(time.monotonic() - begin)
    return numpy.concatenate(answers), seconds


def compare(answers, bundle_dir):
    """How far the answers are from the bundle's reference, and how many name the right class."""
    import numpy

    reference = numpy.load(os.path.join(bundle_dir, bundle.REFERENCE))
    if answers.shape != reference.shape:
        raise ValueError("answers have shape %s, the reference has %s" % (answers.shape, reference.shape))
    labels = os.path.join(bundle_dir, bundle.LABELS)
    right = numpy.load(labels) == answers.argmax(axis=1) if os.path.exists(labels) else None
    return {
        # Of float64: a NaN among the answers must come out as NaN, never as a small error.
        "max_abs_error": float(numpy.max(numpy.abs(answers.astype("float64") - reference))),
        "max_abs_reference": float(numpy.max(numpy.abs(reference))),
        "accuracy": None if right is None else float(right.mean()),
    }


def check(options):
    backend = backends.get(options.backend)
    backend.call = options.call
    backend.configure(intra=options.intra, inter=options.inter, cache_dir=options.cache_dir)
    import numpy

    begin = time.monotonic()
    answer = backend.caller(backend.load(options.bundle), options.call)
    load_s = time.monotonic() - begin
    rows = numpy.load(os.path.join(options.bundle, bundle.INPUTS))
    batch = options.batch or len(rows)
    answers, seconds = predict_all(answer, rows, batch)
    if options.answers:
        numpy.save(options.answers, answers)
    result = {"backend": options.backend, "call": options.call, "versions": backend.versions()}
    result.update(workload=bundle.read_model(options.bundle)["name"], rows=len(rows), batch=batch)
    result.update(load_s=load_s, first_predict_s=seconds[0])
    result["predict_s"] = float(numpy.median(seconds[1:])) if len(seconds) > 1 else None
    result.update(compare(answers, options.bundle))
    return result


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m harness.backends.check")
    parser.add_argument("backend")
    parser.add_argument("bundle")
    parser.add_argument("--call", default="predict")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--intra", type=int)
    parser.add_argument("--inter", type=int)
    parser.add_argument("--cache-dir", default=os.path.join(tempfile.gettempdir(), "harness-check"))
    parser.add_argument("--answers")
    return parser.parse_args(arguments)


def main(options):
    calls = sys.modules[type(backends.get(options.backend)).__module__].CALLS
    if options.call not in calls:
        return "%s has no call %r, it has: %s" % (options.backend, options.call, ", ".join(calls))
    try:
        print(json.dumps(check(options)))
    except backends.UnsupportedLayer as error:
        return "unsupported layer: %s" % error
    return None


if __name__ == "__main__":
    complaint = main(parse(sys.argv[1:]))
    if complaint:
        sys.stderr.write(complaint + "\n")
        sys.exit(BAD_INPUT)
