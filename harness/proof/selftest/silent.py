"""What leaves every answer in place, or hardly, and is named as a doubt all the same."""

from __future__ import annotations

from harness.measure.silent import CRASH, EQUAL, ONE_JOB, OVERSUBSCRIBED, PINNED
from harness.proof.selftest.entry import CHILDREN, GREEN, LONG, NOT_GREEN, Entry, ends
from harness.records.outcomes import Outcome

ONE_AT_A_TIME = "one thread runs all requests, and has one core at a time anyway"
NO_ATEXIT = "a child of the pool ends by os._exit, which calls nothing at its end"
GREEN_THREADS = "what a green pool calls a thread is none"
ONE_PROCESS = "one process has one generator: no two requests get the same numbers"
LET_GO = {"shutdown": True}  # it is seen how it ends

SILENT: tuple[Entry, ...] = (
    ends(
        "pinned", "pin@0", Outcome.OK, doubt=PINNED, pools=(*CHILDREN, "threads"), elsewhere=ONE_AT_A_TIME, settings=LONG
    ),
    ends(
        "oversubscribed", "oversubscribe:4@0", Outcome.OK, doubt=OVERSUBSCRIBED, pools=NOT_GREEN, elsewhere=GREEN_THREADS,
        settings=LONG,
    ),
    ends("one-job", "one-job@0", Outcome.OK, doubt=ONE_JOB),
    ends(
        "crash-at-end", "crash-at-end:11", Outcome.OK, doubt=CRASH, pools=("threads", *GREEN, "solo"), elsewhere=NO_ATEXIT,
        settings=LET_GO, seconds=12,
    ),
    ends(
        "equal-random", "equal-random:7@0", Outcome.WRONG, doubt=EQUAL, placement="import", pools=CHILDREN,
        elsewhere=ONE_PROCESS,
    ),
)  # fmt: skip
