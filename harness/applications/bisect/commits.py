"""Commits of the repository that an application lies in, one after the other in a folder of ours, see `revisions`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.applications import revisions
from harness.applications.bisect.candidate import CannotRun, Prepared
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.source import ApplicationSource
from harness.applications.revisions import SHORT, git
from harness.errors import BadInput
from harness.texts import visible

OURS = "harness-bisect"  # a file in the copy's .git: this folder may be removed


@dataclass(frozen=True, kw_only=True)
class Repository:
    """`top`: its working tree; `commits`: whole names from good to bad, by the short ones; `subjects` likewise."""

    top: Path
    commits: Mapping[str, str]
    subjects: Mapping[str, str]


def read(path: Path, good: str, bad: str) -> Repository:
    """The commits of the first-parent line between the two, both included. Raises BadInput, MissingTool."""
    if not path.is_dir():
        raise BadInput(f"--repo {path}: there is no such folder", remedy="name a git repository's working tree")
    top = revisions.top_of(path, remedy="--repo names a git repository's working tree")
    ends = [
        revisions.commit_of(top, option, named, remedy=f"{option} names a commit, a branch or a tag of {top}")
        for option, named in (("--good", good), ("--bad", bad))
    ]
    if ends[0] == ends[1]:
        raise BadInput(f"--good {good} and --bad {bad} are the same commit", remedy="name two commits that differ")
    line = _line(top, *ends) or _line(top, *reversed(ends))[::-1]
    if not line:
        raise BadInput(
            f"neither of {good} and {bad} is on the first-parent line of the other",
            remedy=f"'git log --first-parent --oneline {bad}' prints the commits that --good may name",
        )
    return Repository(
        top=top, commits={name[:SHORT]: name for name, _ in line}, subjects={name[:SHORT]: text for name, text in line}
    )


def _line(top: Path, first: str, last: str) -> list[tuple[str, str]]:
    """(name, subject) from the first to the last; empty if the first is not on the other's first-parent line."""
    told = git(top, "log", "--first-parent", "--reverse", "--format=%H %P%x09%s", f"{first}..{last}", "--")
    rows = [line.partition("\t") for line in told.splitlines()]
    if not rows or first not in rows[0][0].split()[1:2]:
        return []
    return [(first, revisions.subject_of(top, first)), *((names.split()[0], visible(subject)) for names, _, subject in rows)]


def inside(order: ProbeOrder, named: Path, repository: Repository) -> Path:
    """The application's folder below the repository's: `named` is --cwd as it was given. Raises BadInput."""
    top, folder = repository.top.resolve(), order.folder.resolve()
    if folder.is_relative_to(top):
        return folder.relative_to(top)
    if named == Path():
        return Path()
    raise BadInput(f"--cwd {named} does not lie in {top}", remedy="name the application's folder in the repository")


def copy(repository: Repository, place: Path) -> None:
    """Make the copy, without any file in it. Raises BadInput if something else is there."""
    if place.exists():
        if not (place / ".git" / OURS).exists():
            raise BadInput(f"{place} is in the way", remedy="move it, or name another --out")
        shutil.rmtree(place)
    revisions.borrow(repository.top, place)
    (place / ".git" / OURS).touch()


def prepare(
    order: ProbeOrder, repository: Repository, below: Path, place: Path, links: Sequence[Path], version: str
) -> Prepared:
    """Check a commit out, with `links` to what git does not have of it; the order with the application as it is there. Raises
    CannotRun, HarnessError."""
    revisions.check_whole(repository.top, repository.commits[version])
    revisions.unlink(repository.top, place, links)
    revisions.checkout(place, repository.commits[version])
    there = revisions.link(repository.top, place, links)
    folder, made = place.absolute() / below, [link for link in links if link not in there]
    if not folder.is_dir():
        raise CannotRun(f"there is no folder {below} in commit {version}")
    names = tuple(str(link.relative_to(repository.top)) for link in made)
    variables = moved(order.variables, repository.top.resolve(), place.resolve())
    return Prepared(
        order=replace(order, folder=folder, variables=variables, linked=names),
        fits=partial(check_source, repository.top.resolve(), place.resolve(), made), about=repository.subjects[version],
    )  # fmt: skip


def moved(variables: Mapping[str, str], top: Path, place: Path) -> dict[str, str]:
    """With the entries of PYTHONPATH that lie in the repository as they lie in the copy."""
    entries = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
    found = [
        str(place / path.relative_to(top)) if (path := Path(one).resolve()).is_relative_to(top) else one for one in entries
    ]
    return {**variables, "PYTHONPATH": os.pathsep.join(found)} if found else dict(variables)


def check_source(top: Path, place: Path, links: Sequence[Path], source: ApplicationSource) -> None:
    """Raises BadInput if it is the user's working tree that was imported, whatever was checked out; but for `links`."""
    told, own = source.facts.told, (place, *(link.resolve() for link in links))
    astray = [
        name for name in told["elsewhere"]
        if Path(name).is_relative_to(top) and not any(Path(name).is_relative_to(one) for one in own)
    ]  # fmt: skip
    if astray:
        raise BadInput(
            f"{astray[0]} was imported, and not the file of the commit: the package is installed from there",
            remedy="name the folder that holds the package: --cwd REPO/src; what is there is imported first",
        )
