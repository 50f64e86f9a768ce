"""True hangs: no progress can come. Deadlocks of one process, computations without an end, stopped processes, lost answers."""

from __future__ import annotations

from typing import Any

from harness.proof.selftest.entry import (
    CHILDREN,
    GREEN,
    LONG,
    NO_CHILDREN,
    NO_HUB,
    NO_INIT,
    NO_SHARING,
    NOT_SOLO,
    ONE_EXECUTOR,
    PATIENT,
    Entry,
    computes,
    hangs,
    stands,
)
from harness.records.outcomes import Outcome

SHARING = ("threads", *GREEN)
#: A thread has one loop. While a greenlet waits in it for ever, asyncio refuses the next one's, so the other requests raise.
ONE_LOOP = dict.fromkeys(GREEN, frozenset({Outcome.HUNG, Outcome.WAITING, Outcome.ERRORS}))
#: of a lock that nobody will release: the time to its verdict counts
LOCKED: dict[str, Any] = {"cause": "deadlock", "deadlock": True}
#: some executors hang, the others go on
IN_PART: dict[str, Any] = {"counted_in": NOT_SOLO, "pools": NOT_SOLO, "elsewhere": ONE_EXECUTOR}
SPIN: dict[str, Any] = {"cause": "native-spin", "seconds": 30, "settings": PATIENT}

HANGING: tuple[Entry, ...] = (
    hangs("deadlock", "deadlock", **LOCKED),
    hangs(
        "deadlock-of-one",
        "deadlock@3x1",
        concurrency=4,
        hung=(1, 4),
        **LOCKED,
        **IN_PART,
    ),
    hangs(
        "fork-lock",
        "fork-lock",
        cause="fork-held-lock",
        placement="import",
        deadlock=True,
        pools=("prefork",),
        elsewhere=NO_CHILDREN,
    ),
    hangs("gil-held", "gil-held", cause="gil-held", deadlock=True),
    hangs("hub-blocked", "hub-blocked", cause="hub-blocked", deadlock=True, pools=GREEN, elsewhere=NO_HUB),
    hangs("native-spin", "native-spin", **SPIN),
    hangs("load-deadlock", "load-deadlock", cause="deadlock"),
    hangs(
        "load-deadlock-at-start",
        "load-deadlock",
        cause="deadlock",
        placement="process-init",
        pools=(*CHILDREN, "solo"),
        elsewhere=NO_INIT,
        seconds=10,
    ),
    hangs("lost-reply", "lost-reply@5x1", cause="lost-message", seconds=8),
    hangs("stopped", "outside-stop", cause="stopped", concurrency=4, hung=(1, 4), counted_in=CHILDREN, settings=LONG),
    # waits inside one process
    stands("crossed-threads", "crossed-threads", **LOCKED),
    stands(
        "crossed-requests",
        "crossed-requests",
        **LOCKED,
        hung=(2, 2),
        counted_in=SHARING,
        pools=SHARING,
        elsewhere=NO_SHARING,
    ),
    stands("event", "event", **LOCKED),
    stands("queue", "queue", **LOCKED),
    stands("condition", "condition", **LOCKED),
    stands("semaphore", "semaphore", **LOCKED),
    stands("barrier", "barrier", **LOCKED),
    stands("join", "join", **LOCKED),
    stands("orphaned-lock", "orphaned-lock", **LOCKED),
    stands("nested-executor", "nested-executor"),
    stands("mutex", "mutex", deadlock=True),
    stands("coroutine", "coroutine", accepted_in=ONE_LOOP),
    stands("own-pipe", "own-pipe"),
    stands("deadlock-beside-sleeper", "deadlock-beside-sleeper", provable=False),
    # computing
    stands("endless-loop", "endless-loop", **SPIN),
    computes("endless-search", "endless-search", seconds=45),
    # only now and then, or early
    stands(
        "deadlock-of-the-second",
        "deadlock@1x1",
        hung=(1, 2),
        **LOCKED,
        **IN_PART,
    ),
    stands(
        "deadlock-late-in-one",
        "deadlock@12x1",
        hung=(1, 2),
        **LOCKED,
        **IN_PART,
        settings={"requests": 60},
    ),
    stands(
        "fork-lock-at-start",
        "start-lock",
        cause="fork-held-lock",
        placement="import",
        pools=("prefork",),
        elsewhere=NO_CHILDREN,
        seconds=10,
    ),
)
