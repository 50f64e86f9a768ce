"""`harness watch`: a line whenever the state of a worker changes."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from harness.errors import CannotWrite
from harness.terminal import console

if TYPE_CHECKING:
    from harness.live.watch.event import Event
    from harness.live.watch.loop import Watch
    from harness.live.watch.textfile import Textfile

FILE_EVERY_S = 15.0  # so often a textfile is written if nothing changes: Prometheus asks no more often


def watch(
    pids: Annotated[
        list[int] | None,
        typer.Argument(metavar="[PID...]", help="Workers, or processes of theirs; all of this container if none."),
    ] = None,
    every: Annotated[float, typer.Option(min=1.0, max=60.0, help="Seconds between two rounds.")] = 5.0,
    json_lines: Annotated[Path | None, typer.Option(help="Append each change to this file, as a line of JSON.")] = None,
    textfile: Annotated[Path | None, typer.Option(help="Keep metrics for Prometheus in this file, *.prom.")] = None,
) -> None:
    """Watch Celery workers, and print a line when the state of one changes: works, stuck, waiting, cannot-say.

    Nothing is asked of them, and nothing in them changes. A restarted worker is watched on. Ctrl-C or SIGTERM ends it.
    """
    from harness.live import probe
    from harness.live.watch.loop import Means, Watch
    from harness.machine.system import linux

    linux()
    named = probe.chosen(pids) if pids else []
    going = Watch(every_s=every, means=Means(), named=named)
    metrics = _metrics(textfile, going) if textfile else None
    with _appending(json_lines) as file, _until_asked() as asked:
        _watch(going, asked, file, metrics)


def _watch(going: Watch, asked: threading.Event, file: IO[str] | None, metrics: Textfile | None) -> None:
    from harness.live.watch.event import Event, Kind

    written_s = float("-inf")
    while not asked.is_set():
        told = 0
        for event in going.round():
            _tell(event, file)
            told += 1
            if asked.is_set():
                break
        if metrics and (told or going.means.clock() - written_s >= FILE_EVERY_S):
            metrics.write()
            written_s = going.means.clock()
        asked.wait(going.every_s)
    reason = f"ended after {going.rounds} rounds and {going.looks} looks, which took {going.means.cpu_s():.1f} s of CPU"
    _tell(Event(at=going.means.wall(), kind=Kind.END, reason=reason), file)
    if metrics:
        metrics.write()


def _tell(event: Event, file: IO[str] | None) -> None:
    """On the screen, and in the file: on disk before anything else happens."""
    from harness.live.watch.event import as_json, line

    console.print(line(event), soft_wrap=True, markup=False, highlight=False)
    if file is not None:
        try:
            file.write(f"{as_json(event)}\n")
            file.flush()
            os.fsync(file.fileno())
        except OSError as error:
            raise CannotWrite(f"{file.name} cannot be written: {error.strerror}", remedy="make room on the disk") from error


def _metrics(path: Path, going: Watch) -> Textfile:
    from harness.live.watch.textfile import Textfile

    found = Textfile(path, going)
    found.write()
    return found


@contextlib.contextmanager
def _appending(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror}", remedy="name another file") from error
    with file:
        yield file


@contextlib.contextmanager
def _until_asked() -> Iterator[threading.Event]:
    """Set by Ctrl-C and SIGTERM: the round that goes on is finished first."""
    asked, signals = threading.Event(), (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: asked.set()) for number in signals]
    try:
        yield asked
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
