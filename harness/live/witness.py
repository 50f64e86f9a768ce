"""Gather the facts about a worker's machinery and its broker: /proc first, then the broker, then one glance at the main stack.

A worker in which one moment shows nothing costs one moment. If it shows anything, more are taken for some seconds: what is said
of a consumer or of a pool has to hold at each of them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from harness.live import broker_urls, causes, find, join, kept, tasks, versions
from harness.live.attach import Seen
from harness.live.broker_look import Broker
from harness.live.eyes import of_pool
from harness.live.facts import Facts, Frames, Moment
from harness.live.find import option
from harness.machine import descriptors, procfs, wires
from harness.machine.since import started_s
from harness.observe import children, stacks
from harness.observe.looks import ProcessLook
from harness.observe.roles import Role

EVERY_S, WATCH_S = 0.5, 4.0  # a consumer asks anew every second (kombu's brpop_timeout)
MOST_OTHERS = 16  # processes of other workers that are looked at for what they run
BLOCKS = ("read", "write", "recv", "send", "connect", "poll", "select")


def watched(
    seen: Seen, url: str, *, sleep: Callable[[float], None] = time.sleep, clock: Callable[[], float] = time.monotonic
) -> Facts:
    """The facts of this worker, over as many moments as it takes."""
    words = find.words_of(seen.worker.main)
    queues = tuple(name for name in option(words, "-Q", "--queues").split(",") if name)
    broker = Broker(url, queues or ("celery",), seen.worker.nodes) if url else None
    pid = seen.worker.main
    others = strangers(seen)
    moments, frames, keeps = [_moment(pid, broker, clock(), others)], [_frames(pid)], kept.of(pid)
    facts = replace(_facts(seen, queues, url, tuple(moments), tuple(frames)), kept=keeps)
    if causes.doubtful(facts):
        until_s = clock() + WATCH_S
        while clock() < until_s:
            sleep(EVERY_S)
            moments.append(_moment(pid, broker, clock(), others))
        frames.append(_frames(pid))
        facts = replace(_facts(seen, queues, url, tuple(moments), tuple(frames)), kept=keeps, begun=_begun(keeps, kept.of(pid)))
    if facts.tasks or (len(moments) > 1 and any(look.unacked for look in facts.brokers)):
        facts = replace(facts, elsewhere=_elsewhere(pid, moments[-1]))
    if broker is not None:
        broker.close()
    return facts


def _begun(before: kept.Kept, after: kept.Kept) -> int | None:
    return after.begun - before.begun if after.begun is not None and before.begun is not None else None


def _facts(seen: Seen, queues: tuple[str, ...], url: str, moments: tuple[Moment, ...], frames: tuple[Frames, ...]) -> Facts:
    worker, last = seen.worker, seen.last
    main = next((one for one in last.processes if one.pid == worker.main), None)
    scaled = bool(option(find.words_of(worker.main), "--autoscale", "--autoscale"))
    started, argv = started_s(worker.main), find.command(worker.main)
    return Facts(
        main=worker.main, pool=seen.pool, role=main.role if main else Role.UNKNOWN, restart=worker.restart, apart=worker.apart,
        concurrency=0 if scaled else worker.concurrency, queues=queues,
        gossips=find.gossips(argv, procfs.read(f"/proc/{worker.main}/environ") or ""), port=broker_urls.port(url),
        age_s=moments[-1].at_s - started if started is not None else 0.0, looks=seen.looks, busy=_busy(seen, main),
        idle=_idle(seen, main), tasks=seen.tasks, frames=frames, moments=moments,
        versions=versions.of(worker.main, argv, (file for stack in frames for _, file in stack)),
    )  # fmt: skip


def _busy(seen: Seen, main: ProcessLook | None) -> int:
    children = sum(len(one.tracing) for one in seen.children)
    apart = len(seen.greenlets or ()) if seen.pool in ("threads", "solo") else 0
    return children or (len(main.tracing) if main else 0) + apart


def _idle(seen: Seen, main: ProcessLook | None) -> int | None:
    """Executors that were idle at each look; None for greenlets, and where nobody may look."""
    if seen.pool == "prefork":
        pids = {one.pid for one in seen.children if one.role is Role.IDLE}
        return sum(all(_is_idle(look.processes, pid) for look in seen.looks) for pid in pids)
    if main is None or main.python_tids is None or seen.pool not in ("threads", "solo"):
        return None
    many = seen.worker.concurrency if seen.pool == "threads" else 1
    return max(0, (many or os.cpu_count() or 1) - len(main.tracing) - len(seen.greenlets or ())) if not seen.moved else 0


def _elsewhere(main: int, moment: Moment) -> frozenset[str]:
    """The ids of the tasks that other workers of this machine run, if the same broker knows them."""
    known = {one.address for one in moment.broker.connections} if moment.broker else set()
    known -= {join.address(one.local) for one in moment.wires}
    if not known:
        return frozenset()
    workers = [one for one in find.workers() if one.main != main and _ends(one.main) & known]
    others = [stat.pid for worker in workers for stat in worker.tree()]
    return frozenset(task.id for pid in others[:MOST_OTHERS] for task in tasks.running(pid) or () if task.id)


def _ends(pid: int) -> set[str]:
    return {join.address(one.local) for one in wires.of(pid)}


def _is_idle(processes: tuple[ProcessLook, ...], pid: int) -> bool:
    return any(one.pid == pid and one.role is Role.IDLE for one in processes)


def strangers(seen: Seen) -> frozenset[int]:
    """The children of the main process that serve no pool: an embedded beat, whatever else was started. Only those are asked
    for their stacks that were not seen to serve; one of which nobody can tell counts as the pool's."""
    serve = {one.pid for one in seen.children}
    return frozenset(pid for pid in procfs.children(seen.worker.main) if pid not in serve and _is_stranger(pid))


def _is_stranger(pid: int) -> bool:
    return not children.is_of_pool(pid) or of_pool(pid) is False


def _moment(pid: int, broker: Broker | None, at_s: float, others: Collection[int] = ()) -> Moment:
    """/proc before the broker: a connection that is new in between is then known to neither. `others`: children that are
    none of the pool's."""
    found, call = wires.of(pid), procfs.call(pid, pid)
    at = descriptors.waited_at(pid, call) if call is not None and call.kind in BLOCKS else []
    pool = (child for child in procfs.children(pid) if child not in others)
    states = {child: stat.state for child in pool if (stat := procfs.process(child)) is not None}
    switches = next((one.switches for one in procfs.threads(pid) if one.tid == pid), 0)
    return Moment(
        at_s=at_s, wires=found, main_at=at[0] if len(at) == 1 else None, switches=switches, children=states,
        broker=broker.look() if broker is not None else None,
    )  # fmt: skip


def _frames(pid: int) -> Frames:
    """The stack of the main thread; () if it may not be read. Before Python 3.11 it is told by its name."""
    for thread in stacks.dumped(pid, "--nonblocking") or ():
        if thread.get("os_thread_id") == pid or (not thread.get("os_thread_id") and thread.get("thread_name") == "MainThread"):
            return tuple((frame["name"], frame["filename"]) for frame in thread["frames"])
    return ()
