"""A handler that an application sets for a signal of which Celery has a handler, too: it is told, and a wait may end by it."""

from __future__ import annotations

import _signal
import asyncio
import functools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.observe.eyes import Eyes
from harness.worker import own_handlers


def theirs(*_: object) -> None:
    """Nothing."""


def celerys(*_: object) -> None:
    """Nothing."""


celerys.__module__ = "celery.apps.worker"


@pytest.fixture(autouse=True)
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (*own_handlers.TOLD, signal.SIGUSR2)}
    monkeypatch.setattr(_signal, "signal", _signal.signal)  # put back afterwards
    own_handlers.watch(tmp_path)  # type: ignore[no-untyped-call]
    yield
    monkeypatch.undo()
    for number, handler in before.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("number", "handler", "told"),
    [
        (signal.SIGUSR1, theirs, {signal.SIGUSR1}),
        (signal.SIGHUP, lambda *_: None, {signal.SIGHUP}),
        (signal.SIGUSR1, celerys, set()),
        (signal.SIGUSR1, signal.SIG_IGN, set()),
        (signal.SIGUSR2, theirs, set()),
        (signal.SIGTERM, theirs, {signal.SIGTERM}),
        (signal.SIGINT, signal.default_int_handler, set()),
        (signal.SIGINT, functools.partial(asyncio.Runner()._on_sigint), set()),  # type: ignore[attr-defined]
        (signal.SIGINT, functools.partial(theirs), {signal.SIGINT}),
        (signal.SIGHUP, asyncio.unix_events._sighandler_noop, {signal.SIGHUP}),  # type: ignore[attr-defined]
        (signal.SIGINT, asyncio.unix_events._sighandler_noop, {signal.SIGINT}),  # type: ignore[attr-defined]
        (signal.SIGABRT, theirs, {signal.SIGABRT}),
    ],
    ids=[
        "usr1",
        "hup",
        "celery's",
        "none",
        "one that the kernel tells",
        "term",
        "Python's",
        "asyncio's",
        "a partial",
        "a loop's",
        "a loop's of Ctrl-C",
        "abort",
    ],
)
def test_a_handler_of_the_application_s_own_is_told(
    tmp_path: Path, number: signal.Signals, handler: object, told: set[int]
) -> None:
    before = signal.getsignal(number)
    assert signal.signal(number, handler) == before  # type: ignore[arg-type]
    assert signal.getsignal(number) == handler
    eyes = Eyes(main=os.getpid(), tree=list, pool=tuple, events=tmp_path)
    assert eyes._handlers(os.getpid()) == told
    assert Eyes(main=1, tree=list, pool=tuple, events=None)._handlers(os.getpid()) == frozenset()
