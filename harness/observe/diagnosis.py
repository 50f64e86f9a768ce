"""Evidence of a trial that ended badly: native and Python stacks, thread inventories, the log's tail, open requests.

py-spy looks (it stops a process for some milliseconds, so it is asked only when something is wrong), each call with a
time limit of its own. Finding the likely cause from this evidence is for `causes`; nothing here judges.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.machine import procfs, python_locks
from harness.machine.procfs import Thread
from harness.observe import greenlets, waits
from harness.observe.progress import OpenStage, Progress
from harness.observe.roles import Role
from harness.observe.stacks import frames_of, glance, stacks
from harness.records.ends import ends
from harness.texts import counted, portable

MOST_STACKS = 3
MOST_WAITS = 8
#: the kinds of `progress.OpenStage`, as the subject of a sentence
KINDS = {
    "request": "a request", "other": "a task of the application's own", "load": "the load of the model",
    "start": "the start-up of a child (worker_process_init)", "parent-predict": "the predict in the parent",
    Role.STARTING: "the start-up of a child", Role.RUNNING: "a task, before or after its own code,",
    Role.ENDING: "the end of a child (worker_process_shutdown)",
    Role.HELD: "the worker's main process, in a handler of the application's,", "ready": "its start",
}  # fmt: skip
UNANNOUNCED = (Role.STARTING, Role.ENDING, Role.RUNNING, Role.HELD)
LOG_TAIL_BYTES = 20_000


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What was kept of a trial: the file to read first, the stack of the blocked thread (innermost frame first), what each
    open stage waits for, the oldest first, in words (see `observe.waits`), the threads of the parent that the child lacks, and
    the kind of Python's lock that the blocked thread waits for, '' for none: a program without symbols names no native frame.
    """

    path: Path
    frames: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()
    lost_native: tuple[str, ...] = ()
    lost_python: tuple[str, ...] = ()
    lock: str = ""


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
    """Write `threads.txt`, `fork.txt`, `stacks-PID.txt`, `waits.txt`, `requests.txt` and `worker.log` into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    stages = _stages(subject)
    order = [
        pid for pid in dict.fromkeys([*subject.first, *(stage.pid for stage in stages), *subject.tree]) if pid in subject.tree
    ]
    objects = {stage.tid: waits.waits_for(stage.pid, stage.tid) for stage in stages[:MOST_WAITS]}
    (folder / "threads.txt").write_text("\n".join(inventory(pid, procfs.threads(pid)) for pid in order) + "\n")
    (folder / "requests.txt").write_text(open_stages(subject.progress, subject.request_id))
    keep_log(folder, subject.log)
    stuck = next((stage.tid for stage in stages if stage.pid == order[0]), order[0]) if order else 0
    lock = python_locks.waited_for(order[0], stuck) if order else None
    native, python, fork = _fork(subject, order[0]) if order and order[0] != subject.main else ((), (), "")
    if fork:
        (folder / "fork.txt").write_text(fork)
    events = subject.progress.directory
    texts = {pid: stacks(pid, events / f"stacks-{pid}.txt") for pid in order[:MOST_STACKS]}
    for pid, text in texts.items():
        (folder / f"stacks-{pid}.txt").write_text(text)
    if not order:
        return Evidence(path=folder / "worker.log")
    told = _waits(stages[:MOST_WAITS], objects, texts, events)
    (folder / "waits.txt").write_text("\n".join(told) + "\n")
    return Evidence(
        path=folder / f"stacks-{order[0]}.txt", frames=frames_of(texts[order[0]], stuck), waits=told, lost_native=native,
        lost_python=python, lock=lock.kind if lock else "",
    )  # fmt: skip


def _stages(subject: Subject) -> list[OpenStage]:
    """What the worker is at, the oldest first; behind it, what its suspects are seen at that left no event of it."""
    told = sorted(subject.progress.open.values(), key=lambda stage: stage.since_s)
    known, found = {stage.pid for stage in told}, []
    for pid in subject.first:
        seen = None if pid in known else glance(pid, ours=True)
        if seen is not None and seen.role in UNANNOUNCED:
            found.append(OpenStage(kind=seen.role, pid=pid, tid=min(seen.tracing, default=pid), number=-1, since_s=0.0))
    starts = subject.progress.ready_at_s is None and subject.main not in known
    main = OpenStage(kind="ready", pid=subject.main, tid=subject.main, number=-1, since_s=0.0)
    return [*told, *found, *([main] if starts else [])]


def _waits(stages: Sequence[OpenStage], objects: Mapping[int, str], texts: Mapping[int, str], events: Path) -> tuple[str, ...]:
    """What these stages wait for, and where in whose code; each sentence once."""
    found = []
    for stage in stages:
        at = greenlets.place(events, stage.pid, stage.number) or waits.place(frames_of(texts.get(stage.pid, ""), stage.tid))
        what = "" if at and greenlets.is_told(events, stage.pid) else objects.get(stage.tid, "")
        said = ", ".join(part for part in (f"waits for {what}" if what else "", at) if part)
        said = said if what or not said else f"waits {said}"
        found.append(f"{KINDS[stage.kind]} {said}" if said else "")
    return tuple(dict.fromkeys(text for text in found if text))


def _fork(subject: Subject, child: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """(native, Python) threads that the child lacked right after the fork, and the text that compares the two."""
    before = subject.at_ready.get(subject.main, ())
    after = subject.at_ready.get(child) or procfs.threads(child)[:1]
    seen = glance(subject.main, ours=True)
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


def keep_log(folder: Path, log: Path) -> Path:
    """The last part of the worker's log."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "worker.log"
    kept.write_text(portable(log_tail(log)))
    return kept


def log_tail(log: Path) -> str:
    """The last LOG_TAIL_BYTES of a log; '' if there is none."""
    return ends(log, first=0, last=LOG_TAIL_BYTES)[1].decode("utf-8", "replace")


def lost_threads(parent: Sequence[Thread], child: Sequence[Thread]) -> Counter[str]:
    """Names of threads that the parent has and the child lacks: a fork copies only the thread that calls it.

    The main threads are left out, and what the parent has started since the fork: that nobody has lost. The kernel's names tell
    what an engine calls its threads ('tf_Compute').
    """
    forked = child[0].started_ticks if child else 0
    before = [thread for thread in parent[1:] if not forked or thread.started_ticks <= forked]
    return Counter(thread.name for thread in before) - Counter(thread.name for thread in child[1:])


def left_behind(main: int, before: Sequence[Thread], children: Sequence[Sequence[Thread]]) -> tuple[str, ...]:
    """Names of the native threads of a worker's main process that none of these children has; () if that cannot be told."""
    lost = [lost_threads(before, threads) for threads in children]
    common = Counter({name: min(one[name] for one in lost) for name in (lost[0] if lost else ())})
    seen = glance(main, ours=True) if common.total() else None
    python = Counter(
        thread.name for thread in before if seen is not None and thread.tid != main and thread.tid in seen.functions
    )
    return tuple(sorted((common - python).elements())) if seen is not None else ()


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
