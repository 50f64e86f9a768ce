"""Faults that are done to a running trial from outside, by the driver: a process stopped, the broker or the network gone,
the disk full. A cell asks for one with `fault = "outside-…"`; the `faulty` backend then only answers.

`around` is called by `workflow` for every trial: it prepares what the fault needs, says what the trial is to be given,
and takes everything away again. The fault itself strikes once, at the first look of the measured phase. Nothing is judged
here. What each fault needs of this machine is said by `cannot`, and is the reason of a skipped trial.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import broker
from harness.broker import Broker
from harness.errors import HarnessError
from harness.machine import procfs
from harness.machine.processes import OwnedProcess
from harness.observe.progress import Progress
from harness.trial import relay

PREFIX = "outside-"
RELAY_START_S = 10.0
BROKER_START_S = 10.0
STOP_TRIES = 5000
SMALL_DISK_BYTES = 16 * 2**20
CAP_SYS_ADMIN = 21  # linux/capability.h
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 0x40000, 2  # sched.h, sys/mount.h
Strike = Callable[[Progress, int], bool]  # the trial's progress, and its worker's pid; False to be tried again at the next look


class Once:
    """Strikes at a trial that is in its measured phase, and no more once it has struck."""

    def __init__(self, strike: Strike) -> None:
        self.strike = strike
        self.struck = False

    def __call__(self, progress: Progress, main: int) -> None:
        if not self.struck:
            self.struck = self.strike(progress, main)


def cannot(fault: str) -> str:
    """Why this fault cannot be had here, or ''."""
    if fault.startswith(PREFIX) and fault not in FAULTS:
        return f"there is no fault {fault!r}; there are {', '.join(FAULTS)}"
    return _no_own_mounts() if fault == "outside-disk-full" else ""


@contextlib.contextmanager
def around(fault: str, server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """What a trial in `folder` is to be given, as fields of its Assignment, for the length of the trial."""
    if not fault.startswith(PREFIX):
        yield {"broker": server}
        return
    with FAULTS[fault](server, folder) as given:
        yield {"broker": server, **given}


@contextlib.contextmanager
def stop(server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """SIGSTOP, as a debugger or a paused container sends it, to one process that runs a request."""
    yield {"outside": Once(_stop_one)}


def _stop_one(progress: Progress, main: int) -> bool:
    """Stop a process inside a request: it is stopped, and let go on again if it was between two."""
    children = [pid for pid in sorted({pid for pid, _ in progress.warm}) if pid != main]
    pid = children[0] if children else main
    for _ in range(STOP_TRIES):
        os.kill(pid, signal.SIGSTOP)
        while (stat := procfs.process(pid)) is not None and stat.state not in "TtZX":
            time.sleep(0)
        progress.read()
        if stat is None or any(stage.pid == pid and stage.kind == "request" for stage in progress.open.values()):
            return True
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.0005)
    return False


@contextlib.contextmanager
def broker_kill(server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """SIGKILL to the broker; it is one of this trial's own, so that the run's goes on."""
    with broker.embedded(folder / "own-broker") as own:

        def strike(*_: object) -> bool:
            assert own.process is not None
            own.process.kill()
            return True

        yield {"broker": own, "outside": Once(strike)}


class _Unwatched:
    """A broker whose process the trial does not see, as it does not see a user's own."""

    process = None

    def __init__(self, url: str) -> None:
        self.url = url


@contextlib.contextmanager
def broker_restart(server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """SIGKILL to the broker and a new one on the same port, which knows nothing of what was in the first."""
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(broker.embedded(folder / "own-broker"))

        def strike(*_: object) -> bool:
            assert own.process is not None
            own.process.kill()
            stack.enter_context(broker.restarted(folder / "own-broker"))
            return True

        yield {"broker": _Unwatched(own.url), "outside": Once(strike)}


@contextlib.contextmanager
def cut(server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """The network between worker and broker drops everything from one moment on, and says nothing.

    The worker alone connects through a relay of ours (`harness.trial.relay`), which is then stopped by SIGSTOP. A network
    namespace with its link down would need root and iproute2; to both ends this is the same for as long as a trial lasts:
    connections stay established, what is written goes into the kernel's buffers, nothing arrives, nobody sends a reset
    or an end. (Without acknowledgements TCP gives up after a quarter of an hour, tcp(7) tcp_retries2; a relay's kernel
    acknowledges, so it would never. A new connection waits for its first answer instead of for its handshake.)
    """
    with relayed(server.url, folder) as (process, far):

        def strike(*_: object) -> bool:
            os.kill(process.pid, signal.SIGSTOP)
            return True

        yield {"worker_broker_url": far, "outside": Once(strike)}


@contextlib.contextmanager
def relayed(url: str, folder: Path) -> Iterator[tuple[OwnedProcess, str]]:
    """A relay to this server, and the URL by which one goes through it. Raises HarnessError if it does not start."""
    parts, port_file = urlsplit(url), folder / "relay-port"
    argv = [sys.executable, "-I", "-S", relay.__file__, str(parts.port or 6379), str(port_file)]
    with OwnedProcess(argv, log=folder / "relay.log", env={"PATH": os.environ.get("PATH", "")}) as process:
        yield process, parts._replace(netloc=through(parts.netloc, _port(process, port_file))).geturl()


def through(netloc: str, port: int) -> str:
    """The same user and password, at a port of this machine.

    >>> through(":secret@127.0.0.1:6379", 7000), through("127.0.0.1:6379", 7000)
    (':secret@127.0.0.1:7000', '127.0.0.1:7000')
    """
    user, at, _ = netloc.rpartition("@")
    return f"{user}{at}127.0.0.1:{port}"


def _port(process: OwnedProcess, port_file: Path) -> int:
    until = time.monotonic() + RELAY_START_S
    while time.monotonic() < until and process.poll() is None:
        if port_file.exists():
            return int(port_file.read_text())
        time.sleep(0.02)
    raise HarnessError("the relay between worker and broker did not start", evidence=str(process.log))


@contextlib.contextmanager
def disk_full(server: Broker, folder: Path) -> Iterator[dict[str, Any]]:
    """The trial's own folder is a small file system, and is filled to the last byte. Only this process and those it
    starts see the mount, and it goes when they do."""
    _mount_small_disk(folder)

    def strike(*_: object) -> bool:
        with contextlib.suppress(OSError), open(folder / "ballast", "wb", buffering=0) as file:
            while True:
                file.write(bytes(65536))
        with contextlib.suppress(OSError), open(folder / "ballast", "ab", buffering=0) as file:
            while True:
                file.write(bytes(1))
        return True

    try:
        yield {"outside": Once(strike)}
    finally:
        ctypes.CDLL(None).umount2(os.fsencode(folder), MNT_DETACH)


def _no_own_mounts() -> str:
    """Why a small disk cannot be mounted, or ''."""
    lines = (procfs.read("/proc/self/status") or "").splitlines()
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff")), 0)
    return "" if held >> CAP_SYS_ADMIN & 1 else "mounting a small disk needs root (CAP_SYS_ADMIN)"


def _mount_small_disk(folder: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    private, size = ctypes.c_ulong(MS_REC | MS_PRIVATE), b"size=%d" % SMALL_DISK_BYTES
    steps: tuple[tuple[Callable[..., int], tuple[object, ...]], ...] = (
        (libc.unshare, (CLONE_NEWNS,)),
        (libc.mount, (b"none", b"/", None, private, None)),
        (libc.mount, (b"tmpfs", os.fsencode(folder), b"tmpfs", ctypes.c_ulong(0), size)),
    )
    for call, arguments in steps:
        if call(*arguments) != 0:
            raise HarnessError(f"a small disk cannot be mounted here: {os.strerror(ctypes.get_errno())}")


FAULTS = {
    "outside-stop": stop,
    "outside-broker-kill": broker_kill,
    "outside-broker-restart": broker_restart,
    "outside-cut": cut,
    "outside-disk-full": disk_full,
}
