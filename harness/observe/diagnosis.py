"""Evidence of a trial that ended badly: native and Python stacks, thread inventories, the log's tail, open requests.

py-spy looks (it stops a process for some milliseconds, so it is asked only when something is wrong), each call with a
time limit of its own. Finding the likely cause from this evidence is for `causes`; nothing here judges.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.machine import procfs
from harness.machine.processes import run
from harness.machine.procfs import Thread
from harness.observe.progress import Progress
from harness.texts import counted, portable

STACK_LIMIT_S = 20.0  # native stacks of a TensorFlow process need its symbols: seconds
GLANCE_LIMIT_S = 5.0
MOST_STACKS = 3
LOG_TAIL_BYTES = 20_000
INSTALLED = r"/(site|dist)-packages/"  # a project's own folder may be called celery, too
STANDARD = r"/python3[^/]*/"
CELERYS = re.compile(INSTALLED + "(celery|kombu|billiard)/")
#: what a thread of Celery's own may run besides; alone it may run anybody's: a listener of Redis, a timer
COMPANIONS = re.compile(
    f"{INSTALLED}(redis|gevent|eventlet|click)/"
    f"|{STANDARD}((threading|queue|selectors|runpy)\\.py|concurrent/futures/)"
    "|/bin/celery$|^<frozen "
)
POOL_QUEUE = re.compile(STANDARD + r"(queue|threading)\.py$")
POOL_THREAD = re.compile(STANDARD + r"concurrent/futures/thread\.py$")


def py_spy() -> str:
    return str(Path(sys.executable).with_name("py-spy"))


def _ask(argv: Sequence[str], limit_s: float) -> tuple[str, str]:
    """(output, complaint) of a command that may hang or be missing."""
    try:
        done = run(argv, env={"PATH": os.environ.get("PATH", "")}, limit_s=limit_s)
    except subprocess.TimeoutExpired:
        return "", f"no answer within {limit_s:g} s"
    return done.stdout, done.stderr.strip() if done.returncode else ""


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What py-spy saw of a process's Python threads, by native id: those that run other code than Celery's own, those that
    run Celery's alone, the one that holds the GIL, and the innermost frame of each. `ids` maps Python's thread ids to
    native ones."""

    foreign: frozenset[int]
    gil_owner: int | None
    functions: dict[int, str]
    own: frozenset[int]
    ids: dict[int, int]


def glance(pid: int, ids: Mapping[int, int] | None = None) -> Glance | None:
    """Look at the Python stacks without stopping the process; None if it cannot be done.

    Before Python 3.11 an interpreter does not keep the native ids, and py-spy has to stop the process for a moment to
    find them; that is done once for each new thread, and `ids` brings what was found so.
    """
    known = dict(ids or {})
    threads = _dump(pid, "--nonblocking")
    if threads and any(not thread.get("os_thread_id") and thread["thread_id"] not in known for thread in threads):
        threads = _dump(pid)
    if not threads:
        return None
    known |= {thread["thread_id"]: thread["os_thread_id"] for thread in threads if thread.get("os_thread_id")}
    if any(thread["thread_id"] not in known for thread in threads):
        return None
    frames = {
        known[thread["thread_id"]]: [(frame["name"], frame["filename"]) for frame in thread["frames"]] for thread in threads
    }
    return Glance(
        foreign=frozenset(tid for tid, stack in frames.items() if not is_own(stack)),
        own=frozenset(tid for tid, stack in frames.items() if is_own(stack)),
        gil_owner=next((known[thread["thread_id"]] for thread in threads if thread.get("owns_gil")), None),
        functions={known[thread["thread_id"]]: _top(thread["frames"]) for thread in threads if thread["frames"]},
        ids=known,
    )


def _dump(pid: int, *options: str) -> list[dict[str, Any]] | None:
    text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--json", *options], GLANCE_LIMIT_S)
    if complaint or not text:
        return None
    try:
        threads: list[dict[str, Any]] = json.loads(text)
    except ValueError:
        return None
    return threads


def _top(frames: Sequence[Mapping[str, Any]]) -> str:
    return f"{frames[0]['name']} ({frames[0]['filename']})"


def is_own(frames: Sequence[tuple[str, str]]) -> bool:
    """Whether a thread is Celery's own, by its frames, (function, file) each, innermost first. A client of Redis or a green
    library alone is not: they run listeners and timers of the application's. An idle thread of an executor is.
    """
    if not any(CELERYS.search(file) for _, file in frames):
        return _idles_in_a_pool(frames)
    return all(CELERYS.search(file) or COMPANIONS.search(file) for _, file in frames)


def _idles_in_a_pool(frames: Sequence[tuple[str, str]]) -> bool:
    """Whether it waits in the queue of a `concurrent.futures.ThreadPoolExecutor`; in Python 3.7 on, that wait is C code."""
    below = list(itertools.dropwhile(lambda frame: POOL_QUEUE.search(frame[1]), frames))
    if not below or below[0][0] != "_worker" or not POOL_THREAD.search(below[0][1]):
        return False
    return all(POOL_QUEUE.search(file) for _, file in below[1:])


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was kept of a trial: the file to read first, the stack of the blocked thread (innermost frame first), and the
    threads of the parent that the child lacks."""

    path: Path
    frames: tuple[str, ...] = ()
    lost_native: tuple[str, ...] = ()
    lost_python: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A worker to keep evidence of. `first`: the processes that matter most; `at_ready`: the threads of each process
    when the worker was ready, that is before any request; `main`: the worker's own process."""

    main: int
    first: Sequence[int]
    tree: Sequence[int]
    at_ready: Mapping[int, Sequence[Thread]]
    log: Path
    progress: Progress
    request_id: Callable[[int], str]


def collect(folder: Path, subject: Subject) -> Evidence:
    """Write `threads.txt`, `fork.txt`, `stacks-PID.txt`, `requests.txt` and `worker.log` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    first, tree = subject.first, subject.tree
    order = [*[pid for pid in first if pid in tree], *[pid for pid in tree if pid not in first]]
    (folder / "threads.txt").write_text("\n".join(inventory(pid, procfs.threads(pid)) for pid in order) + "\n")
    (folder / "requests.txt").write_text(open_stages(subject.progress, subject.request_id))
    keep_log(folder, subject.log)
    native, python, told = _fork(subject, order[0]) if order and order[0] != subject.main else ((), (), "")
    if told:
        (folder / "fork.txt").write_text(told)
    events = subject.progress.directory
    texts = {pid: stacks(pid, events / f"stacks-{pid}.txt") for pid in order[:MOST_STACKS]}
    for pid, text in texts.items():
        (folder / f"stacks-{pid}.txt").write_text(text)
    if not order:
        return Evidence(path=folder / "worker.log")
    stuck = next((stage.tid for stage in subject.progress.open.values() if stage.pid == order[0]), order[0])
    return Evidence(
        path=folder / f"stacks-{order[0]}.txt", frames=frames_of(texts[order[0]], stuck), lost_native=native, lost_python=python
    )


def _fork(subject: Subject, child: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """(native, Python) threads that the child lacked right after the fork, and the text that compares the two."""
    before = subject.at_ready.get(subject.main, ())
    after = subject.at_ready.get(child) or procfs.threads(child)[:1]
    seen = glance(subject.main)
    known = frozenset(seen.functions) if seen else frozenset()
    lost = [thread for thread in before if thread.tid != subject.main]
    names = {kind: tuple(t.name for t in lost if (t.tid in known) == (kind == "python")) for kind in ("native", "python")}
    lines = [
        "A fork copies only the thread that calls it. What the parent had and the child lacks:",
        *[f"  {name}  (native: no Python frame)" for name in counted(names["native"])],
        *[f"  {name}  (Python)" for name in counted(names["python"])],
        *([] if lost else ["  nothing: the parent had one thread"]),
        "",
        "The parent when the worker was ready, before any request:",
        inventory(subject.main, before),
        "",
        "The child at the same moment:",
        inventory(child, after),
        "",
        "The child now:",
        inventory(child, procfs.threads(child)),
    ]
    return names["native"], names["python"], "\n".join(lines) + "\n"


def frames_of(text: str, tid: int) -> tuple[str, ...]:
    """The frames of one thread in py-spy's text, innermost first.

    >>> frames_of('Thread 7 (idle): "MainThread"\\n    sem_wait (libc.so.6)\\n    acquire (x.py:3)\\n', 7)
    ('sem_wait (libc.so.6)', 'acquire (x.py:3)')
    """
    _, _, rest = text.partition(f"Thread {tid} ")
    lines = rest.partition("\nThread ")[0].splitlines()[1:]
    return tuple(line.strip() for line in lines if line.startswith("    "))


def keep_log(folder: Path, log: Path) -> Path:
    """The last part of the worker's log."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "worker.log"
    tail = log.read_bytes()[-LOG_TAIL_BYTES:] if log.exists() else b""
    kept.write_text(portable(tail.decode("utf-8", "replace")))
    return kept


def stacks(pid: int, told: Path) -> str:
    """Python and native frames of all threads; Python frames alone where the native ones cannot be had in time; and what
    the process itself tells (into `told`, at SIGWINCH) where py-spy may not look."""
    stat = procfs.process(pid)
    if stat is not None and stat.state in "Tt":  # py-spy would wait for its own stop of it
        text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--nonblocking"], GLANCE_LIMIT_S)
        return portable(f"process {pid} is stopped by a signal; its Python frames:\n{text or complaint}\n")
    text, complaint = _ask([py_spy(), "dump", "--pid", str(pid), "--native"], STACK_LIMIT_S)
    if text:
        return portable(text)
    fallback, second = _ask([py_spy(), "dump", "--pid", str(pid)], GLANCE_LIMIT_S)
    if not fallback:
        fallback = f"py-spy: {second}\nIts own faulthandler:\n{_own_stacks(pid, told)}"
    return portable(f"native stacks of process {pid}: {complaint}\n{fallback}\n")


def _own_stacks(pid: int, told: Path) -> str:
    if not told.exists():
        return "it has none"
    before = told.stat().st_size
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGWINCH)
    until = time.monotonic() + GLANCE_LIMIT_S
    while told.stat().st_size == before and time.monotonic() < until:
        time.sleep(0.02)
    return told.read_text(errors="replace")[before:] or "no answer"


def lost_threads(parent: Sequence[Thread], child: Sequence[Thread]) -> Counter[str]:
    """Names of threads that the parent has and the child lacks: a fork copies only the thread that calls it.

    The main threads are left out. The kernel's names tell what an engine calls its threads ('tf_Compute').
    """
    return Counter(thread.name for thread in parent[1:]) - Counter(thread.name for thread in child[1:])


def inventory(pid: int, threads: Sequence[Thread]) -> str:
    """One line a thread: what it waits in, and how often it was switched to."""
    lines = [f"process {pid}: {len(threads)} threads"]
    for thread in threads:
        how = f"{thread.waits_in}{' private' if thread.private else ''}{' timed' if thread.timed else ''}"
        lines.append(
            f"  thread {thread.tid:>7}  {thread.name:<16} {thread.state}  {how:<22} wchan {thread.wait_channel:<24}"
            f" cpu {thread.cpu_s:.3f} s  switches {thread.switches}"
        )
    return "\n".join(lines)


def open_stages(progress: Progress, request_id: Callable[[int], str]) -> str:
    """What each process has begun and not ended, with Celery's task ids."""
    lines = [f"published {progress.published}, begun {progress.begun}, ended {progress.ended}, received {progress.received}"]
    lines += [
        f"open: {stage.kind} {stage.number} in process {stage.pid}, thread {stage.tid}, since {stage.since_s:.3f} s"
        + (f", task {request_id(stage.number)}" if stage.kind == "request" else "")
        for stage in progress.open.values()
    ]
    return "\n".join(lines) + "\n"
