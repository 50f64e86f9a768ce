"""The verbs that make a machine a host, and start a scheduler for hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.run.hosts import agent
from harness.terminal import console


def _say(text: str) -> None:
    console.print(text, soft_wrap=True, markup=False)


def host(
    address: Annotated[str, typer.Argument(help="The scheduler's address, such as tcp://node0:8786.")],
    name: Annotated[str, typer.Option(help="This host's name in records; the machine's own if not given.")] = "",
) -> None:
    """Let this machine take blocks of 'run --on', one at a time, until the scheduler is gone. Whoever reaches the scheduler can
    run anything here: see the page 'Split a run'."""
    agent.host(address, name, _say)


def scheduler(
    bind: Annotated[str, typer.Option(help="Where to listen, HOST:PORT.")] = "127.0.0.1:8786",
    file: Annotated[Path | None, typer.Option(help="Write the address there once it is known.")] = None,
) -> None:
    """Hand out blocks of 'run --on' to hosts: Dask's scheduler, set so that it disturbs no measurement."""
    agent.scheduler(bind, file, _say)
