"""Which versions of Celery's libraries a worker runs, and which known bugs they have: told by the names of folders in its
environment. Nothing of it is imported. The process may be in a container, with other folders than ours.

A bug is named only beside a finding that it explains (`known`). Where each fix is was read in the packages themselves:
kombu 5.4.0 holds #2007; kombu 5.6.2 holds none of #2492, #2590 and #2630, kombu 5.7.0 all three; billiard 4.3.0 holds #451,
billiard 4.2.4 does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from harness.machine import procfs

PACKAGES = ("amqp", "billiard", "celery", "eventlet", "gevent", "greenlet", "kombu", "redis", "vine")
INFO = re.compile(r"^(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-py[\d.]+)?\.(dist|egg)-info$")
INSTALLED = re.compile(r"^(?P<folder>.*/(?:site|dist)-packages)/(?P<rest>[^/].*)$")
NUMBERS = re.compile(r"\d+")


@dataclass(frozen=True, kw_only=True)
class Bug:
    """A bug that is known, and the findings that it explains."""

    package: str
    since: str  # the version that it came with
    fixed: str  # the first version without it
    upgrade: str  # the first version with none of its kind
    causes: tuple[str, ...]
    what: str
    source: str


BUGS = (
    Bug(
        package="kombu", since="5.2.3", fixed="5.4.0", causes=("consumer-lost",), source="celery#8030, kombu#2007",
        upgrade="5.7.0",
        what="after a reconnect, the old channel takes the new one out of the worker's loop",
    ),
    Bug(
        package="kombu", since="5.4.0", fixed="5.7.0", causes=("consumer-lost",), source="kombu#2492, kombu#2630",
        upgrade="5.7.0",
        what="after a reconnect, the new connection may not be read, or not be asked on",
    ),
    Bug(
        package="kombu", since="4.0", fixed="5.7.0", causes=("half-open", "control-plane-dead"),
        source="celery#10502, kombu#2590",
        upgrade="5.7.0",
        what="a connection that died silently is asked for a sign of life, and nobody looks whether one comes",
    ),
    Bug(
        package="billiard", since="3.6", fixed="4.3.0", causes=("poison-unacked",), source="celery#10462, billiard#451",
        upgrade="4.3.0",
        what="a task with acks_late that ends with MemoryError is never acknowledged, and keeps its place",
    ),
)  # fmt: skip


def known(cause: str, versions: Mapping[str, str]) -> tuple[str, ...]:
    """The bugs of these versions that explain a finding, a sentence each.

    >>> known("consumer-lost", {"kombu": "5.2.4"})[0].partition(":")[0]
    'kombu 5.2.4 has a bug that does this (celery#8030, kombu#2007)'
    >>> known("consumer-lost", {"kombu": "5.7.0"}), known("saturated", {"kombu": "5.2.4"})
    ((), ())
    """
    return tuple(
        f"{bug.package} {found} has a bug that does this ({bug.source}): {bug.what}; upgrade to {bug.package} {bug.upgrade} or "
        f"later"
        for bug in BUGS
        if cause in bug.causes
        and (found := versions.get(bug.package))
        and _numbers(bug.since) <= _numbers(found) < _numbers(bug.fixed)
    )


def older(versions: Mapping[str, str], package: str, version: str) -> bool:
    """Whether this package is known to be older than that; False if it is not known."""
    found = versions.get(package)
    return found is not None and _numbers(found) < _numbers(version)


def _numbers(version: str) -> tuple[int, ...]:
    """The release's numbers: a pre-release counts as its release."""
    return tuple(int(one) for one in NUMBERS.findall(re.split(r"(?:a|b|rc|\.dev|\.post|\+)\d*", version)[0])[:3])


def of(pid: int, argv: Iterable[str], files: Iterable[str]) -> dict[str, str]:
    """By package, in the environment that this process runs in; {} if it cannot be told. `files`: those of its stacks, which
    tell it best."""
    if "celery" in (found := beside(pid, files)):
        return found
    looked = (parse(_names(f"/proc/{pid}/root{folder}")) for folder in _places(pid, list(argv)))
    return next((one for one in looked if "celery" in one), {})


def has_celery(pid: int) -> bool:
    """Whether Celery is among the packages that a process may import, as far as its files tell."""
    argv = (procfs.read(f"/proc/{pid}/cmdline") or "").rstrip("\0").split("\0")
    others = (
        "/usr/local",
        f"{procfs.variables(pid).get('HOME', '')}/.local",
    )  # which an interpreter of the system may use, too
    return any("celery" in parse(_names(f"/proc/{pid}/root{folder}")) for folder in _places(pid, argv, others))


def beside(pid: int, files: Iterable[str]) -> dict[str, str]:
    """By package: what is installed in the folders that these files of its stacks are in. The first folder counts."""
    folders = dict.fromkeys(found["folder"] for file in files if (found := INSTALLED.match(file)))
    each = [parse(_names(f"/proc/{pid}/root{folder}")) for folder in folders]
    return {name: version for found in reversed(each) for name, version in found.items()}


def parse(names: Iterable[str], wanted: Container[str] | None = PACKAGES) -> dict[str, str]:
    """The versions of these packages, or of all, by the names of what lies in their folder.

    >>> parse(["kombu-5.2.4.dist-info", "kombu", "redis-4.1.0.dist-info", "django-4.dist-info"])
    {'kombu': '5.2.4', 'redis': '4.1.0'}
    """
    told = (INFO.match(name) for name in names)
    found = ((one["name"].lower().replace("_", "-"), one["version"]) for one in told if one)
    return {name: version for name, version in found if wanted is None or name in wanted}


def loaded(pid: int) -> dict[str, set[str]]:
    """By folder of packages: those, as they are imported, of which a process has a library in its memory."""
    found: dict[str, set[str]] = {}
    for line in (procfs.read(f"/proc/{pid}/maps") or "").splitlines():
        if ".so" in line and (told := INSTALLED.match(line[line.index("/") :])):
            found.setdefault(told["folder"], set()).add(told["rest"].split("/")[0].partition(".")[0])
    return found


def in_folder(folder: str) -> dict[str, str]:
    """All that is installed in a folder of packages."""
    return parse(_names(folder), None)


def _places(pid: int, argv: list[str], others: Iterable[str] = ()) -> list[str]:
    """Folders of packages: those of its libraries first, then those that its environment has, and those in `others`."""
    mapped = (line[line.index("/") :] for line in (procfs.read(f"/proc/{pid}/maps") or "").splitlines() if "/" in line)
    found = [told["folder"] for file in mapped if (told := INSTALLED.match(file))]
    variables = procfs.variables(pid)
    roots = [variables.get("VIRTUAL_ENV", ""), *(_above(word) for word in argv[:1] if "/" in word)]
    roots += [_above(f"{folder}/{word}") for word in argv[:1] if "/" not in word for folder in _on_path(pid, word, variables)]
    roots += [_above(procfs.link(f"/proc/{pid}/exe") or "/"), *others]
    for root in (one for one in roots if one.startswith("/")):
        names = [name for name in _names(f"/proc/{pid}/root{root}/lib") if name.startswith("python3")]
        found += [f"{root}/lib/{name}/{kind}-packages" for name in names for kind in ("site", "dist")]
    return list(dict.fromkeys(found))


def _above(program: str) -> str:
    """The environment of an interpreter: /v of /v/bin/python."""
    return str(PurePosixPath(program).parent.parent)


def _on_path(pid: int, word: str, variables: Mapping[str, str]) -> list[str]:
    """The folder in which a shell has found the program that is called so."""
    folders = [folder for folder in variables.get("PATH", "").split(":") if folder.startswith("/")]
    return [folder for folder in folders if word and os.path.lexists(f"/proc/{pid}/root{folder}/{word}")][:1]


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
