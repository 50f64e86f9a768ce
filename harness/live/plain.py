"""The evidence of one look at a worker as plain texts, fit to be sent: what /proc says of each process and thread, its Python
stacks without a single local, and the versions that matter. What could hold somebody's data is never read: no environ, no
command line, no memory, no message.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from typing import Any

import harness
from harness.live.attach import Seen
from harness.live.redact import Names
from harness.live.versions import beside
from harness.live.waits import Stacks
from harness.machine import descriptors, procfs, sockets
from harness.machine.processes import run
from harness.observe import stacks

#: lines of /proc/PID/status that are kept, all of them numbers (proc_pid_status(5)); Name is not, nor are users and groups
STATUS = frozenset(
    ("State", "Tgid", "Ngid", "Pid", "PPid", "TracerPid", "NStgid", "NSpid", "FDSize", "VmPeak", "VmSize", "VmRSS",
     "VmSwap", "Threads", "SigQ", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapEff", "NoNewPrivs", "Seccomp",
     "Cpus_allowed_list", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")
)  # fmt: skip
PROGRAM = re.compile(r"^(python[\d.]*|celery|MainThread|pypy[\d.]*)$")  # names of threads and processes that tell nothing
PYTHON = re.compile(r"^Python v(?P<version>\S+)", re.MULTILINE)
VERSION_LIMIT_S = 5.0


def texts(seen: Seen, names: Names) -> dict[str, str]:
    """By file name: all that is kept of the processes of a worker."""
    found: dict[str, str] = {}
    for pid in [one.pid for one in seen.last.processes]:
        folder = f"processes/{pid}"
        found[f"{folder}/status.txt"] = _status(f"/proc/{pid}")
        found[f"{folder}/descriptors.txt"] = "".join(_descriptors(pid, names))
        found[f"{folder}/threads.txt"] = "\n".join(_thread(pid, tid, names) for tid in procfs.numbers(f"/proc/{pid}/task"))
    for pid, dump in dumps(seen).items():
        found[f"processes/{pid}/stacks.txt"] = stack_text(dump, names)
    return found


def dumps(seen: Seen) -> dict[int, Stacks]:
    """The Python stacks of the worker's own processes, as far as they may be read: without a stop, and without locals."""
    pids = [seen.worker.main, *(one.pid for one in seen.children)]
    return {pid: found for pid in pids if (found := stacks.dumped(pid, "--nonblocking"))}


def files(dump: Stacks) -> dict[str, str]:
    """The files of all frames: as py-spy shortens them in its texts, and whole."""
    return {
        short: frame["filename"] for thread in dump for frame in thread["frames"]
        for short in (frame.get("short_filename") or frame["filename"], frame["filename"])
    }  # fmt: skip


def stack_text(dump: Stacks, names: Names) -> str:
    """A stack per thread, the innermost frame first."""
    return "\n".join("\n".join(_stack(thread, names)) for thread in dump) + "\n"


def _stack(thread: Mapping[str, Any], names: Names) -> Iterator[str]:
    called = str(thread.get("thread_name") or "")
    label = names.of("thread", called) if called else "no name"
    does = [word for word, yes in (("active", thread.get("active")), ("holds the GIL", thread.get("owns_gil"))) if yes]
    yield f"thread {thread.get('os_thread_id') or '?'} ({', '.join([label, *does])})"
    for frame in thread["frames"]:
        yield f"    {names.frame(frame['name'], frame['filename'], frame['line'])}"


def _status(base: str) -> str:
    lines = (procfs.read(f"{base}/status") or "").splitlines()
    return "".join(f"{line}\n" for line in lines if line.partition(":")[0] in STATUS)


def _thread(pid: int, tid: int, names: Names) -> str:
    base = f"/proc/{pid}/task/{tid}"
    parts = [f"== thread {tid}", _status(base).rstrip(), f"stat: {_stat(procfs.read(f'{base}/stat') or '', names)}"]
    parts += [f"{name}: {(procfs.read(f'{base}/{name}') or '').strip()}" for name in ("wchan", "syscall", "schedstat")]
    lines = (procfs.read(f"{base}/sched") or "").splitlines()
    return "\n".join([*parts, *(f"sched: {' '.join(line.split())}" for line in lines[2:])]) + "\n"  # the first names the thread


def _stat(text: str, names: Names) -> str:
    """A line of stat, see proc_pid_stat(5), whose second field is a name that anybody may give.

    >>> _stat("7 (acme (x) y) S 1 2", Names())
    '7 (comm-1) S 1 2'
    """
    before, _, rest = text.strip().partition("(")
    comm, _, after = rest.rpartition(")")
    return f"{before}({comm if PROGRAM.match(comm) else names.of('comm', comm)}){after}" if rest else ""


def _descriptors(pid: int, names: Names) -> Iterator[str]:
    """Where each leads; of an epoll set, what lies in it."""
    known = {one.inode: one for one in sockets.tcp(pid)}
    for number in sorted(procfs.numbers(f"/proc/{pid}/fd")):
        if not (target := descriptors.link_of(pid, number)):
            continue  # it was closed meanwhile
        kind, _, inode = target.partition(":[")
        if kind == "socket" and (one := known.get(int(inode[:-1]))):
            ends = [names.of("address", sockets.shown(end)) for end in (one.local, one.remote)]
            yield f"{number}: {target} TCP {ends[0]} to {ends[1]}, {one.state}\n"
        elif kind == "socket":
            yield f"{number}: {target} {sockets.kind_of(pid, number)}".rstrip() + "\n"
        elif target.startswith("/"):
            yield f"{number}: {names.of('path', target)}\n"
        else:
            yield f"{number}: {target}\n"
        if target == "anon_inode:[eventpoll]":
            told = (procfs.read(f"/proc/{pid}/fdinfo/{number}") or "").splitlines()
            yield from (f"    {' '.join(line.split())}\n" for line in told)


def versions(main: int, dump: Stacks) -> dict[str, Any]:
    """Of the harness, what it looks with, the kernel, the worker's Python and the libraries that Celery is made of."""
    argv = [stacks.py_spy(), "--version"]
    told = run(argv, env={"PATH": os.environ.get("PATH", "")}, limit_s=VERSION_LIMIT_S).stdout.split()
    python = PYTHON.search(stacks.text(main))
    return {
        "harness": harness.__version__, "py-spy": told[-1] if told else "", "kernel": platform.release(),
        "machine": platform.machine(), "python": python["version"] if python else "",
        "libraries": beside(main, (frame["filename"] for thread in dump for frame in thread["frames"])),
    }  # fmt: skip
