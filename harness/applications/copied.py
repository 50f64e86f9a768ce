"""A copy of the application's folder to work in, so that files which its task writes below its folder are not the user's.

It lies in a temporary folder (TMPDIR), and is gone at the end; if its run was killed, the next one removes it.
Files are copied whole: a link to the same data would let the task change it. What no task needs, and what is large, is left
out: version control, environments, caches.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.applications.probe.order import ProbeOrder
from harness.errors import BadInput, CannotWrite
from harness.texts import few, visible

NO_ROOM = "free some disk space, or set TMPDIR to another disk"
PREFIX = "harness-copy-"
HELD = ".harness-held"  # a file beside the copy, locked as long as its run lives
MIB = 2**20
LIMIT_MIB = 1024
SPARE_BYTES = 200 * MIB  # that stay free on the disk
MOST_FILES = 200_000
LEFT_OUT = frozenset({
    ".git", ".hg", ".svn", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache",
})  # fmt: skip
OF_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta")  # what stands in the folder of one
Mark = tuple[int, int]  # size and time of the last change, ns


@dataclass(kw_only=True)
class Inventory:
    """What is to be copied, by path below the folder. `links`: where each leads; `left_out`: folders that are not copied."""

    folders: list[Path] = field(default_factory=list)
    files: dict[Path, int] = field(default_factory=dict)  # bytes
    links: dict[Path, str] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return sum(self.files.values())

    @property
    def largest(self) -> str:
        """The largest entries of the folder: 'data 2100 MiB, weights.h5 300 MiB'."""
        sizes: dict[str, int] = {}
        for path, size in self.files.items():
            sizes[path.parts[0]] = sizes.get(path.parts[0], 0) + size
        return few([f"{visible(name)} {shown(size)}" for name, size in sorted(sizes.items(), key=lambda item: -item[1])])


def worked_in(
    order: ProbeOrder, *, copy: bool, limit_mib: int, say: Callable[[str], None]
) -> AbstractContextManager[ProbeOrder]:
    """The order for a copy of its folder, if that is asked for; else as it is. Raises as `copied` does."""
    return copied(order, limit_mib, say) if copy else nullcontext(order)


@contextmanager
def copied(order: ProbeOrder, limit_mib: int, say: Callable[[str], None]) -> Iterator[ProbeOrder]:
    """The order, for a copy of its folder. Raises BadInput if that is too large, CannotWrite if there is no room for it."""
    home = order.folder.resolve()
    known = inventory(home, without=(order.out.resolve(),))
    admit(home, known, limit_mib)
    for left in abandoned(Path(tempfile.gettempdir())):
        say(f"copy: removed {left}, which a run that was killed had left")
    with tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as place, _held(Path(place)):
        target = Path(place).resolve() / (home.name or "root")
        _room(target.parent, known.bytes)
        for line in said(order, known, target):
            say(line)
        try:
            marks = carry_over(home, target, known)
        except OSError as error:
            raise CannotWrite(f"--copy: {error.filename or target}: {error.strerror}", remedy=NO_ROOM) from error
        try:
            yield replace(order, folder=target, origin=order.folder)
        finally:
            if wrote := written(target, marks):
                say(f"copy: below its folder the application wrote {few([visible(str(one)) for one in wrote], 8)}; now removed")


@contextmanager
def _held(place: Path) -> Iterator[None]:
    """The place is in use until this ends, or the process does. The file has its name once it is locked."""
    with open(place / f"{HELD}.new", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (place / f"{HELD}.new").rename(place / HELD)
        yield


def abandoned(folder: Path) -> list[Path]:
    """Remove the copies of this user whose run was killed; which they were."""
    found = []
    for place in sorted(folder.glob(f"{PREFIX}*")):
        with suppress(OSError):
            status = place.lstat()
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
                continue
            with open(place / HELD) as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its run lives
                shutil.rmtree(place, ignore_errors=True)
                found.append(place)
    return found


def needs_app(*, copy: bool) -> None:
    """Of a verb that measures other things, too. Raises BadInput."""
    if copy:
        raise BadInput("--copy goes with --app", remedy="name the application, or leave --copy out")


def inventory(folder: Path, without: Sequence[Path] = ()) -> Inventory:
    """What a copy of this folder would hold. `without`: folders that are none of the application's. Raises BadInput."""
    found, waiting = Inventory(), [folder]
    while waiting:
        here = waiting.pop()
        for entry in _entries(here):
            path, below = Path(entry.path), Path(entry.path).relative_to(folder)
            if entry.is_symlink():
                found.links[below] = os.readlink(path)
            elif entry.is_dir():
                if entry.name in LEFT_OUT or path in without or any((path / name).exists() for name in OF_ENVIRONMENTS):
                    found.left_out.append(below)
                else:
                    found.folders.append(below)
                    waiting.append(path)
            elif entry.is_file():
                found.files[below] = entry.stat().st_size
        if len(found.files) > MOST_FILES:
            raise BadInput(
                f"--copy: {folder} holds more than {MOST_FILES:,} files", remedy="name the application's own folder by --cwd"
            )
    return found


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in it; nothing if it cannot be read: then the application cannot read it, either."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return []


def admit(folder: Path, known: Inventory, limit_mib: int) -> None:
    """Raise BadInput if a copy would be larger than the limit."""
    if known.bytes <= limit_mib * MIB:
        return
    needed = -(-known.bytes // MIB)
    raise BadInput(
        f"--copy: {folder} holds {shown(known.bytes)} in {len(known.files):,} files ({known.largest}), and the limit is "
        f"{limit_mib} MiB",
        remedy=f"raise it: --copy-limit-mib {needed}; or name a smaller folder by --cwd",
    )


def _room(place: Path, size: int) -> None:
    free = shutil.disk_usage(place).free
    if free < size + SPARE_BYTES:
        raise CannotWrite(
            f"--copy needs {shown(size)} in {place}, and {shown(max(0, free - SPARE_BYTES))} are free there",
            remedy=NO_ROOM,
        )


def carry_over(folder: Path, target: Path, known: Inventory) -> dict[Path, Mark]:
    """Make the copy; the mark of each file in it. What is gone by now, or cannot be read, is not there. Raises OSError."""
    target.mkdir()
    for below in known.folders:
        (target / below).mkdir()
    marks = {}
    for below in known.files:
        try:
            shutil.copy2(folder / below, target / below)
        except (FileNotFoundError, PermissionError):
            continue
        marks[below] = _mark(target / below)
    for below, leads in known.links.items():
        (target / below).symlink_to(_led(folder, target, below, leads))
    return marks


def _led(folder: Path, target: Path, below: Path, leads: str) -> str:
    """Where a link of the copy leads: into the copy, if it leads into the folder by an absolute path."""
    if not Path(leads).is_absolute():
        there = (folder / below).parent / leads
        return leads if _below(folder, there) else str(there)
    real = Path(os.path.realpath(Path(leads).parent), Path(leads).name)
    return str(target / real.relative_to(folder)) if real.is_relative_to(folder) else leads


def _below(folder: Path, path: Path) -> bool:
    return Path(os.path.normpath(path)).is_relative_to(folder)


def said(order: ProbeOrder, known: Inventory, target: Path) -> list[str]:
    """What has to be known of the copy: its size, and which ways lead out of it."""
    home = order.folder.resolve()
    without = f"; left out: {few([visible(str(one)) for one in known.left_out])}" if known.left_out else ""
    lines = [f"copy: {len(known.files):,} files, {shown(known.bytes)}, of {home} in {target}{without}"]
    out = [one for one, leads in known.links.items() if not _below(home, (home / one).parent / leads)]
    if out:
        lines.append(f"copy: links that lead out of the folder stay as they are: {few([visible(str(one)) for one in out])}")
    naming = [name for name, value in sorted(order.own.items()) if str(home) in value]
    naming += [name for name, value in sorted(order.variables.items()) if name == "PYTHONPATH" and str(home) in value]
    if naming:
        named = few(list(dict.fromkeys(naming)))
        lines.append(f"copy: the variable {named} names the folder itself: what is written by that path is not in the copy")
    return lines


def written(target: Path, marks: dict[Path, Mark]) -> list[Path]:
    """What is new or has changed in the copy; not what Python caches."""
    found = []
    for here, folders, names in os.walk(target):
        folders[:] = [name for name in folders if name not in LEFT_OUT]
        for name in names:
            path = Path(here, name)
            below = path.relative_to(target)
            if not path.is_symlink() and marks.get(below) != _mark(path):
                found.append(below)
    return sorted(found)


def _mark(path: Path) -> Mark:
    try:
        status = path.stat()
    except OSError:
        return (-1, -1)
    return (status.st_size, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else (-1, -1)


def shown(size: int) -> str:
    """
    >>> shown(0), shown(1500), shown(3 * 2**19), shown(5 * 2**30)
    ('0 KiB', '1.5 KiB', '1.5 MiB', '5120 MiB')
    """
    value, unit = (size / MIB, "MiB") if size >= MIB else (size / 1024, "KiB")
    return f"{value:.0f} {unit}" if value >= 10 or not value else f"{value:.2g} {unit}"
