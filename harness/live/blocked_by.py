"""What blocks an executor, if one look tells: its output that nobody reads, the result of another task, a lock of Python's.

`look` gathers it, from /proc, from the process's memory and from frames that are there already; nothing is stopped. `named`
makes a cause of it. Whether the executor can still go on is for the judge to say, and is not touched here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.judge.blocked import How
from harness.judge.causes import FORKED, IMPORT_FRAMES, SIGNAL_FRAMES, engine_frame, innermost
from harness.live import subtasks
from harness.live.attach import Seen
from harness.live.green_stacks import RESULT
from harness.machine import descriptors, freezer, pipes, procfs, python_locks
from harness.machine.python_locks import PythonLock
from harness.observe import stacks
from harness.observe.looks import window
from harness.texts import counted, few, messages

Place = tuple[int, int]  # (process, thread)
Frames = Sequence[str]  # innermost first

TRACED = re.compile(r"celery/app/trace\.py")
WRITES = {"write", "send"}
GIVEN_HERE = (
    "what they wait for was given to this worker itself; the broker hands it to others only after a timeout of its own "
    "(visibility_timeout of Redis, consumer_timeout of RabbitMQ), or once this worker is gone"
)
UNACKED = "handed out and not acknowledged"
CAPACITY = "65,536 bytes, if nobody has set it (pipe(7))"
AT_FORK = (How.FUTEX, How.BEREFT, How.OWNER)


@dataclass(frozen=True, kw_only=True)
class Output:
    """A write that waits at the process's own output. `name`: 'standard error'; `leads`: where to, in words; `readers`: who
    should read it; `idle`: none of them waits to read."""

    name: str
    leads: str
    readers: tuple[str, ...] = ()
    idle: bool = False


@dataclass(frozen=True, kw_only=True)
class Subtask:
    """A wait for the result of another task. `frame`: Celery's; `limit`: its `timeout`, as shown, '' if it has none; `closed`:
    all executors wait so, for tasks that this worker itself was given."""

    frame: str
    limit: str = ""
    closed: bool = False


@dataclass(frozen=True, kw_only=True)
class Held:
    """A lock of Python's."""

    kind: str
    #: in words; '' if the lock keeps no holder
    holder: str = ""
    #: the holder is a thread of the parent's, and this process has no such thread
    by_parent: bool = False
    #: the parent has it, too: it was made before the fork. None: this process was not forked by the worker
    inherited: bool | None = None
    #: the holder is no thread of this process, nor, as far as the parent's copy tells, of its parent
    gone: bool = False
    #: it is held in the parent now, or in another of its children that is idle: so it may well have been at the fork
    held_elsewhere: bool = False


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What blocks whom."""

    outputs: Mapping[Place, Output] = field(default_factory=dict)
    subtasks: Mapping[Place, Subtask] = field(default_factory=dict)
    locks: Mapping[Place, Held] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Named:
    """A cause, what supports it, what to do now ('' if nothing special), and what keeps it from coming back."""

    cause: str
    support: tuple[str, ...]
    now: str = ""
    for_good: str = ""


def look(seen: Seen, frames: Mapping[Place, Frames]) -> Blocks:
    """At every executor that is at something."""
    outputs, waits, locks = {}, {}, {}
    for place in frames:
        if output := _output(seen, place):
            outputs[place] = output
        elif _result_frame(frames[place]):
            waits[place] = subtasks.awaited(*place)
        elif lock := python_locks.waited_for(*place):
            locks[place] = _held(seen, place[0], lock, {pid for pid, _ in frames})
    closed = bool(waits) and subtasks.is_closed(seen, waits)
    told = {place: Subtask(frame=_result_frame(frames[place]), limit=one.limit, closed=closed) for place, one in waits.items()}
    return Blocks(outputs=outputs, subtasks=told, locks=locks)


def _output(seen: Seen, place: Place) -> Output | None:
    """Only if every look of the window has found it in such a call: one look may meet any write."""
    pid, tid = place
    call = procfs.call(pid, tid)
    if call is None or call.kind not in WRITES or not _kinds(seen, place) <= WRITES:
        return None
    at = call.arguments[0]
    if not (name := pipes.is_output(pid, at)):
        return None
    readers = pipes.readers(pid, at)
    return Output(
        name=name, leads=descriptors.leads_to(pid, at), readers=tuple(descriptors.named(one.pid) for one in readers),
        idle=bool(readers) and not any(one.waits for one in readers),
    )  # fmt: skip


def _kinds(seen: Seen, place: Place) -> set[str]:
    """What a thread was seen to wait in, over the last window."""
    processes = [one for look in window(seen.looks) for one in look.processes if one.pid == place[0]]
    return {thread.waits_in for one in processes for thread in one.threads if thread.tid == place[1]}


def _result_frame(frames: Frames) -> str:
    """Celery's frame that waits for a result within a task; '' if none does."""
    traced = next((number for number, frame in enumerate(frames) if TRACED.search(frame)), 0)
    return next((frame for frame in frames[:traced] if RESULT.search(frame)), "")


def _held(seen: Seen, pid: int, lock: PythonLock, at_work: set[int]) -> Held:
    """Who holds it, if it keeps its owner: by the ids that Python gives threads. A forked child has its parent's; but the C
    library gives them again, so that the parent's thread counts only if the parent's copy names it, too. `at_work`: processes
    that may have taken it themselves."""
    tree = seen.worker.tree()
    stat = next((one for one in tree if one.pid == pid), None)
    parent = stat.parent if stat is not None and stat.forked else 0
    copy = python_locks.copy_in(parent, lock) if parent else None
    inherited = copy is not None if parent else None
    if not lock.owner:
        others = [parent, *(one.pid for one in tree if one.parent == parent and one.pid not in at_work)] if copy else []
        held = any(python_locks.copy_in(one, lock) and not python_locks.is_free(one, lock) for one in others)
        return Held(kind=lock.kind, inherited=inherited, held_elsewhere=held)
    if own := _thread(pid, lock.owner):
        return Held(kind=lock.kind, holder=own, inherited=inherited)
    theirs = _thread(parent, lock.owner) if copy is not None and copy.owner == lock.owner else ""
    if theirs:
        return Held(kind=lock.kind, holder=f"{theirs} of its parent, process {parent}", by_parent=True, inherited=inherited)
    return Held(kind=lock.kind, holder="a thread that this process does not have", gone=True, inherited=inherited)


def _thread(pid: int, ident: int) -> str:
    """'thread 12 (Thread-1)' of this process; '' if it has none with this id of Python's."""
    for one in stacks.dumped(pid, "--nonblocking") or ():
        if one["thread_id"] == ident:
            name = f" ({one['thread_name']})" if one.get("thread_name") else ""
            return f"thread {one.get('os_thread_id') or hex(ident)}{name}"
    return ""


def named(
    seen: Seen, blocks: Blocks, place: Place, *, how: How | None, frames: Frames, lost: Sequence[str], broker: Mapping[str, Any]
) -> Named | None:
    """The cause of what this executor waits for. `how`: of the proof, None if there is none; `lost`: threads that its parent
    has and it lacks; `broker`: what it holds, see `broker_view`."""
    if place in blocks.outputs:
        return _of_output(place[0], blocks.outputs[place])
    if place in blocks.subtasks:
        return _of_subtask(seen, blocks, place, broker)
    if place in blocks.locks and seen.pool == FORKED and how in AT_FORK:
        return _of_lock(blocks.locks[place], frames, lost)
    return None


def _of_output(pid: int, output: Output) -> Named:
    first = f"it writes to its {output.name}, {output.leads}, which takes nothing more"
    support = [first]
    if output.readers:
        does = "and does not wait to read it now" if output.idle else "and reads it, more slowly than is written"
        support.append(f"{few(output.readers)} has the other end, {does}; a pipe holds {CAPACITY}")
    number, now = 2 if output.name == "standard error" else 1, ""
    if output.readers:
        now = (
            f"let {few(output.readers)} read; or empty the pipe: timeout 5 cat /proc/{pid}/fd/{number} > /dev/null. Then the "
            "worker goes on, and what it has written is lost. Do not end the reader: the write would fail, and the task with it"
        )
    for_good = "send the output to a file (celery worker --logfile) or to what always reads it, not to a pipe that nobody reads"
    return Named(cause="output-blocked", support=tuple(support), now=now, for_good=for_good)


def _of_subtask(seen: Seen, blocks: Blocks, place: Place, broker: Mapping[str, Any]) -> Named:
    one = blocks.subtasks[place]
    limit = f"for {one.limit} s at most" if one.limit else "with no time limit"
    support = [f"the task waits for the result of another task, a subtask, {limit}: {one.frame}"]
    many, all_ = len(blocks.subtasks), max(seen.last.executors, len(seen.last.stages))
    full = many == all_
    if full:
        which = "the only executor of this worker waits" if all_ == 1 else f"all {all_} executors of this worker wait"
        support.append(f"{which} so: none is left here to run what they wait for")
    else:
        support.append(f"{many} of {all_} executors wait so; the others may run what they wait for, and so may other workers")
    if one.closed:
        support.append(GIVEN_HERE)
    if broker.get("queues") is not None:
        waiting, handed = sum(broker["queues"].values()), broker["unacked"]
        support.append(f"{messages(waiting, 'waits', 'wait')} in the broker, {messages(handed, 'is', 'are')} {UNACKED}")
    for_good = (
        "wait for no result inside a task: a chain or a chord goes on when it is there; or give the subtasks a queue and a "
        "worker of their own"
    )
    return Named(
        cause="waits-for-subtask", support=tuple(support), now=_of_subtask_now(seen, place, broker, full, one.closed),
        for_good=for_good,
    )  # fmt: skip


def _of_subtask_now(seen: Seen, place: Place, broker: Mapping[str, Any], full: bool, closed: bool) -> str:
    """'' if what frees any executor frees this one. A child is ended only for what this worker itself was given: what waits in
    a queue may be meant for another worker, which is still to start."""
    if closed and seen.pool == FORKED:
        kill = f"kill -9 {place[0]}: that ends this child alone, its task is lost"
        return f"{kill}, and the child that replaces it runs what the others wait for"
    if closed:
        return ""
    queues = [name for name, count in (broker.get("queues") or {}).items() if count]
    if full and queues and not broker.get("others"):
        start = f"start a worker for what waits in {few(queues)}, unless one is about to start"
        return f"{start}: celery worker -Q {','.join(queues)}"
    return "look at who runs what it waits for: harness why --task ID, on each machine that has workers of its queues"


def _of_lock(lock: Held, frames: Frames, lost: Sequence[str]) -> Named | None:
    """Only if the lock itself is waited for, and not what another thread is to do, or to import: the judge names these."""
    top = innermost(frames)
    place = (f"the stack ends in {engine_frame(frames)}",) if frames else ()
    if lock.by_parent:
        return Named(cause="fork-held-lock", support=(f"it is a {lock.kind}, held by {lock.holder}, at the fork", *place))
    if lock.gone:
        own = "a thread of its own that has ended"
        said = f"{own}, or one of its parent's at the fork" if lock.inherited and lost else own
        support = (f"it is a {lock.kind}, held by {said}", *place)
        return Named(cause="unknown" if lock.inherited and lost else "deadlock", support=support)
    if lock.inherited is None or lock.holder or any(map(SIGNAL_FRAMES.search, top)) or any(map(IMPORT_FRAMES.search, top)):
        return None
    if not lock.inherited:
        first = f"it waits for a {lock.kind} that its parent does not have: it was made after the fork, or dropped there since"
        return Named(cause="deadlock", support=(first, *place))
    if not lost:
        return None
    first = f"it waits for a {lock.kind} that its parent has, too, and lacks threads of it that may have held it at the fork"
    named = f"{first}: {', '.join(counted(lost))}"
    if lock.held_elsewhere:
        return Named(cause="fork-held-lock", support=(named, *place))
    free = "nobody holds it there now, nor in a child that is idle: the task itself may have taken it twice"
    return Named(cause="unknown", support=(named, free, *place))


def frozen(seen: Seen, pid: int) -> Named:
    """Of a process whose control group is frozen."""
    file = next(one.frozen for one in seen.last.processes if one.pid == pid)
    group, _, name = file.rpartition("/")
    word = "0" if name == freezer.FREEZE else "THAWED"
    return Named(
        cause="stopped", support=(f"its control group is frozen: {group}",),
        now=f"docker unpause, if docker has paused it; or thaw it: echo {word} > {shlex.quote(file)}. It goes on where it was",
        for_good="find out who froze it (docker pause, a checkpoint, a batch system that suspends its jobs)",
    )  # fmt: skip
