"""What engines are called: by us, by people, and by the package that is installed. Pure, but for reading the locks.

A backend is found by its own name (`torch`), by its engine's (`PyTorch`, `onnx-runtime`), and by the beginning of either
(`tensorflow`: every release that we serve).
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Container, Iterable, Mapping
from functools import cache

from harness.atlas.entries import GREEN, Entry, release
from harness.backends.cookbook.placements import PLACEMENTS
from harness.errors import NothingMatches
from harness.experiment.matrix import Cell
from harness.experiment.pools import POOLS
from harness.places import LOCKS
from harness.texts import few

CELERY = "celery"  # the environment without an engine
NO_ENGINE = frozenset({CELERY, "keras", "django", "redis", *GREEN})  # of what an entry's releases name
LOADED = {
    "import": "loaded at import", "import-predict": "loaded and asked at import", "task-init": "loaded in the task's __init__",
    "process-init": "loaded in worker_process_init", "first-task": "loaded in the first task",
}  # fmt: skip
PARENTS = {
    "import": "the main process imported the engine", "build": "the main process built a model of its own",
    "load": "the main process loaded a model of its own", "predict": "the main process predicted with a model of its own",
}  # fmt: skip


@cache
def summaries() -> dict[str, str]:
    """What each backend's lock says of it, in a few words."""
    read = (tomllib.loads(path.read_text()) for path in sorted(LOCKS.glob("*.toml")))
    return {one["name"]: one["summary"] for one in read if one["name"] != CELERY}


def title(backend: str) -> str:
    """The engine with its release, as people call it; with its Keras if another backend serves the same engine without.

    >>> title("tensorflow2"), title("torch"), title("mine")
    ('TensorFlow 2', 'PyTorch 2', 'mine')
    """
    whole = _whole(backend)
    short = whole.rpartition(" on ")[2]
    same = [name for name in summaries() if _whole(name).rpartition(" on ")[2] == short]
    return short if len(same) < 2 else whole


def _whole(backend: str) -> str:
    return summaries().get(backend, backend).partition(",")[0]


def loaded(cell: Cell) -> str:
    """Where a model is loaded, in words, with what the main process did beside it.

    >>> loaded(Cell(backend="theano", pool="prefork", parent="predict"))
    'loaded in the first task, after the main process predicted with a model of its own'
    """
    words = LOADED.get(cell.placement)
    if words is None:
        place = PLACEMENTS.get(cell.placement)
        words = place.words.replace("load the model", "loaded", 1) if place else f"placement {cell.placement}"
    return words if cell.parent == "nothing" else f"{words}, after {PARENTS.get(cell.parent, cell.parent)}"


def named(words: Iterable[str], known: Iterable[Entry]) -> tuple[list[str], list[str]]:
    """(backends, pools) that these words name. Raises NothingMatches for one that names neither, with the names there are."""
    backends, pools = list[str](), list[str]()
    every = sorted({*summaries(), *(one.cell.backend for one in known)})
    for word in words:
        if word in POOLS:
            pools.append(word)
        elif found := of_word(word, every):
            backends += found
        else:
            raise NothingMatches(
                f"{word!r} is neither an engine, a pool, nor the folder of a run",
                remedy=f"engines: {', '.join(every)}. Pools: {', '.join(POOLS)}",
            )
    return list(dict.fromkeys(backends)), list(dict.fromkeys(pools))


def of_word(word: str, every: Iterable[str]) -> list[str]:
    """The backends that a word names, of these.

    >>> of_word("PyTorch", ["tensorflow1", "tensorflow2", "torch"]), of_word("tensorflow", ["tensorflow1", "tensorflow2"])
    (['torch'], ['tensorflow1', 'tensorflow2'])
    """
    names = list(every)
    asked = _plain(word)
    if word in names or not asked:
        return [word] if word in names else []
    called = {name: {_plain(name), _plain(_whole(name)), _plain(_whole(name).rpartition(" on ")[2])} for name in names}
    exact = [name for name, known in called.items() if asked in known]
    return exact or [name for name, known in called.items() if any(one.startswith(asked) for one in known)]


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", text.lower())


def package(one: Entry) -> tuple[str, str]:
    """(package, release) of an entry's engine, as it is installed; ('', '') if its records name none."""
    return next(((name, version) for name, version in one.releases if name not in NO_ENGINE), ("", ""))


def installed(known: Iterable[Entry], versions: Mapping[str, str], used: Container[str] | None = None) -> dict[str, str]:
    """Backends whose engine is among these installed packages, in the same major release -> a remark on its release, or ''.

    `used`: the packages, as they are imported, that a process has loaded; None if that is not known, and all count. Without
    Keras, an engine is that which was measured without it, if there is such a one.
    """
    measured: dict[tuple[str, str], set[str]] = {}
    every = list(known)
    plain = {package(one)[0] for one in every if not _names_keras(one)}
    has_keras = "keras" in (versions if used is None else used)
    for one in every:
        name, its_release = package(one)
        if _names_keras(one) and name in plain and not has_keras:
            continue
        for other in (name.removesuffix("-cpu"), f"{name.removesuffix('-cpu')}-cpu"):
            if other in versions and _major(versions[other]) == _major(its_release) and _is_used(one.cell.backend, name, used):
                measured.setdefault((one.cell.backend, f"{other} {versions[other]}"), set()).add(its_release)
    return {
        backend: "" if release(here.partition(" ")[2]) in seen else f"measured with {few(sorted(seen))}, here it is {here}"
        for (backend, here), seen in measured.items()
    }


def _names_keras(one: Entry) -> bool:
    return any(name == "keras" for name, _ in one.releases)


def _is_used(backend: str, name: str, used: Container[str] | None) -> bool:
    return used is None or name.removesuffix("-cpu") in used or backend in used


def _major(version: str) -> str:
    return version.split(".")[0]
