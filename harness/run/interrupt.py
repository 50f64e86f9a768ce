"""Ctrl-C, once for everything that runs for long: the first one asks, a second one is Python's own.

Whoever runs trials, measurements or parts looks at the event now and then, ends what is under way in good order, and keeps what
was measured. Called by `opening`, and by whatever has processes of its own to tell.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED, GO_ON = "stopped on request; what was measured is kept", "the same command goes on from here"
STOPPING = "stopping after this trial's clean-up; what was measured is kept"


def _nothing() -> None:
    """Nobody else is to be told."""


@contextmanager
def interruptible(
    say: Callable[[str], None], text: str = STOPPING, *, then: Callable[[], None] = _nothing
) -> Iterator[threading.Event]:
    """An event that the first Ctrl-C (or TERM) sets; it says `text` and calls `then`. A second one is a KeyboardInterrupt."""
    asked = threading.Event()

    def handler(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say(text)
        then()

    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, old in before.items():
            signal.signal(number, old)
