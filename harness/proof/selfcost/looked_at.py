"""A worker to be looked at, that tells if looking changed anything: its files for a folder, and what is read of it.

One child stands at a lock for ever: whatever wakes it (a signal, a stop, a tracer) shows in its count of switches and in its
CPU time, to the nanosecond. The other one serves requests, whose answers are checked, at a steady pace. Both count every signal
that can be caught. A watcher of its own reads the state of each thread, all the while.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import broker
from harness.environments import Environment
from harness.errors import HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess

START_LIMIT_S = 120.0
EVERY_S = 0.02  # from one request to the next, if the one before was answered
WARM = 50  # requests, after which connections are open
STATES_EVERY_S = 0.002  # py-spy stops a process for longer, if it stops it
COUNT = struct.Struct("=Q")
#: lines of /proc/PID/status that somebody who looks could change
KEPT = ("TracerPid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Cpus_allowed", "CapEff", "Seccomp", "Threads")
WHOLE = ("limits", "oom_score_adj", "cgroup", "timerslack_ns")  # files of /proc/PID, likewise
FILES = {
    "counted.py": """
import mmap, struct

class Counts:
    def __init__(self, path, places):
        with open(path, "wb") as file:
            file.write(bytes(8 * places))
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), 0)

    def add(self, place):
        at = 8 * place
        self.memory[at : at + 8] = struct.pack("=Q", struct.unpack("=Q", self.memory[at : at + 8])[0] + 1)
""",
    "looked.py": """
import os, signal, threading
from celery import Celery
import counted

URL = os.environ["LOOKED_URL"]
app = Celery("looked", broker=URL, backend=URL)
KEPT = []

def prepare():
    if KEPT:
        return
    counts = counted.Counts(f"signals-{os.getpid()}", 65)
    for number in set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:  # the last two are the C library's
        signal.signal(number, lambda received, frame: counts.add(received))
    KEPT.extend((counts, open("looked.py", "rb")))
    KEPT[1].read(10)

@app.task
def hold():
    prepare()
    open(f"held-{os.getpid()}", "w").close()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

@app.task
def square(number):
    prepare()
    return number * number
""",
    "client.py": """
import sys, time
import counted, looked

counts, number, at = counted.Counts("answers", 2), 0, time.monotonic()
looked.hold.delay()
while True:
    number += 1
    counts.add(0 if looked.square.delay(number).get(timeout=600) == number * number else 1)
    at = max(at + float(sys.argv[1]), time.monotonic())
    time.sleep(max(0.0, at - time.monotonic()))
""",
    "states.py": """
import os, sys, time
import counted

counts, pids = counted.Counts("states", 128), sys.argv[2:]
while True:
    for pid in pids:
        for tid in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{tid}/stat", "rb") as file:
                text = file.read()
            counts.add(text[text.rindex(b")") + 2])
    time.sleep(float(sys.argv[1]))
""",
}


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A worker that is served. `held`: the child that stands still; `serving`: the other one."""

    folder: Path
    main: int
    held: int
    serving: int

    @property
    def pids(self) -> tuple[int, ...]:
        return (self.main, self.held, self.serving)

    def signals(self) -> int:
        """Handled in the children so far."""
        return sum(sum(_counts(self.folder / f"signals-{pid}")) for pid in (self.held, self.serving))

    def answers(self) -> tuple[int, int]:
        """(right, wrong) so far."""
        right, wrong = _counts(self.folder / "answers")
        return right, wrong

    def states(self) -> dict[str, int]:
        """How often a thread was seen in each state of proc_pid_stat(5), 'S', 'R', 't' …"""
        return {chr(state): count for state, count in enumerate(_counts(self.folder / "states")) if count}

    def cpu_s(self) -> float:
        """CPU seconds of all three so far."""
        return sum(stat.own_cpu_s for pid in self.pids if (stat := procfs.process(pid)))

    def settings(self) -> dict[str, str]:
        """What looking must not change, by 'PID name'."""
        found = {f"{pid} {name}": value for pid in self.pids for name, value in _settings(pid).items()}
        return found | {f"{self.held} {name}": value for name, value in _rest(self.held).items()}


def _counts(path: Path) -> list[int]:
    return [number for (number,) in COUNT.iter_unpack(path.read_bytes())]


def _settings(pid: int) -> Mapping[str, str]:
    lines = dict(line.partition(":")[::2] for line in (procfs.read(f"/proc/{pid}/status") or "").splitlines())
    base = Path(f"/proc/{pid}")
    whole = {name: (procfs.read(str(base / name)) or "").strip() for name in WHOLE}
    environ = hashlib.sha256((procfs.read(f"/proc/{pid}/environ") or "").encode()).hexdigest()
    return {**whole, "environ": environ, "files": _files(base), **{name: lines.get(name, "").strip() for name in KEPT}}


def _files(base: Path) -> str:
    """Each descriptor with where it leads, its position and its flags."""
    told = []
    for number in sorted(procfs.numbers(str(base / "fd"))):
        info = (procfs.read(str(base / "fdinfo" / str(number))) or "").splitlines()[:2]
        told.append(f"{number} {os.readlink(base / 'fd' / str(number))} {' '.join(info)}")
    return "\n".join(told)


def _rest(pid: int) -> Mapping[str, str]:
    """Of a process that stands still: how often its threads were switched, and the nanoseconds that they ran."""
    threads = procfs.threads(pid)
    return {"switches": str([one.switches for one in threads]), "ran": str([f"{one.cpu_s:.9f}" for one in threads])}


@contextmanager
def served(folder: Path, environment: Environment, *, every_s: float = EVERY_S) -> Iterator[Subject]:
    """A worker of Celery's prefork pool with two children, and its client. Raises HarnessError."""
    home = folder / "looked"
    home.mkdir(parents=True)
    for name, text in FILES.items():
        (home / name).write_text(text)
    with ExitStack() as stack:
        server = stack.enter_context(broker.embedded(folder / "broker"))
        variables = {"PATH": os.environ.get("PATH", ""), "LOOKED_URL": server.url, "PYTHONDONTWRITEBYTECODE": "1"}

        def program(name: str, *argv: str) -> OwnedProcess:
            return stack.enter_context(OwnedProcess(argv, log=folder / f"{name}.log", env=variables, cwd=home))

        python = str(environment.python)
        options = ("-A", "looked", "worker", "-c", "2", "--loglevel", "ERROR", "--without-gossip", "--without-mingle")
        worker = program("worker", python, "-m", "celery", *options)
        program("client", python, "client.py", str(every_s))
        subject = _subject(home, worker, folder)
        program("states", sys.executable, "-S", "states.py", str(STATES_EVERY_S), *map(str, subject.pids))
        _until(lambda: (home / "states").exists() and subject.states(), worker, folder)
        yield subject


def _subject(home: Path, worker: OwnedProcess, folder: Path) -> Subject:
    """Once one child is held and the other has served some requests."""
    answers = home / "answers"
    _until(lambda: list(home.glob("held-*")) and answers.exists() and _counts(answers)[0] > WARM, worker, folder)
    held = int(next(home.glob("held-*")).name.partition("-")[2])
    serving = next(pid for pid in procfs.children(worker.pid) if pid != held)
    return Subject(folder=home, main=worker.pid, held=held, serving=serving)


def _until(done: Callable[[], object], worker: OwnedProcess, folder: Path) -> None:
    until = time.monotonic() + START_LIMIT_S
    while not done():
        if worker.poll() is not None or time.monotonic() > until:
            raise HarnessError("the worker that is to be looked at does not serve", evidence=str(folder / "worker.log"))
        time.sleep(0.05)
