"""How else a trial can end: processes that end, answers that are not right, loads that fail, and what is done from outside."""

from __future__ import annotations

from harness.proof.selftest.entry import CHILDREN, GREEN, LONG, NO_RESPAWN, NO_SECOND_READING, PATIENT, READY_SOON, Entry, ends
from harness.records.outcomes import Outcome

#: What is no Exception ends a process that runs one request. Beside others it ends one thread or greenlet, and Celery stores
#: nothing: `apply_target` hands over an ExceptionInfo, which `on_success` cannot take apart (celery/concurrency/base.py).
LOST_BESIDE = dict.fromkeys(("threads", *GREEN), frozenset({Outcome.HUNG}))
#: the executor ends, or with it the hub or the main thread and so the worker
LOST_OR_ENDED = dict.fromkeys(("threads", *GREEN), frozenset({Outcome.HUNG, Outcome.CRASHED}))
LOST_OR_FATAL = {**LOST_BESIDE, "solo": frozenset({Outcome.CRASHED})}
FATAL_IN_MAIN = dict.fromkeys((*CHILDREN, "solo"), frozenset({Outcome.CRASHED}))
#: One process, several requests; and a child without the threads of its parent.
WRONG_BESIDE = dict.fromkeys(("threads", *GREEN), frozenset({Outcome.WRONG}))
WRONG_FORKED = {"prefork": frozenset({Outcome.WRONG})}
FEW = {"requests": 6, **PATIENT}

ENDING: tuple[Entry, ...] = (
    # processes that end
    ends("signal-11", "signal:11@5", Outcome.CRASHED, cause="unknown"),
    ends("signal-9", "signal:9@5", Outcome.CRASHED, cause="unknown"),
    ends("abort", "abort@5", Outcome.CRASHED, cause="unknown"),
    ends("exit-3", "exit:3@5", Outcome.CRASHED, cause="unknown"),
    ends("exit-0", "exit:0@5", Outcome.CRASHED, cause="unknown"),
    ends(
        "respawn-loop",
        "load-exit:7",
        Outcome.RESPAWNING,
        Outcome.CRASHED,  # Celery gives up where all children die before it begins to consume (celery/worker/loops.py)
        cause="respawn-loop",
        placement="process-init",
        pools=CHILDREN,
        elsewhere=NO_RESPAWN,
        seconds=10,
    ),
    ends(
        "children-that-cannot-import",
        "child-error",
        Outcome.RESPAWNING,
        Outcome.CRASHED,
        Outcome.REFUSED,
        placement="import",
        pools=("prefork-spawn",),
        elsewhere=NO_SECOND_READING,
        seconds=20,
    ),
    # what is raised
    ends("error-20-percent", "error:1%20", Outcome.ERRORS),
    ends("long-error", "long-error@5x1", Outcome.ERRORS),
    ends("unpicklable-error", "unpicklable-error@5", Outcome.ERRORS),
    ends("recursion", "recursion@5", Outcome.ERRORS),
    ends("system-exit", "system-exit:2@5x1", Outcome.CRASHED, accepted_in=LOST_BESIDE),
    ends("keyboard-interrupt", "keyboard-interrupt@5x1", Outcome.CRASHED, accepted_in=LOST_OR_ENDED),
    ends("cancelled", "cancelled@5x1", Outcome.ERRORS, accepted_in=LOST_OR_FATAL),
    # Celery raises a MemoryError again where a failure is noted (celery/worker/request.py, on_failure). In prefork and solo
    # that is in the main thread, which ends by it; elsewhere in the executor, after the error has been stored
    ends("memory-error", "memory-error@5x1", Outcome.ERRORS, accepted_in=FATAL_IN_MAIN),
    ends("memory", "memory:300", Outcome.ERRORS, Outcome.CRASHED, settings=PATIENT),
    # answers that are wrong, somebody else's, or there twice
    ends("wrong", "wrong@5", Outcome.WRONG),
    ends("crossed", "crossed@5", Outcome.WRONG),
    ends("nan", "nan@5", Outcome.WRONG),
    ends("huge-answer", "huge@5x1", Outcome.WRONG),
    ends("shared-state", "shared-state@0", Outcome.OK, accepted_in=WRONG_BESIDE),
    ends("thread-local", "thread-local@0", Outcome.OK, placement="import", accepted_in=WRONG_BESIDE),
    ends("late-loader", "late-loader@0", Outcome.OK, placement="import", accepted_in=WRONG_FORKED, settings=FEW, seconds=25),
    ends("duplicate-reply", "duplicate-reply", Outcome.OK, duplicates=True),
    # loads that fail
    ends("load-error", "load-error:1", Outcome.ERRORS),
    ends("load-error-at-import", "load-error:1", Outcome.REFUSED, placement="import"),
    ends("load-exit-at-import", "load-exit:7", Outcome.REFUSED, placement="import"),
    ends("load-sleep-at-import", "load-sleep:60", Outcome.REFUSED, placement="import", seconds=10, settings=READY_SOON),
    # from outside
    ends("broker-killed", "outside-broker-kill", Outcome.INVALID, settings=LONG),
    ends("broker-restarted", "outside-broker-restart", Outcome.INVALID, settings=LONG),
    # a worker that stands in the broker's socket waits for it; one that had nothing to send to it is idle
    ends(
        "network-cut",
        "outside-cut",
        Outcome.WAITING,
        Outcome.STALLED,
        Outcome.INVALID,
        cause="broker-lost",
        seconds=45,
        settings=LONG,
    ),
    ends("disk-full", "outside-disk-full", Outcome.INVALID, settings=LONG),
)
