"""Truth test: programs that use a known share of the cores, and what the monitor and the verdict say of them.

*Saturation*: each burner computes until its own CPU clock (CLOCK_PROCESS_CPUTIME_ID) has reached its duty, rests, and
writes both clocks down as it begins and ends each spell. What it used between two samples of the monitor is
then known from itself. Some live for a fraction of a second only: their parent adds up what it is told as it waits for
them (wait4).

*Verdicts*: endless loops, one or two a core; Python threads that share a GIL; sleepers. What limits them is known; that work
waits is part of the experiment's set-up, not observed. These need a machine with nothing else to do, and say so where
it has.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from harness.machine import cores
from harness.machine.processes import OwnedProcess
from harness.measure import cpu_facts, cpu_verdict
from harness.measure.cpu_verdict import CpuVerdict, CpuWord
from harness.measure.monitor import Monitor, Watched
from harness.proof.instrument.finding import Finding
from harness.records.cpu import CpuUse, Occupancy
from harness.trial.watcher import SAMPLE_EVERY_S

BOUND = 0.01
SECONDS = 4.0
SETTLE_S = 0.5
NOTED_LIMIT_S = 30.0  # a burner of a full machine gets its turn within that
SHORT_LIVED = -0.4  # negative: by children that live for 20 ms
TIMES, TIMES_WITHIN = 2, 0.1  # endless loops a core, and how far the verdict's number may be off
DUTIES = ((0.25,), (0.5,), (1.0,), (0.25, 0.5), (1.0, 1.0), (SHORT_LIVED,))  # of one core, each burner
OTHERS = 0.05  # of the cores: with more, a verdict is no experiment
CLOCKS = np.dtype([("at_ns", "<i8"), ("cpu_ns", "<i8")])

PROGRAM = """
import os, struct, sys, threading, time

def note(file, ended_s=0.0):
    os.write(file, struct.pack("<qq", time.monotonic_ns(), time.process_time_ns() + int(ended_s * 1e9)))

def opened():
    return os.open("%d.clock" % os.getpid(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

def burn(until_s):
    while time.process_time() < until_s:
        pass

def burner(duty):
    file, begin_s, already_s = opened(), time.monotonic(), time.process_time()
    while True:
        target_s = already_s + duty * (time.monotonic() - begin_s) + 0.01
        note(file)
        burn(min(target_s, time.process_time() + 0.01))
        note(file)
        if duty < 1.0 and time.process_time() >= target_s:
            time.sleep(0.02)

def short_lived(duty):
    file, ended_s = opened(), 0.0
    while True:
        note(file, ended_s)
        pid = os.fork()
        if pid == 0:
            burn(time.process_time() + 0.02 * duty)
            time.sleep(0.02 * (1 - duty))
            os._exit(0)
        used = os.wait4(pid, 0)[2]
        ended_s += used.ru_utime + used.ru_stime

def spinner():
    while True:
        pass

def threads(count):
    for _ in range(count):
        threading.Thread(target=spinner).start()

kind, values = sys.argv[1], [float(value) for value in sys.argv[2:]]
if kind == "threads":
    threads(int(values[0]))
for value in values if kind == "burners" else ():
    if os.fork() == 0:
        short_lived(-value) if value < 0 else burner(value)
open("up", "w").close()
time.sleep(3600)
"""


@contextmanager
def program(kind: str, *values: float) -> Iterator[tuple[OwnedProcess, Path]]:
    """Run `burners` (a process each, of this duty), `threads` (so many, spinning in one process) or `sleeper`."""
    with tempfile.TemporaryDirectory(prefix="harness-burners-") as name:
        folder = Path(name)
        argv = [sys.executable, "-I", "-S", "-c", PROGRAM, kind, *map(str, values)]
        with OwnedProcess(argv, log=folder / "log", env={"PATH": os.environ.get("PATH", "")}, cwd=folder) as process:
            while not (folder / "up").exists() and process.poll() is None:
                time.sleep(0.01)
            if kind == "burners":
                wait_for_notes(folder, len(values), time.monotonic())
            time.sleep(SETTLE_S)
            yield process, folder


def wait_for_notes(folder: Path, count: int, after_s: float) -> None:
    """Until each of `count` burners has noted its clock later than that; a full machine may not let it begin at once."""
    until = time.monotonic() + NOTED_LIMIT_S
    while time.monotonic() < until:
        notes = [np.fromfile(path, dtype=CLOCKS) for path in folder.glob("*.clock")]
        if sum(len(each) > 0 and each["at_ns"][-1] > after_s * 1e9 for each in notes) >= count:
            return
        time.sleep(0.01)


def watch(process: OwnedProcess, seconds: float) -> Watched:
    """Sample the program as a trial samples a worker in its measured phase."""
    monitor = Monitor(worker=process)
    monitor.sample("measure", edge=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(SAMPLE_EVERY_S)
        monitor.sample("measure")
    monitor.sample("drain", edge=True)
    return monitor.watched()


def saturation(seconds: float = SECONDS, sets: Sequence[Sequence[float]] = DUTIES) -> list[Finding]:
    """The monitor's saturation beside what the burners say of themselves, for each set of duties: within 1 % of the cores."""
    return [_saturation(duties, seconds) for duties in sets]


def _saturation(duties: Sequence[float], seconds: float) -> Finding:
    with program("burners", *duties) as (process, folder):
        watched = watch(process, seconds)
        first, last = watched.samples[0], watched.samples[-1]
        wait_for_notes(folder, len(duties), last.at_s)
        said_s = sum(used_s(np.fromfile(path, dtype=CLOCKS), first.at_s, last.at_s) for path in folder.glob("*.clock"))
    use = cpu_facts.use(first, last, requests=0)
    seen, said = (part_s / (use.window_s * use.usable) for part_s in (use.worker_tree, said_s))
    what = " and ".join(f"{abs(duty):.0%}" for duty in duties)
    return Finding(
        name=f"saturation, burners of {what} of a core{', short-lived' if duties[0] < 0 else ''}",
        figure=seen - said,
        bound=f"within {BOUND:g} of what they say",
        passed=abs(seen - said) <= BOUND and said > 0,
        note=f"seen {seen:.4f}, said {said:.4f}",
    )


def used_s(clocks: np.ndarray, begin_s: float, end_s: float) -> float:
    """CPU seconds of one burner between two moments, from what it wrote down; (n,) CLOCKS.

    Nothing before its first note, which a process makes as it begins, and nothing after the last one.
    """
    if not len(clocks):
        return 0.0
    begin, end = np.interp([begin_s * 1e9, end_s * 1e9], clocks["at_ns"], clocks["cpu_ns"])
    return float(end - begin) / 1e9


def verdicts(seconds: float = SECONDS) -> list[Finding]:
    """The words for programs of known truth. On a machine with other work, or one core, they cannot be had and do not pass."""
    count, quota = len(cores.AVAILABLE), cores.quota()
    full, twice = CpuWord.SATURATED, CpuWord.OVER_SUBSCRIBED
    if quota is not None and quota < count:  # what then limits a full load is the quota
        full = twice = CpuWord.THROTTLED
    experiments: list[tuple[CpuWord, str, tuple[float, ...], Occupancy]] = [
        (full, "burners", (1.0,) * count, _occupancy(count)),
        (twice, "burners", (1.0,) * TIMES * count, _occupancy(TIMES * count)),
        (CpuWord.GIL_BOUND, "threads", (2,), _occupancy(2)),
        (CpuWord.GIL_BOUND, "threads", (4,), _occupancy(4)),
        (CpuWord.EXECUTOR_BOUND, "sleeper", (), _occupancy(1)),
        (CpuWord.STARVED, "sleeper", (), _occupancy(1, busy=0.0, idle=1.0)),
        (CpuWord.LATENCY_BOUND, "burners", (0.5,), _occupancy(1, busy=0.5, waits=0.0)),
    ]
    return [_verdict(*one, seconds) for one in experiments]


def _occupancy(executors: int, *, busy: float = 1.0, waits: float = 1.0, idle: float = 0.0) -> Occupancy:
    return Occupancy(executors=executors, executors_busy=busy, work_waits=waits, idle_with_work=idle)


def _verdict(word: CpuWord, kind: str, values: tuple[float, ...], occupancy: Occupancy, seconds: float) -> Finding:
    with program(kind, *values) as (process, _):
        watched = watch(process, seconds)
    use, found = judged(watched, occupancy, shared=kind == "threads")
    quiet = use.others_share <= OTHERS
    right = found.word is word and (found.times is None or abs(found.times - TIMES) <= TIMES_WITHIN)
    return Finding(
        name=f"verdict on {kind} {' '.join(f'{value:g}' for value in values)}".strip(),
        figure=found.times if found.times is not None else use.worker_tree / use.window_s,
        bound=f"{word} {TIMES} +- {TIMES_WITHIN:g} x" if word is CpuWord.OVER_SUBSCRIBED else word.value,
        passed=quiet and right,
        note=f"{found}: {found.reason}"
        + ("" if quiet else f"; no experiment: others used {use.others_share:.0%} of the cores"),
    )


def judged(watched: Watched, occupancy: Occupancy, *, shared: bool) -> tuple[CpuUse, CpuVerdict]:
    """The verdict on what was watched. `shared`: every thread of the program runs requests, and they share a GIL."""
    first, last = watched.samples[0], watched.samples[-1]
    threads = frozenset((use.pid, use.tid) for use in watched.uses) if shared else frozenset()
    facts = cpu_facts.of(
        watched, first, last, executors=threads, occupancy=occupancy, kind="threads" if shared else "processes"
    )
    use = cpu_facts.use(first, last, requests=0)
    return use, cpu_verdict.judge(use, facts)
