"""What waits on a host for blocks, and the scheduler that hands them out: Dask's own, set to be quiet, in this process.

An agent offers its machine only after it has shown that it costs next to nothing while it waits. It ends as soon as the
scheduler is gone, and whatever it runs ends with it: a block is a process under a keeper (`block`).
"""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import extras
from harness.errors import BadInput, HarnessError, Interrupted
from harness.run.hosts import quiet

CONNECT_LIMIT_S = 60.0
SETTLE_S, IDLE_S, IDLE_LONG_S = 1.0, 5.0, 20.0
ONE = "\0keras-celery-harness-host-"  # an abstract socket: it is gone with its process, and each network namespace has its own
Say = Callable[[str], None]


def host(address: str, name: str, say: Say) -> None:
    """Take blocks from the scheduler until it is gone. Raises HarnessError then, or if this host cannot take any."""
    extras.need_cluster("'harness host'")
    name = name or socket.gethostname()
    with socket.socket(socket.AF_UNIX) as alone, tempfile.TemporaryDirectory(prefix="harness-host-") as folder:
        try:
            alone.bind(ONE + name)
        except OSError as error:
            raise BadInput(f"this machine has an agent {name!r} already: two would measure each other",
                           remedy="end that one; to try things only, give each its --name") from error  # fmt: skip
        asyncio.run(_serve(address, name, Path(folder), say))


async def _serve(address: str, name: str, folder: Path, say: Say) -> None:
    import dask
    from distributed import Worker

    with dask.config.set(quiet.SETTINGS):
        quiet.hush()
        worker = Worker(
            address, nthreads=1, name=name, memory_limit=0, dashboard=False, local_directory=str(folder), nanny=None,
            death_timeout=CONNECT_LIMIT_S,
        )  # fmt: skip
        worker.idle_share = None
        stopped = _stops(worker)
        try:
            await asyncio.wait_for(worker.start(), CONNECT_LIMIT_S)
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            if stopped.is_set():
                raise Interrupted("stopped on request; no scheduler had answered") from error
            raise HarnessError(f"no scheduler answers at {address}: {str(error) or type(error).__name__}",
                               remedy="start one with 'harness scheduler', and name its address") from error  # fmt: skip
        beat = quiet.calm(worker)
        offer = asyncio.create_task(_offer(worker, say))
        await worker.finished()
        beat.stop()
        offer.cancel()
    if stopped.is_set():
        raise Interrupted("stopped on request; a block that was under way is repeated elsewhere")
    if worker.idle_share is not None and worker.idle_share > quiet.SHARE:
        raise HarnessError(_too_dear(worker.idle_share), remedy="'harness selfcost --only agent' measures it again")
    raise HarnessError(f"the scheduler {address} is gone; nothing of it is left running here",
                       remedy="start the scheduler again, then this command")  # fmt: skip


def _too_dear(share: float) -> str:
    return f"the idle agent costs {share:.2%} of a core, and may cost {quiet.SHARE:.1%}: it would disturb what is measured"


async def _offer(worker: Any, say: Say) -> None:
    """Take blocks from now on, if waiting for them costs little enough; else end."""
    await asyncio.sleep(SETTLE_S)
    for seconds in (IDLE_S, IDLE_LONG_S):
        before = quiet.spent()
        await asyncio.sleep(seconds)
        worker.idle_share = quiet.share(before, quiet.spent())
        if worker.idle_share <= quiet.SHARE:
            break
    else:
        await worker.close(reason="too-dear")
        return
    await worker.set_resources(**{quiet.RESOURCE: 1})
    say(f"{worker.name} takes blocks from {worker.scheduler.address}; waiting costs {worker.idle_share:.3%} of a core")


def _stops(server: Any) -> asyncio.Event:
    """Set by Ctrl-C or TERM, which also close the server."""
    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    closing = set[asyncio.Task[Any]]()

    def stop() -> None:
        stopped.set()
        closing.add(loop.create_task(server.close()))

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    return stopped


def scheduler(bind: str, file: Path | None, say: Say) -> None:
    """Hand out blocks, until Ctrl-C. `bind`: HOST:PORT; port 0 takes a free one. `file`: where the address is written."""
    extras.need_cluster("'harness scheduler'")
    where, _, port = bind.rpartition(":")
    if not where or not port.isdigit():
        raise BadInput(f"--bind {bind!r}: not HOST:PORT", remedy="such as 127.0.0.1:8786")
    asyncio.run(_schedule(where, int(port), file, say))


async def _schedule(where: str, port: int, file: Path | None, say: Say) -> None:
    import dask
    from distributed import Scheduler

    with dask.config.set(quiet.SETTINGS):
        quiet.hush()
        server = Scheduler(host=where, port=port, dashboard=False, dashboard_address=None)
        stopped = _stops(server)
        try:
            await server
        except OSError as error:
            raise BadInput(f"cannot listen at {where}:{port}: {error}", remedy="name another --bind") from error
        if file is not None:
            new = file.with_name(f".{file.name}.new")
            new.write_text(server.address)
            new.replace(file)
        say(f"scheduler at {server.address}; on each host: harness host {server.address}")
        await server.finished()
    if stopped.is_set():
        raise Interrupted("stopped on request; what ended is with whoever asked for it")
