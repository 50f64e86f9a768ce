"""A git repository of the user's, and other revisions of it in folders of ours. Theirs is only read.

A copy is a repository of its own that borrows the objects of the user's (`objects/info/alternates`): `git worktree add` would
write to theirs, and `git clone` takes neither a shallow one nor a commit that no branch has. Their hooks and templates do not
run, and no variable of theirs leads git elsewhere.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.errors import BadInput, HarnessError, MissingTool
from harness.machine import processes
from harness.texts import visible

LIMIT_S = 600.0  # of one call of git: a checkout of gigabytes takes long
SHORT = 10  # digits of a commit that are shown
OF_CONFIG = re.compile(r"GIT_CONFIG_(COUNT|KEY_\d+|VALUE_\d+|GLOBAL|SYSTEM|NOSYSTEM)")  # they lead nowhere else
OWNED = re.compile(r"git config --global --add safe\.directory .+")  # in what git says of a folder of another user
POINTER = b"version https://git-lfs.github.com/spec/"
QUIET = ("-c", f"core.hooksPath={os.devnull}", "-c", "core.fsmonitor=false", "-c", "advice.detachedHead=false")


def git(folder: Path, *words: str, what: str = "", remedy: str = "") -> str:
    """Its output. Raises BadInput if a remedy is given, or git does not trust the folder; else HarnessError. `what`: instead of
    git's own words. MissingTool."""
    if shutil.which("git") is None:
        raise MissingTool("git is missing: revisions of your application cannot be compared", remedy="install git")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or OF_CONFIG.fullmatch(name)}
    variables |= {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # "status" would write the index anew
    variables["GIT_LFS_SKIP_SMUDGE"] = "1"  # a copy has neither the objects nor the remote of Git LFS
    try:
        done = processes.run(["git", *QUIET, *words], cwd=folder, env=variables, limit_s=LIMIT_S)
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"git {words[0]} took longer than {LIMIT_S:g} s") from error
    if done.returncode != 0:
        if owned := OWNED.search(done.stderr):
            raise BadInput(f"git does not read {folder}: it is another user's", remedy=f"if you trust it: {visible(owned[0])}")
        said = what or f"git {words[0]}: {visible((done.stderr.strip().splitlines() or ['it said nothing'])[-1])}"
        raise (BadInput if remedy else HarnessError)(said, remedy=remedy)
    return done.stdout


def top_of(folder: Path, *, what: str = "", remedy: str) -> Path:
    """The top of the working tree that the folder lies in. Raises BadInput."""
    return Path(git(folder, "rev-parse", "--show-toplevel", what=what, remedy=remedy).strip())


def commit_of(top: Path, option: str, named: str, *, remedy: str) -> str:
    """All digits of the commit that the user named. Raises BadInput."""
    words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
    return git(top, *words, what=f"{option} {named}: no such commit in {top}", remedy=remedy).strip()


def subject_of(top: Path, commit: str) -> str:
    """The first line of its message."""
    return visible(git(top, "log", "-1", "--format=%s", commit, "--").strip())


def submodules(top: Path, commit: str) -> dict[str, str]:
    """The commit of each submodule that this commit names, by its path."""
    told = git(top, "ls-tree", "-r", "-z", "--full-tree", "--format=%(objecttype)%x09%(objectname)%x09%(path)", commit)
    rows = (row.split("\t", 2) for row in told.split("\0") if row)
    return {visible(path): name for kind, name, path in rows if kind == "commit"}


def check_whole(top: Path, commit: str) -> None:
    """Raise BadInput if this is a partial clone (`--filter=blob:none`) that lacks files of the commit: a copy fetches none."""
    found = re.search(r"^remote\.(.+)\.promisor=true$", git(top, "config", "--list"), re.MULTILINE)
    if found and "\n?" in git(top, "rev-list", "--objects", "--missing=print", "--no-walk", commit):
        raise BadInput(
            f"{top} is a partial clone, and has not fetched all files of {commit[:SHORT]}",
            remedy=f"git -C {shlex.quote(str(top))} fetch --refetch --no-filter {shlex.quote(found[1])}",
        )


def pointers(folder: Path) -> list[str]:
    """The files of a checkout that are in Git LFS: there, each is a text that names what it stands for."""
    named = git(folder, "ls-files", "-z", ":(top,attr:filter=lfs)").split("\0")
    return [name for name in named if name and is_pointer(folder / name)]


def is_pointer(file: Path) -> bool:
    """Whether this is such a text (the specification of Git LFS: its first line)."""
    try:
        with open(file, "rb") as held:
            return held.read(len(POINTER)) == POINTER
    except OSError:
        return False


def borrow(top: Path, folder: Path) -> None:
    """Make the copy in `folder`, which must not be there yet; it has no files before a `checkout`."""
    folder.mkdir(parents=True)
    kind = git(top, "rev-parse", "--show-object-format").strip()
    git(folder, "init", "--quiet", "--template=", f"--object-format={kind}")
    (folder / ".git" / "objects" / "info").mkdir(parents=True, exist_ok=True)
    (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{_place(top, 'objects')}\n")
    if (shallow := _place(top, "shallow")).exists():
        (folder / ".git" / "shallow").write_bytes(shallow.read_bytes())


def checkout(folder: Path, commit: str) -> None:
    """The commit's files, and nothing else: what an earlier one left there, byte code above all, is removed."""
    git(folder, "checkout", "--quiet", "--force", "--detach", commit)
    git(folder, "clean", "-ffdxq")


def linked(top: Path, below: Path, names: Sequence[Path]) -> list[Path]:
    """These files or folders of the user's working tree, as whole paths. Raises BadInput."""
    found = [_inside(top, top / below / name) for name in names]  # an absolute name stays as it is
    for named, path in zip(names, found, strict=True):
        if top not in path.parents or not path.exists():
            raise BadInput(
                f"--link {named}: no such file or folder in {top}",
                remedy="name what the application needs and git does not have, seen from --cwd, such as models/",
            )
    return list(dict.fromkeys(found))


def _inside(top: Path, named: Path) -> Path:
    """A path below `top` by that name, also if it is named by a link to the tree; one that lies elsewhere stays as it is."""
    path = Path(os.path.normpath(named.absolute()))
    alias = next((each for each in path.parents if each.resolve() == top.resolve()), None)
    return top / path.relative_to(alias) if alias else path


def unlink(top: Path, folder: Path, links: Sequence[Path]) -> None:
    """Take the links of an earlier commit out of the copy, so that git finds none in its way."""
    for link in links:
        place = folder / link.relative_to(top)
        if place.is_symlink() and not _leads_away(folder, place):
            place.unlink()


def link(top: Path, folder: Path, links: Sequence[Path]) -> list[Path]:
    """Put links to these into the copy, at their places; those that it has already, as the commit has them, are left and
    returned. An empty folder of a submodule and a pointer of Git LFS are replaced."""
    there: list[Path] = []
    for one in sorted(links, key=lambda path: len(path.parts)):
        if any(other in one.parents and other not in there for other in links):
            continue  # it lies in one that is linked whole
        place = folder / one.relative_to(top)
        if _is_taken(folder, place):
            there.append(one)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(one)
    return there


def _is_taken(folder: Path, place: Path) -> bool:
    """Whether the commit has something there; what is to be replaced is removed."""
    if _leads_away(folder, place) or place.is_symlink():
        return True
    if place.is_dir() and not any(place.iterdir()):  # git keeps no empty folder but that of a submodule
        place.rmdir()
    elif is_pointer(place):
        place.unlink()
    return place.exists()


def _leads_away(folder: Path, place: Path) -> bool:
    """Whether the copy has a link or a file on the way there: a commit's own link may lead to files of the user's."""
    way = [folder / each for each in place.relative_to(folder).parents if each != Path()]
    return any(each.is_symlink() or (each.exists() and not each.is_dir()) for each in way)


def _place(top: Path, name: str) -> Path:
    """Of this file or folder of the user's `.git`, also if the working tree is one of several."""
    return (top / git(top, "rev-parse", "--git-path", name).strip()).resolve()
