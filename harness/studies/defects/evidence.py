"""What can be seen of a worker from outside at one moment, in plain values: kept beside each reproduced defect.

Whoever teaches `why` a cause finds here what there is to see: the broker's list of connections, joined with the worker's
sockets by port; what its event loop is registered for; what is queued and handed out; stacks. Nothing is changed or stopped.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from typing import Any, cast

import redis

from harness.machine import descriptors, procfs, sockets
from harness.observe import stacks
from harness.studies.defects.bench import QUEUE, UNACKED, Bench
from harness.texts import portable, visible

TOLD = ("addr", "cmd", "flags", "idle", "age", "sub", "psub", "omem", "qbuf")  # of a row of CLIENT LIST


def gathered(bench: Bench) -> dict[str, Any]:
    """All of it, as JSON takes it."""
    pids = [bench.main, *procfs.children(bench.main)]
    found = {"broker": _broker(bench, pids), "processes": [_process(pid) for pid in pids]}
    text = json.dumps(found)
    for place, name in _places(bench):
        text = text.replace(place, name)
    plain: dict[str, Any] = json.loads(text)
    return plain


def _places(bench: Bench) -> list[tuple[str, str]]:
    """This machine's folders, the deeper ones first, and what they are called in a record."""
    environment = bench.python.parent.parent
    return [(str(bench.folder), "FOLDER"), (str(environment), "ENVIRONMENT"), (tempfile.gettempdir(), "TMP")]


def _broker(bench: Bench, pids: list[int]) -> dict[str, Any]:
    """The queue, what is handed out, and each connection with the process at its other end; {} while it does not answer."""
    owners = _owners(bench.main, pids)
    try:
        client = bench.client()
        rows = [{name: row.get(name, "") for name in TOLD} for row in client.client_list()]
    except redis.RedisError:
        return {}
    held = cast(list[tuple[bytes, float]], client.zrange(UNACKED, 0, -1, withscores=True))
    known = {row["addr"] for row in rows}
    port = int(bench.url.rpartition(":")[2].partition("/")[0])
    ends = [one for one in sockets.tcp(bench.main) if one.remote[1] == port and one.inode in owners]
    return {
        "queue": bench.count(QUEUE), "unacked": bench.unacked(),
        "handed_out_s": [round(time.time() - since) for _, since in held],
        "connections": [{**row, "process": _owner_of(row["addr"], bench.main, owners)} for row in rows],
        "unknown_to_the_broker": [
            {"port": one.local[1], "state": one.state, "process": owners[one.inode]}
            for one in ends if f"{one.local[0]}:{one.local[1]}" not in known
        ],
    }  # fmt: skip


def _owners(main: int, pids: list[int]) -> dict[int, int]:
    """The inode of each socket of the worker's -> the process that has it; the main one, if several have."""
    return {inode: pid for pid in [*reversed(pids), main] for inode in descriptors.socket_inodes(pid)}


def _owner_of(address: str, main: int, owners: dict[int, int]) -> int:
    host, _, port = address.rpartition(":")
    found = (one.inode for one in sockets.tcp(main) if one.local == (host, int(port)))
    return next((owners[inode] for inode in found if inode in owners), 0)


def _process(pid: int) -> dict[str, Any]:
    """One process: what each of its threads waits in, its descriptors, its event loops, its Python stacks."""
    loops: dict[str, list[int]] = {}
    found: dict[str, str] = {}
    known = {f"socket:[{one.inode}]": one.local[1] for one in sockets.tcp(pid)}
    ports = {}
    for number in sorted(procfs.numbers(f"/proc/{pid}/fd")):
        leads = descriptors.leads_to(pid, number)
        if port := known.get(descriptors.link_of(pid, number)):
            ports[str(number)] = port
        found[str(number)] = visible(portable(leads))
        if "eventpoll" in leads:
            told = procfs.read(f"/proc/{pid}/fdinfo/{number}") or ""
            loops[str(number)] = [int(one) for one in re.findall(r"^tfd:\s*(\d+)", told, re.MULTILINE)]
    threads = [_thread(pid, one.tid) for one in procfs.threads(pid)]
    return {
        "pid": pid, "threads": threads, "descriptors": found, "ports": ports, "epoll": loops,
        "stacks": visible(stacks.text(pid)).splitlines(),
    }  # fmt: skip


def _thread(pid: int, tid: int) -> dict[str, Any]:
    call = procfs.call(pid, tid)
    return {
        "tid": tid, "call": call.kind if call else "", "timed": bool(call and call.timed),
        "at": descriptors.waited_at(pid, call)[:8] if call else [],
    }  # fmt: skip
