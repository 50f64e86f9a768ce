"""What this computer can and cannot do for us: each thing looked for, what its lack costs, and what would help.

`examine()` returns plain data which the command line prints. It looks, and tries things on a process of its own; it
installs nothing and builds nothing. What a machine *is*, for the record, stands in `machine`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from harness.broker import server_binary
from harness.environments import Description, descriptions, find
from harness.environments.blas import doubt
from harness.environments.interpreters import look
from harness.errors import HarnessError
from harness.live import sight
from harness.live.sight import Finding, Status
from harness.machine import cgroups, cores
from harness.places import home

GIB = 2**30
DISK_BYTES_EACH = 2 * GIB  # TensorFlow 2's share with what is downloaded; two of these are enough for all environments
MEMORY_BYTES = 4 * GIB  # four processes, each with its own TensorFlow and model
MEMORY_LIMITS = {1: "memory.limit_in_bytes", 2: "memory.max"}  # by version of the control group
CORES = 2
STACK_LIMIT_S = 10.0


def examine() -> list[Finding]:
    """Everything, in the order in which it matters. Takes some seconds."""
    checks = (_interpreters, _programs, _environments, _broker, _watching, sight.findings, _disk, _memory, _cores)
    return [finding for check in checks for finding in check()]


def _ok(name: str, detail: str) -> Finding:
    return Finding(name=name, status=Status.OK, detail=detail)


def _missing(name: str, detail: str, *, cost: str, remedy: str) -> Finding:
    return Finding(name=name, status=Status.MISSING, detail=detail, cost=cost, remedy=remedy)


def _warning(name: str, detail: str, *, cost: str, remedy: str) -> Finding:
    return Finding(name=name, status=Status.WARNING, detail=detail, cost=cost, remedy=remedy)


def _interpreters() -> Iterable[Finding]:
    users: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for description in descriptions().values():
        for minor in description.python:
            users.setdefault((minor, description.needs), []).append(description.name)
    for (minor, needs), names in users.items():
        found = look(minor, needs=needs, downloads=home() / "interpreters")
        name = f"Python {minor} for {', '.join(names)}"
        if found:
            yield _ok(name, f"{found.version}, {found.path}")
        else:
            yield _missing(
                name,
                "not the driver's own, nor on PATH, nor among pyenv's or uv's",
                cost=f"no cells for {', '.join(names)}, unless uv can download it",
                remedy=f"pyenv install {minor}",
            )


def _programs() -> Iterable[Finding]:
    """Compilers and the like that environments name."""
    for program in sorted({need for item in descriptions().values() for need in item.needs if need != "Python.h"}):
        names = ", ".join(item.name for item in descriptions().values() if program in item.needs)
        if path := shutil.which(program):
            yield _ok(program, path)
        else:
            yield _missing(
                program, "not on PATH", cost=f"no cells for {names}", remedy="install the system's C++ compiler package"
            )


def _environments() -> Iterable[Finding]:
    return [_environment(description) for description in descriptions().values()]


def _environment(description: Description) -> Finding:
    name = f"environment {description.name}"
    built = find(description.name)
    if built is None:
        return _missing(
            name,
            f"not built yet ({description.summary})",
            cost="the first run that needs it builds it",
            remedy=f"harness setup {description.name}",
        )
    pinned = [line.split("==")[0] for line in description.requires if "==" in line]
    detail = ", ".join(f"{package} {built.installed.get(package, '?')}" for package in pinned)
    if "blas" not in built.facts:
        return _ok(name, detail)
    blas = built.facts["blas"]
    detail += f"; matrix products at {blas['gemm_gflops']:.0f} GFLOP/s, {blas['gemm_ratio']:.0%} of NumPy's rate"
    if not (reason := doubt(blas)):
        return _ok(name, detail)
    return _warning(
        name,
        f"{detail}; {reason}",
        cost="its latencies say more about the BLAS than about the backend",
        remedy=f"delete {built.directory} and build it again on a quiet machine; its log stands beside it",
    )


def _broker() -> Iterable[Finding]:
    try:
        yield _ok("embedded Valkey", str(server_binary()))
    except HarnessError as error:
        yield _missing("embedded Valkey", error.message, cost="runs need a server of your own", remedy=error.remedy)


def _watching() -> Iterable[Finding]:
    """Try on a process of our own what `monitor` and `diagnosis` will do to workers."""
    with _bystander() as pid:
        yield _stacks(pid)
        yield _readable(pid, "smaps_rollup", "memory counts shared pages once per process (RSS) instead of by share (PSS)")
        yield _readable(pid, f"task/{pid}/syscall", "a hang's kind of wait (futex, pipe, timer) stays unknown")
        yield _readable(pid, f"task/{pid}/schedstat", "waiting for a core cannot be told from waiting for a lock")


def _stacks(pid: int) -> Finding:
    program = shutil.which("py-spy", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    cost = "hangs are still found, but reported without stacks"
    name = "stacks (py-spy)"
    if program is None:
        return _missing(name, "py-spy is not installed", cost=cost, remedy="pip install py-spy")
    try:
        subprocess.run([program, "dump", "--pid", str(pid)], capture_output=True, check=True, timeout=STACK_LIMIT_S)
    except (OSError, subprocess.SubprocessError):
        return _missing(
            name,
            f"py-spy may not look into our processes; {_rights()}",
            cost=cost,
            remedy="sysctl kernel.yama.ptrace_scope=0, or run as root, or give the container SYS_PTRACE",
        )
    return _ok(name, f"{program}; {_rights()}")


def _rights() -> str:
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    told = scope.read_text().strip() if scope.exists() else "absent"
    return f"{'root' if os.geteuid() == 0 else 'not root'}, ptrace_scope {told}"


def _readable(pid: int, path: str, cost: str) -> Finding:
    name = f"/proc/PID/{path.replace(str(pid), 'TID')}"
    try:
        Path(f"/proc/{pid}/{path}").read_bytes()
    except OSError as error:
        return _missing(
            name, str(error.strerror), cost=cost, remedy="needs the same user and ptrace rights, and a kernel that offers it"
        )
    return _ok(name, "readable")


@contextmanager
def _bystander() -> Iterator[int]:
    """A Python process that waits until its input closes: it has told that it is up, and ends with us."""
    code = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


def _disk() -> Iterable[Finding]:
    place = next(path for path in (home(), *home().parents) if path.exists())
    wanted = DISK_BYTES_EACH * min(sum(find(name) is None for name in descriptions()), 2) + GIB
    remedy = "free some, or set HARNESS_HOME to another disk"
    what = f"for the environments in {home()}"
    yield _enough(
        "free disk", shutil.disk_usage(place).free, wanted, what, cost="installing or recording may fail", remedy=remedy
    )


def _memory() -> Iterable[Finding]:
    limit = cgroups.least(cgroups.standing("memory"), MEMORY_LIMITS)
    have = psutil.virtual_memory().available
    remedy = "lower the concurrency, close other programs, or raise the container's limit"
    cost = "swapping, or workers killed by the kernel"
    usable = have if limit is None else min(have, limit)
    yield _enough("memory", usable, MEMORY_BYTES, "available", cost=cost, remedy=remedy)


def _enough(name: str, have: int, want: int, what: str, *, cost: str, remedy: str) -> Finding:
    detail = f"{have / GIB:.1f} GiB {what}"
    if have >= want:
        return _ok(name, detail)
    return _warning(name, f"{detail}; {want / GIB:.0f} GiB are wanted", cost=cost, remedy=remedy)


def _cores() -> Iterable[Finding]:
    yield cores_finding(len(cores.AVAILABLE), cores.quota())


def cores_finding(count: int, quota: float | None) -> Finding:
    """On cores by affinity, and a CPU quota in cores (None without one)."""
    usable = cores.usable(count, quota)
    detail = f"{count} available"
    if quota is not None:
        detail = f"{count} by affinity, and a CPU quota of {quota:.3g}, so that {usable:.3g} may be used"
    if usable < CORES:
        cost = "workers, broker and load generator take turns: latencies grow"
        return _warning("cores", detail, cost=cost, remedy=f"use at least {CORES} whole cores, without a CPU quota")
    if usable < count:
        cost = "a worker that uses its quota up stands still until the next period: its row says throttled"
        remedy = "measure with the quota of the deployment, or without one"
        return _warning("cores", detail, cost=cost, remedy=remedy)
    return _ok("cores", detail)
