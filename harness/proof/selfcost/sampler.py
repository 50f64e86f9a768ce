"""What watching costs: the CPU time of the monitor, at the default rate, over trees of processes whose size is known.

The trees are real processes under a keeper, like a worker: a few of them with as many threads as an ML library keeps, and
with memory of their own. They sleep, which makes them no cheaper to read. Times are the CPU seconds of the thread that
samples, so that a busy machine changes them little.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.measure import noise
from harness.measure.monitor import Monitor
from harness.trial.watcher import SAMPLE_EVERY_S

PROCESSES = 16
THREADS = 40  # of one process with TensorFlow on a machine of some cores
THREADED = 4  # of the 16 processes: children of prefork, each with its engine
SIZES = (4, 8, 16, 32)
MEMORY_BYTES = 64 << 20  # of its own, each threaded process
SECONDS = 8.0
START_LIMIT_S = 60.0
TREE = """
import os, sys, threading, time
processes, threaded, threads, memory = map(int, sys.argv[1:])
number = 0
for number in range(1, processes):
    if os.fork() == 0:
        break
else:
    number = 0
if 1 <= number <= threaded:
    block = bytearray(memory)
    block[::4096] = bytes([1]) * len(block[::4096])
    for _ in range(threads - 1):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
time.sleep(3600)
"""


@dataclass(frozen=True, kw_only=True)
class SamplerCost:
    """CPU shares are of one core. `share`: all of the sampling at the default rate, the two full readings at the ends of the
    measured phase left out, as they come once a trial: `edge_s` each. `call_s`: of a plain sample, CPU seconds."""

    processes: int
    threads: int
    share: float
    call_s: float
    edge_s: float
    samples: int


@contextmanager
def tree(
    processes: int, *, threaded: int = THREADED, threads: int = THREADS, memory: int = MEMORY_BYTES
) -> Iterator[OwnedProcess]:
    """A tree of so many sleeping processes, `threaded` of the children with so many threads and bytes of their own.

    Raises HarnessError.
    """
    threaded = min(threaded, processes - 1)
    argv = [sys.executable, "-I", "-S", "-c", TREE, *map(str, (processes, threaded, threads, memory))]
    with tempfile.TemporaryDirectory(prefix="harness-selfcost-") as folder:
        log = Path(folder) / "tree.log"
        with OwnedProcess(argv, log=log, env={"PATH": os.environ.get("PATH", "")}) as process:
            until = time.monotonic() + START_LIMIT_S
            complete = processes - threaded + threaded * threads
            while sum(stat.threads for stat in procfs.tree(process.keeper_pid)) < complete:
                if time.monotonic() > until or process.poll() is not None:
                    raise HarnessError("the tree of processes to sample did not start", evidence=log.read_text()[-500:])
                time.sleep(0.05)
            yield process


def measure(processes: int = PROCESSES, *, seconds: float = SECONDS, threaded: int = THREADED) -> SamplerCost:
    """Sample a tree as a trial does, for so long. The machine's broker and client are one process each, as in a trial."""
    with tree(processes, threaded=threaded) as worker, tree(1, threaded=0) as broker, tree(1, threaded=0) as client:
        monitor = Monitor(worker=worker, broker=broker, client=client)
        edge_s = _cost(lambda: monitor.sample("measure", edge=True))
        costs, begin_s = [], time.monotonic()
        for number in range(1, round(seconds / SAMPLE_EVERY_S) + 1):
            time.sleep(max(0.0, begin_s + number * SAMPLE_EVERY_S - time.monotonic()))
            costs.append(_cost(lambda: (monitor.sample("measure"), noise.read())))
        return SamplerCost(
            processes=processes,
            threads=sum(monitor.samples[-1].threads.values()),
            share=sum(costs) / (time.monotonic() - begin_s),
            call_s=float(np.median(costs)),
            edge_s=edge_s,
            samples=len(costs),
        )


def growth(sizes: tuple[int, ...] = SIZES, *, calls: int = 60) -> float:
    """The power of N with which the CPU time of a plain sample grows with N processes; 1 is linear, 2 quadratic."""
    return power(sizes, tuple(plain_s(size, calls=calls) for size in sizes))


def power(sizes: tuple[int, ...], costs_s: tuple[float, ...]) -> float:
    """The slope of log cost over log size."""
    return float(np.polyfit(np.log(sizes), np.log(costs_s), 1)[0])


def plain_s(processes: int, *, calls: int = 60, threads: int = THREADS) -> float:
    """CPU seconds of one plain sample of a tree of so many processes, a quarter of them with many threads: the median."""
    with tree(processes, threaded=processes // 4, threads=threads, memory=0) as worker:
        monitor = Monitor(worker=worker)
        monitor.sample("measure", edge=True)  # what is dear is now not due for a while
        return float(np.median([_cost(monitor.sample) for _ in range(calls)]))


def _cost(deed: Callable[[], object]) -> float:
    begin_s = time.thread_time()
    deed()
    return time.thread_time() - begin_s
