"""Places and names of the look, in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.applications.check import functions
from harness.applications.check.finding import Level, Place
from harness.texts import few, visible

AWARE = "it looks at the process's id for that"
OTHERS = "something else ends that wait, as the source may have it"
FIRST_TASK = "make it in a function that the first task of each process calls"


def unless(level: Level, what: str, why: str) -> tuple[Level, str]:
    """An error is a warning if that may be so; what is less stays as it is."""
    return (Level.WARNING, f"{what}, unless {why}") if level is Level.ERROR else (level, what)


def short(file: str, folder: Path) -> str:
    """Relative to the application's folder, or the last two parts behind site-packages."""
    path, (_, mark, installed) = Path(file), file.rpartition("site-packages/")
    if mark:
        return visible(installed)
    for base in (folder, folder.resolve()):
        if path.is_relative_to(base):
            return visible(path.relative_to(base).as_posix())
    return visible("/".join(path.parts[-2:]))


def is_own(file: str, folder: Path) -> bool:
    path = Path(file)
    return (path.is_relative_to(folder) or path.is_relative_to(folder.resolve())) and "site-packages" not in file


def own_place(stack: Sequence[Sequence[Any]], folder: Path) -> tuple[str, int]:
    """(file, line) of the innermost frame that is the application's own; ('', 0) if none is."""
    return next(((short(file, folder), int(line)) for file, line, _ in stack if is_own(file, folder)), ("", 0))


def own_frames(stack: Sequence[Sequence[Any]], folder: Path) -> tuple[Place, ...]:
    """Those frames that are the application's own, innermost first, with short paths."""
    return tuple((short(file, folder), int(line), str(function)) for file, line, function in stack if is_own(file, folder))


def frame(stack: Sequence[Sequence[Any]], folder: Path) -> str:
    """'fetch (tasks.py:23)' of the innermost frame that is the application's own, else of the innermost one."""
    if not stack:
        return ""
    chosen = next((one for one in stack if is_own(one[0], folder)), stack[0])
    return visible(f"{chosen[2]} ({short(chosen[0], folder)}:{chosen[1]})")


def at(place: Sequence[Any], folder: Path) -> str:
    """'predict (tasks.py:33)' of a function."""
    return visible(f"{place[2]} ({short(place[0], folder)}:{place[1]})")


def users(places: Iterable[Sequence[Any]], folder: Path) -> str:
    return few(sorted({at(place, folder) for place in places}), 2)


def places(found: Iterable[Sequence[Any]]) -> tuple[Place, ...]:
    return tuple((str(file), int(line), str(function)) for file, line, function in found)


def name(thread: Mapping[str, Any]) -> str:
    return repr(visible(str(thread["name"])))


def thread_of(looked: Mapping[str, Any], ident: int) -> Mapping[str, Any]:
    """The thread with this number; one without a name if it has gone meanwhile."""
    gone: dict[str, Any] = {"name": "a thread that has ended", "by": [], "stands": [], "shared": []}
    return next((one for one in looked["threads"] if one["ident"] == ident), gone)


def begun(thread: Mapping[str, Any], folder: Path) -> str:
    """', started by connect (shop/bus.py:12)'."""
    by = frame(thread["by"], folder)
    return f", started in {by}" if by else ""


def named(label: str) -> str:
    """How functions name the object with a label.

    >>> named("shop.STORE.pool"), named("table of make.<locals>.price")
    ('pool', 'table')
    """
    return label.partition(" ")[0].rpartition(".")[2]


def made_at(label: str, folder: Path) -> tuple[str, int]:
    """(file, line) of the statement at a module's top that binds what a label begins with: 'shop.store.STORE.pool'; ('', 0) if
    none is found."""
    parts = label.partition(" ")[0].split(".")
    for count in range(len(parts) - 1, 0, -1):
        base = folder.joinpath(*parts[:count])
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file() and (line := functions.bound_at(str(path), parts[count])):
                return short(str(path), folder), line
    return "", 0


def counted(number: int, what: str) -> str:
    """
    >>> counted(1, "thread"), counted(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{number} {what}{'' if number == 1 else 's'}"
