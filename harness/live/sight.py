"""What can be seen of workers from here, and what each lack hides: `harness doctor` says it beforehand, and `why` of a worker.

Sources: ptrace(2) on access checks, proc(5) on who may read which file, the kernel's Documentation/admin-guide/LSM/Yama.rst.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.live import find
from harness.machine import containers, procfs
from harness.observe import stacks
from harness.observe.halts import Halt, halt
from harness.observe.looks import Look

CAP_SYS_PTRACE = 19  # linux/capability.h
HOST_NAMESPACE = "pid:[4026531836]"  # PROC_PID_INIT_INO of linux/proc_ns.h
SCOPE = Path("/proc/sys/kernel/yama/ptrace_scope")
SCOPES = {
    "1": "a process may be looked at only by what started it",
    "2": "only with CAP_SYS_PTRACE",
    "3": "by nobody, whatever its rights",
}
HIDES = "which task runs, what it waits for, and so every proof but that of a stopped process"
ALLOW = "run as root, or give the container SYS_PTRACE (docker: --cap-add, Kubernetes: capabilities.add)"


class Status(StrEnum):
    OK = "ok"
    WARNING = "warning"  # works, but the results will need a doubt beside them
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at. `cost`: what is lost without it; `remedy`: what to do. Both are empty when all is well."""

    name: str
    status: Status
    detail: str
    cost: str = ""
    remedy: str = ""


def findings() -> list[Finding]:
    """Of this machine, for `why`, `why --probe` and `watch`."""
    scope = SCOPE.read_text().strip() if SCOPE.exists() else ""
    return [
        rights(os.geteuid(), procfs.read("/proc/self/status") or "", scope),
        hidden(procfs.read("/proc/self/mountinfo") or ""),
        namespace(procfs.link("/proc/self/ns/pid")),
        tools(Path(stacks.py_spy())),
        there(find.workers()),
    ]


def rights(user: int, status: str, scope: str) -> Finding:
    """Whether processes may be looked into. `status`: of /proc/self; `scope`: Yama's, '' if the kernel has none."""
    name, may = "why: ptrace rights", has_ptrace(status)
    who = f"{'root' if user == 0 else f'user {user}'} {'with' if may else 'without'} CAP_SYS_PTRACE"
    told = f"{who}, ptrace_scope {scope or 'absent'}"
    if scope == "3":
        return _warn(name, told, f"{SCOPES['3']}: {HIDES}", "set kernel.yama.ptrace_scope lower, which takes a restart")
    if may:
        return Finding(name=name, status=Status.OK, detail=told)
    if scope in SCOPES:
        return _warn(name, told, f"{SCOPES[scope]}: {HIDES}", f"{ALLOW}, or set kernel.yama.ptrace_scope to 0")
    return _warn(name, f"{told}: workers of this user only", f"of other users' workers, {HIDES}", f"{ALLOW}, or as their user")


def has_ptrace(status: str) -> bool:
    """Whether a process has CAP_SYS_PTRACE, by its /proc/PID/status.

    >>> has_ptrace("CapEff:\\t0000000000080000"), has_ptrace("CapEff:\\t0000000000000000")
    (True, False)
    """
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(found and int(found[1], 16) >> CAP_SYS_PTRACE & 1)


def hidden(mounts: str) -> Finding:
    """Whether /proc hides other users' processes (hidepid of proc(5)). `mounts`: /proc/self/mountinfo."""
    name, found = "why: /proc", None
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[4:5] == ["/proc"] and right.startswith("proc "):
            found = re.search(r"hidepid=(\w+)", right)
    if found is None or found[1] in ("0", "off"):
        return Finding(name=name, status=Status.OK, detail="shows every process")
    what = f"hidepid={found[1]}"
    return _warn(name, what, "other users' workers are not found, or not read", "run as root, or mount /proc without hidepid")


def namespace(link: str) -> Finding:
    """In whose PID namespace we are. `link`: where /proc/self/ns/pid leads."""
    name = "why: PID namespace"
    if link == HOST_NAMESPACE:
        return Finding(
            name=name, status=Status.OK, detail="the host's: workers in containers are seen, too, by the host's numbers"
        )
    detail = f"a container's own ({link}): workers in other containers are not seen" if link else "it may not be read"
    return Finding(name=name, status=Status.OK, detail=detail)


def tools(program: Path) -> Finding:
    """Whether py-spy is there."""
    if os.access(program, os.X_OK):
        return Finding(name="why: py-spy", status=Status.OK, detail=str(program))
    return Finding(
        name="why: py-spy", status=Status.MISSING, detail=f"{program} is not there or may not be run", cost=HIDES,
        remedy="pip install py-spy, into the environment of the harness",
    )  # fmt: skip


def there(workers: Collection[find.Worker]) -> Finding:
    """Which workers there are, and of which of them nothing but names may be read."""
    name, blind = "why: workers", [one.main for one in workers if not may_look(one.main)]
    if not blind:
        told = f"{len(workers)} here, and all may be looked at" if workers else "none is seen now"
        return Finding(name=name, status=Status.OK, detail=told)
    which = ", ".join(f"{pid} (user {containers.owner(pid)})" for pid in blind)
    return _warn(name, f"of {len(workers)} here may not be looked at: {which}", HIDES, f"{ALLOW}, or as the user of the worker")


def may_look(pid: int) -> bool:
    """Whether the kernel lets us look into a process: for its system call it asks for the same right as for its memory."""
    return bool(procfs.read(f"/proc/{pid}/task/{pid}/syscall"))


def unseen(blind: Collection[int], looks: tuple[Look, ...]) -> Iterator[str]:
    """Of a worker: whose stacks may not be read (`blind`), why, what that hides, and what can be said all the same."""
    for pid in blind:
        what = f"the Python stacks of process {pid} may not be read"
        why = f": {_why_blind(pid)}" if _why_blind(pid) else ""
        yield f"{what}{why}. That hides {HIDES}. What is seen: {_cores(pid, looks)}"
    numbers = ((one.pid, containers.inside(one.pid)) for one in looks[-1].processes)
    if named := [f"{pid} is {number}" for pid, number in numbers if number]:
        yield f"the worker is in a container, where process {', '.join(named)}: its own logs name it so"


def no_native(pid: int) -> str:
    """Why native stacks could not be had."""
    if not containers.is_here(pid):
        return "it is in a container, where its threads have other numbers; ask from within"
    stat = procfs.process(pid)
    if stat is not None and stat.state in "Tt":
        return "it is stopped"
    return _why_blind(pid) or "py-spy could not read them in time"


def _why_blind(pid: int) -> str:
    owner = containers.owner(pid)
    if may_look(pid):
        return ""  # py-spy does not know its Python, or there is none
    if owner is not None and owner != os.geteuid():
        return f"it is of user {owner}, and we are user {os.geteuid()}, without CAP_SYS_PTRACE"
    return "ptrace is not allowed here; 'harness doctor' says what is missing"


def _cores(pid: int, looks: Iterable[Look]) -> str:
    seen = [(look.at_s, one) for look in looks for one in look.processes if one.pid == pid]
    if len(seen) < 2:
        return "nothing"
    (begin_s, first), (end_s, last) = seen[0], seen[-1]
    if (found := halt([one for _, one in seen])) in (Halt.STOPPED, Halt.FROZEN, Halt.NEW):
        return "it is frozen with its control group" if found is Halt.FROZEN else "it is stopped by a signal"
    cores = (last.cpu_s - first.cpu_s) / (end_s - begin_s)
    return f"it used {cores:.2f} cores while it was looked at"


def _warn(name: str, detail: str, cost: str, remedy: str) -> Finding:
    return Finding(name=name, status=Status.WARNING, detail=detail, cost=cost, remedy=remedy)
