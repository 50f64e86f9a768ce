"""Commits of the repository that an application lies in, each checked out in a clone of ours.

The user's repository is only read: the clone shares its objects (`git clone --shared`), runs no hook, and has what is committed
and nothing else. What an earlier commit left there, byte code above all, is removed before the next one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.applications.bisect.candidate import CannotRun, Prepared
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.source import ApplicationSource
from harness.errors import BadInput, HarnessError, MissingTool
from harness.machine import processes
from harness.texts import visible

LIMIT_S = 600.0
SHORT = 10  # digits of a commit that are shown
OURS = "harness-bisect"  # a file in the clone's .git: this folder may be removed
QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")


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
    top = Path(_git(path, "rev-parse", "--show-toplevel", remedy="--repo names a git repository's working tree").strip())
    ends = [_commit(top, option, named) for option, named in (("--good", good), ("--bad", bad))]
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


def _commit(top: Path, option: str, named: str) -> str:
    if named.startswith("-"):
        raise BadInput(f"{option} {named}: not a commit", remedy="name a commit, a branch or a tag")
    remedy = f"{option} names a commit, a branch or a tag of {top}"
    return _git(top, "rev-parse", "--verify", "--quiet", f"{named}^{{commit}}", what=f"{option} {named}: no such commit",
                remedy=remedy).strip()  # fmt: skip


def _line(top: Path, first: str, last: str) -> list[tuple[str, str]]:
    """(name, subject) from the first to the last; empty if the first is not on the other's first-parent line."""
    told = _git(top, "log", "--first-parent", "--reverse", "--format=%H %P%x09%s", f"{first}..{last}", "--")
    rows = [line.partition("\t") for line in told.splitlines()]
    if not rows or first not in rows[0][0].split()[1:2]:
        return []
    begin = _git(top, "log", "-1", "--format=%s", first, "--").strip()
    return [(first, visible(begin)), *((names.split()[0], visible(subject)) for names, _, subject in rows)]


def inside(order: ProbeOrder, named: Path, repository: Repository) -> Path:
    """The application's folder below the repository's: `named` is --cwd as it was given. Raises BadInput."""
    top, folder = repository.top.resolve(), order.folder.resolve()
    if folder.is_relative_to(top):
        return folder.relative_to(top)
    if named == Path():
        return Path()
    raise BadInput(f"--cwd {named} does not lie in {top}", remedy="name the application's folder in the repository")


def clone(repository: Repository, place: Path) -> None:
    """Make the clone, without any file in it. Raises BadInput if something else is there."""
    if place.exists():
        if not (place / ".git" / OURS).exists():
            raise BadInput(f"{place} is in the way", remedy="move it, or name another --out")
        shutil.rmtree(place)
    sparing = ("--quiet", "--no-checkout", "--shared", "--template=")
    _git(repository.top, "clone", *sparing, str(repository.top), str(place.absolute()))
    (place / ".git" / OURS).touch()


def prepare(order: ProbeOrder, repository: Repository, below: Path, place: Path, version: str) -> Prepared:
    """Check a commit out; the order with the application as it is there. Raises CannotRun, HarnessError."""
    _git(place, "checkout", "--quiet", "--force", "--detach", repository.commits[version])
    _git(place, "clean", "-ffdxq")
    folder = place.absolute() / below
    if not folder.is_dir():
        raise CannotRun(f"there is no folder {below} in commit {version}")
    return Prepared(
        order=replace(order, folder=folder, variables=moved(order.variables, repository.top.resolve(), place.resolve())),
        fits=partial(check_source, repository.top.resolve(), place.resolve()), about=repository.subjects[version],
    )  # fmt: skip


def moved(variables: Mapping[str, str], top: Path, place: Path) -> dict[str, str]:
    """With the entries of PYTHONPATH that lie in the repository as they lie in the clone."""
    entries = filter(None, variables.get("PYTHONPATH", "").split(os.pathsep))
    found = [
        str(place / path.relative_to(top)) if (path := Path(one).resolve()).is_relative_to(top) else one for one in entries
    ]
    return {**variables, "PYTHONPATH": os.pathsep.join(found)} if found else dict(variables)


def check_source(top: Path, place: Path, source: ApplicationSource) -> None:
    """Raises BadInput if it is the user's working tree that was imported, whatever was checked out."""
    told = source.facts.told
    astray = [name for name in told["elsewhere"] if Path(name).is_relative_to(top) and not Path(name).is_relative_to(place)]
    if astray:
        raise BadInput(
            f"{astray[0]} was imported, and not the file of the commit: the package is installed from there",
            remedy="name the folder that holds the package: --cwd REPO/src; what is there is imported first",
        )


def _git(folder: Path, *words: str, what: str = "", remedy: str = "") -> str:
    """Its output. Raises BadInput if a remedy is given, else HarnessError."""
    if shutil.which("git") is None:
        raise MissingTool("git is missing, and --repo needs it", remedy="install git")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    variables |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = processes.run(["git", *QUIET, *words], cwd=folder, env=variables, limit_s=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"git {words[0]} took longer than {LIMIT_S:g} s") from error
    if done.returncode != 0:
        said = what or f"git {words[0]}: {visible((done.stderr.strip().splitlines() or ['it said nothing'])[-1])}"
        raise (BadInput if remedy else HarnessError)(said, remedy=remedy)
    return done.stdout
