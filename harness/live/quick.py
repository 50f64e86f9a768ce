"""A look at a worker that costs little: the kernel's part first, and Python stacks only of what may be stuck.

*First* come some readings of /proc over the judge's window. A process is a *suspect* if a thread of it stood still all the
while in a wait without a time limit, or if it is halted; the judge (`judge.blocked`) proves nothing of any other. A child that
waits for its worker's main process, which turns, is none: the main process may end that wait. *Then* the suspects alone get one
glance at their stacks, which holds for the whole window, since a thread that was not switched to has not left its place. The
judge is that of `harness why`, and so are its words.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.live import answer, attach, loop_calls, waits
from harness.live.answer import Report
from harness.live.executor import WORST, State
from harness.live.eyes import Eyes
from harness.live.find import Worker
from harness.live.waits import Evidence
from harness.machine import descriptors, procfs, sockets
from harness.machine.procfs import Thread
from harness.machine.since import last_ran_s
from harness.observe.halts import Halt, halt_of, is_stopped
from harness.observe.looks import MIN_LOOKS, WINDOW_S, ProcessLook

LOOKS = MIN_LOOKS + 1
EVERY_S = WINDOW_S / MIN_LOOKS
CLOSED = frozenset({"futex", "read", "recv", "write", "send", "poll", "epoll", "select", "wait-child"})  # see `observe.wakers`
AT_ONCE = 2  # suspects: a glance at one costs some hundredths of a second
ODD = (State.STUCK, State.WAITING)
At = tuple[float, tuple[ProcessLook, ...]]


@dataclass(frozen=True, kw_only=True)
class First:
    """What the kernel alone shows of a worker. `still`: by process, its threads that stood still all the while, those of
    suspects alone. `outside`: the suspects that stand still at nothing but peers, of which nobody can say that they will never
    answer. `hidden`: processes whose system calls may not be read."""

    worker: Worker
    eyes: Eyes
    looks: tuple[At, ...]
    still: Mapping[int, frozenset[int]]
    outside: frozenset[int]
    hidden: tuple[int, ...]

    @property
    def suspects(self) -> frozenset[int]:
        return frozenset(self.still)


def first(
    worker: Worker, eyes: Eyes | None = None, *, sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> First | None:  # fmt: skip
    """Look for a little more than a second; None if the worker has ended. `eyes`: those of an earlier look, which know
    what they have seen.
    """
    if eyes is None:
        eyes = Eyes(main=worker.main, tree=worker.tree, pool=lambda: frozenset(procfs.children(worker.main)), events=None)
    found = list[At]()
    while len(found) < LOOKS:
        if found:
            sleep(EVERY_S)
        found.append((clock(), eyes.look(closely=frozenset())))
        if not any(one.pid == worker.main for one in found[-1][1]):
            return None
    histories = _histories(found)
    pool = {worker.main, *procfs.children(worker.main)}
    processes, whole = [seen for _, seen in found], (Halt.STOPPED, Halt.FROZEN)
    halted = {pid for pid in pool & set(histories) if halt_of(pid, processes) in whole}
    still = {pid: still for pid in pool & set(histories) if (still := _still(histories[pid], pid in halted))}
    turns = worker.main not in still.get(worker.main, ())
    alone = {pid for pid, tids in still.items() if tids == {pid}} - halted
    idle = waiting_for(worker.main, alone) if turns else frozenset()
    hidden = tuple(sorted(pid for pid in pool & set(histories) if _is_hidden(histories[pid])))
    suspects = {pid: still[pid] for pid in set(still) - idle}
    outside = frozenset(pid for pid, tids in suspects.items() if all(_at_a_peer(pid, tid) for tid in tids))
    return First(worker=worker, eyes=eyes, looks=tuple(found), still=suspects, outside=outside, hidden=hidden)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What glances have shown. `report`: the worst, None without a glance; `glanced`: the processes that were looked at;
    `busy`: those of them that are at something."""

    report: Report | None = None
    glanced: frozenset[int] = frozenset()
    busy: frozenset[int] = frozenset()

    def and_also(self, report: Report, pids: Collection[int]) -> Judged:
        both = [one for one in (self.report, report) if one is not None]
        return Judged(
            report=min(both, key=lambda one: WORST.index(one.state)), glanced=self.glanced | set(pids),
            busy=self.busy | {one.pid for one in report.executors},
        )  # fmt: skip


def worst(seen: First, suspects: Collection[int], *, told: bool = False) -> Judged | None:
    """What the judge says of these suspects, two at a time, the longest still first, until one is proved to be stuck: that is
    enough, and costs no more if many are. Of those that wait for a peer two stand for all. None if the worker has ended.
    """
    ranked = sorted(suspects, key=lambda pid: last_ran_s(pid, pid) or 0.0)
    inside, outside = [pid for pid in ranked if pid not in seen.outside], [pid for pid in ranked if pid in seen.outside]
    turns = [(inside[at : at + AT_ONCE], ODD[:1]) for at in range(0, len(inside), AT_ONCE)]
    found = Judged()
    for few, enough in (*turns, (outside[:AT_ONCE], ODD)):
        if few and not (found.report and found.report.state in enough):
            report = judged(seen, few, told=told)
            if report is None:
                return None
            found = found.and_also(report, few)
    return found


def judged(seen: First, suspects: Collection[int], *, told: bool = False) -> Report | None:
    """What the judge says of these suspects after one glance at them, which lies between two looks of the kernel's; None if the
    worker has ended. What they wait for is looked up if they are stuck, and with `told` if they wait.
    """
    worker, at_s = seen.worker, time.monotonic()
    glance = seen.eyes.look(closely=frozenset(suspects))
    running = attach.limited(attach.running(glance, seen.eyes.taken), worker.main)
    loop = loop_calls.begun(worker.main, glance)
    after_s, after = time.monotonic(), seen.eyes.look(closely=frozenset())
    if not any(one.pid == worker.main for one in after):
        return None
    known = {(look.pid, thread.tid): thread for look in glance for thread in look.threads}
    before = [(at_s, tuple(_told(look, known) for look in looks)) for at_s, looks in seen.looks]
    stacks = {one.pid: one for one in glance}
    last = tuple(replace(stacks.get(one.pid, one), threads=_told(one, known).threads, cpu_s=one.cpu_s) for one in after)
    every = [*before, (at_s, glance), (after_s, last)]
    found = attach.seen_from(worker, every, running, running, suspects, loop.ended() if loop else None)
    # of the others nothing is known: they are executors, perhaps, and nobody tried to look at their stacks
    many = max(found.last.executors, len(procfs.children(worker.main)) if found.pool == "prefork" else 0)
    looks = tuple(replace(look, executors=many) for look in found.looks)
    found = replace(found, looks=looks)
    report = answer.report(found, Evidence(waits={}, frames={}, lost={}, deep=False), {})
    if report.state is State.STUCK or (told and report.state is State.WAITING):
        report = answer.report(found, waits.look(found, deep=False), {})
    _, still, which = report.reason.partition(" still: ")  # how many stand still in all was not looked at
    return replace(report, reason=which if still else report.reason)


def _told(look: ProcessLook, known: Mapping[tuple[int, int], Thread]) -> ProcessLook:
    """A look with the wakers of its threads, as a later one has shown them: they hold while a thread is not switched to."""
    threads = []
    for thread in look.threads:
        later = known.get((look.pid, thread.tid))
        same = later is not None and later.switches == thread.switches and later.waits_in == thread.waits_in
        threads.append(replace(thread, wakers=later.wakers) if later is not None and same else thread)
    return replace(look, threads=tuple(threads))


def _histories(looks: Sequence[At]) -> dict[int, dict[int, list[Thread]]]:
    """By process and thread, of the processes that were there at each look."""
    found: dict[int, dict[int, list[Thread]]] = {}
    counts: dict[int, int] = {}
    for _, processes in looks:
        for process in processes:
            counts[process.pid] = counts.get(process.pid, 0) + 1
            for thread in process.threads:
                found.setdefault(process.pid, {}).setdefault(thread.tid, []).append(thread)
    return {pid: threads for pid, threads in found.items() if counts[pid] == len(looks)}


def _still(threads: Mapping[int, Sequence[Thread]], halted: bool) -> frozenset[int]:
    """The threads of a process that the judge might prove to be blocked: all, if it is halted."""
    whole = {tid: history for tid, history in threads.items() if len(history) >= LOOKS}
    return frozenset(tid for tid, history in whole.items() if halted or stands_still(history))


def stands_still(history: Sequence[Thread]) -> bool:
    """Whether a thread was stopped all the while, or waited in one place without a time limit for what may be closed."""
    if is_stopped(history):
        return True
    waited = all(not one.timed and one.waits_in in CLOSED for one in history)
    return waited and history[-1].switches == history[0].switches


def waiting_for(main: int, children: Collection[int]) -> frozenset[int]:
    """Those whose main thread waits at a pipe which the main process has open, too."""
    targets = {target for one in procfs.numbers(f"/proc/{main}/fd") if (target := _target(main, one))}
    return frozenset(pid for pid in children if pid != main and _reads_from(pid, targets))


def _reads_from(pid: int, targets: Collection[str]) -> bool:
    call = procfs.call(pid, pid)
    at = descriptors.waited_at(pid, call) if call is not None and call.kind in ("read", "recv") else []
    return bool(at) and all(_target(pid, one) in targets for one in at)


def _at_a_peer(pid: int, tid: int) -> bool:
    """Whether a thread waits at a TCP socket of its: for what the judge finds no process that alone could end it."""
    call = procfs.call(pid, tid)
    at = descriptors.waited_at(pid, call) if call is not None and call.kind in ("read", "recv", "write", "send") else []
    names = {_target(pid, one) for one in at}
    return bool(names) and names <= {f"socket:[{one.inode}]" for one in sockets.tcp(pid)}


def _target(pid: int, descriptor: int) -> str:
    """The name of a pipe or a socket; '' for anything else: a file or a terminal is no link between two processes."""
    found = descriptors.link_of(pid, descriptor)
    return found if found.startswith(("pipe:[", "socket:[")) else ""


def _is_hidden(threads: Mapping[int, Sequence[Thread]]) -> bool:
    return all(one.waits_in == "unknown" for history in threads.values() for one in history)
