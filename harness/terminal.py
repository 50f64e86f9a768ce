"""The two ends of a terminal that every verb writes to. What is written there is made elsewhere: tables in `display`."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from harness.errors import Exit


class Terminal(Console):
    """A console whose reader may have read enough."""

    def on_broken_pipe(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(Exit.PIPE_CLOSED)


console = Terminal(highlight=False)
complaints = Console(stderr=True, highlight=False)
