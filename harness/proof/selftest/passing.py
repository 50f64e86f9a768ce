"""Slow, and never hung: waits and computations that end by themselves, inside one process or by another one's hand."""

from __future__ import annotations

from harness.proof.selftest.entry import (
    CHILDREN,
    GREEN,
    MAIN_THREAD,
    NO_HANDLER,
    NO_HUB,
    NO_IMPORT_LOCK,
    NO_INIT,
    NOT_EVENTLET,
    PATIENT,
    Entry,
    slow,
)
from harness.records.outcomes import Outcome

PASSING: tuple[Entry, ...] = (
    slow("sleep-30-s", "sleep:30@3x1", 30),
    slow("lock-wait", "lock-wait:12@3x1", 12),
    slow("spin", "spin:12@3x1", 12),
    slow("native-sleep", "native-sleep:12@3x1", 12),
    slow("subprocess-wait", "subprocess-wait:12@3x1", 12),
    slow("load-sleep", "load-sleep:9", 9),
    Entry(
        name="slow-steady",
        fault="sleep:2@0",
        accepted=frozenset({Outcome.OK, Outcome.SLOW}),
        slow=True,
        seconds=25,
        settings={"requests": 6, **PATIENT},
    ),
    slow(
        "load-sleep-at-start",
        "load-sleep:15",
        15,
        placement="process-init",
        pools=(*CHILDREN, "solo"),
        elsewhere=NO_INIT,
    ),
    # ended by a timer
    slow("alarm", "alarm:8@3x1", 8, pools=MAIN_THREAD, elsewhere=NO_HANDLER),
    slow("timer-signal", "timer-signal:8@3x1", 8, pools=MAIN_THREAD, elsewhere=NO_HANDLER),
    slow("timer-file", "timer-file:8@3x1", 8),
    slow("select", "select:8@3x1", 8),
    slow("native-timer", "native-timer:8@3x1", 8),
    slow("coroutine-sleep", "coroutine-sleep:8@3x1", 8),
    slow("green-timeout", "green-timeout:8@3x1", 8, pools=GREEN, elsewhere=NO_HUB),
    slow("green-timer", "green-timer:8@3x1", 8, pools=GREEN, elsewhere=NO_HUB),
    slow("green-sleeper", "green-sleeper:8@3x1", 8, pools=GREEN, elsewhere=NO_HUB),
    # ended by another thread
    slow("native-poller", "native-poller:8@3x1", 8),
    slow("native-join", "native-join:8@3x1", 8),
    slow("ping-pong", "ping-pong:8@3x1", 8),
    slow("future", "future:8@3x1", 8),
    slow("import-lock", "import-lock:8@3x1", 8, pools=NOT_EVENTLET, elsewhere=NO_IMPORT_LOCK),
    slow("listener", "listener:8@3x1", 8),
    # ended by another process
    slow("child", "child:8@3x1", 8),
    slow("file-lock", "file-lock:8@3x1", 8),
    slow("shared-lock", "shared-lock:8@3x1", 8),
    slow("shared-lock-in-thread", "shared-lock-in-thread:8@3x1", 8),
    slow("pipe", "pipe:8@3x1", 8),
    slow("peer", "peer:8@3x1", 8),
    # busy with another task
    slow("hand-on", "hand-on:4@3x3", 12, placement="import"),
    # computing
    slow("dear-row", "dear-row:25@6x1", 25),
    slow("dear-row-in-c", "dear-row-in-c:25@6x1", 25),
    slow("compiled-shape", "spin:30@3x1", 30),
    slow("load-per-thread", "load-per-thread:0.5@0", 20),
    slow("collection", "collection:10@3x1", 10),
)
