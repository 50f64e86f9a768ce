"""How Dask is set so that a host that measures is left alone: an idle agent costs at most SHARE of a core.

Its defaults suit computations: a profile of all threads each 10 ms, a tick of the event loop each 20 ms, a look at memory each
100 ms, at the GIL each 1 ms, a heartbeat each 0.5 s; a *nanny* restarts workers, and sets OMP_NUM_THREADS=1 for all that they
start (`distributed.yaml`, release 2026.8). None of it is wanted here, and the last would make every engine's figures untrue.
"""

from __future__ import annotations

import logging
import time
from typing import Any

SHARE = 0.002  # of a core, at most
HEARTBEAT_S = 20.0  # a lost connection is seen at once; this is for the scheduler's patience of five minutes
RESOURCE = "machine"  # one a host: a block takes it whole
SETTINGS = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.preload": [],
    "distributed.worker.http.routes": [],
    "distributed.scheduler.http.routes": [],
    "distributed.scheduler.preload": [],
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.allowed-failures": 0,  # who lost a host is counted by the campaign, which knows what had begun
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.tick.cycle": "1h",
    "distributed.admin.system-monitor.interval": "1h",
    "distributed.admin.system-monitor.disk": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.diagnostics.nvml": False,
}
UNWANTED = ("monitor", "tick", "ticks", "shift_counters", "find-missing", "heartbeat", "profile", "profile-cycle")


def calm(worker: Any) -> Any:
    """Stop what a started Dask worker does again and again; its heartbeat goes on, slowly. What has to be kept alive is
    returned."""
    from tornado.ioloop import PeriodicCallback

    for name in UNWANTED:
        if name in worker.periodic_callbacks:
            worker.periodic_callbacks[name].stop()
    beat = PeriodicCallback(worker.heartbeat, HEARTBEAT_S * 1000)
    beat.start()
    return beat


def hush() -> None:
    """Dask tells of each lost connection with a traceback; what matters of it is said by ourselves. Called once it is imported,
    for its loggers get levels of their own then."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".")[0] == "distributed":
            logging.getLogger(name).disabled = True


def spent() -> tuple[float, float]:
    """(this moment on a clock that only goes on, CPU seconds of this process so far); asked twice while it is idle."""
    return time.monotonic(), time.process_time()


def share(first: tuple[float, float], second: tuple[float, float]) -> float:
    """The share of a core between two moments of `spent`."""
    return (second[1] - first[1]) / (second[0] - first[0])
