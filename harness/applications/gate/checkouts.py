"""The two sides of a gate: checkouts of two commits of the user's repository, in a folder of ours. Their `.git` is only read.

A side is a repository of its own that borrows the objects of the user's (`objects/info/alternates`): `git worktree add` would
write to theirs, and `git clone` takes neither a shallow one nor a commit that no branch has. Hooks and templates do not run.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadInput, MissingTool
from harness.texts import visible

LIMIT_S = 300.0  # of one call of git: a checkout of gigabytes takes long
SHORT = 10  # digits of a commit that are shown


@dataclass(frozen=True, kw_only=True)
class Commit:
    """`named`: as the user named it. `digest`: all 40 digits; `subject`: the first line of its message."""

    named: str
    digest: str
    subject: str

    @property
    def short(self) -> str:
        return self.digest[:SHORT]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """`root`: the top of the user's working tree; `below`: where in it the application is started."""

    root: Path
    below: Path

    def commit(self, option: str, named: str) -> Commit:
        """Raises BadInput if there is no such commit."""
        asked = _git(self.root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{named}^{{commit}}")
        if asked.returncode:
            raise BadInput(
                f"{option} {named}: no such commit in {self.root}",
                remedy="name a branch, a tag or a commit; in CI, fetch all of the history (fetch-depth: 0 of actions/checkout)",
            )
        digest = asked.stdout.strip()
        subject = _git(self.root, "log", "-1", "--format=%s", digest).stdout.strip()
        return Commit(named=named, digest=digest, subject=visible(subject))

    def said(self, base: Commit, head: Commit) -> list[str]:
        """What is to be known of these two commits before they are compared."""
        found = []
        if base.digest == head.digest:
            found.append(f"both sides are {base.short}: nothing differs, and the gate should pass")
        lacks = _git(self.root, "rev-list", "--count", f"{head.digest}..{base.digest}").stdout.strip()
        if lacks not in ("", "0"):
            found.append(
                f"{lacks} commits of {base.named} are not in {head.named}: what they changed counts, too; "
                f"--base $(git merge-base {base.named} {head.named}) leaves them out"
            )
        if _git(self.root, "status", "--porcelain", "--untracked-files=no").stdout.strip():
            found.append("the working tree has changes that are not committed: no side has them")
        return found

    def checkout(self, commit: Commit, folder: Path, links: Sequence[Path]) -> Path:
        """The commit's files in `folder`, which must not be there yet, with `links` in their places; where the application is
        started in it. Raises BadInput."""
        folder.mkdir(parents=True)
        kind = _git(self.root, "rev-parse", "--show-object-format").stdout.strip()
        _done("init", _git(folder, "init", "--quiet", "--template=", f"--object-format={kind}"))
        (folder / ".git" / "objects" / "info").mkdir(parents=True, exist_ok=True)
        (folder / ".git" / "objects" / "info" / "alternates").write_text(f"{self._place('objects')}\n")
        if (shallow := self._place("shallow")).exists():
            (folder / ".git" / "shallow").write_bytes(shallow.read_bytes())
        plain = ("-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
        _done("checkout", _git(folder, *plain, "checkout", "--quiet", "--detach", commit.digest))
        for link in links:
            place = folder / link.relative_to(self.root)
            if place.exists():
                raise BadInput(f"--link {link}: {commit.named} has it in git", remedy="link only what git does not have")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(link)
        if not (folder / self.below).is_dir():
            raise BadInput(
                f"{commit.named} ({commit.short}) has no folder {self.below}", remedy="--cwd has to be in both commits"
            )
        return folder / self.below

    def _place(self, name: str) -> Path:
        """Of this file or folder of the user's `.git`, also if the working tree is one of several."""
        return (self.root / _git(self.root, "rev-parse", "--git-path", name).stdout.strip()).resolve()

    def linked(self, names: Sequence[Path]) -> list[Path]:
        """These files or folders of the working tree, as whole paths. Raises BadInput."""
        found = [(self.root / self.below / name).absolute() if not name.is_absolute() else name for name in names]
        for named, path in zip(names, found, strict=True):
            if not path.exists() or self.root not in path.parents:
                raise BadInput(
                    f"--link {named}: no such file or folder in {self.root}",
                    remedy="name what the application needs and git does not have, seen from --cwd, such as models/",
                )
        return found


def repository(folder: Path) -> Repository:
    """The repository that the user's folder lies in. Raises BadInput or MissingTool."""
    asked = _git(folder, "rev-parse", "--show-toplevel")
    if asked.returncode:
        raise BadInput(
            f"--cwd {folder} is in no git repository: {asked.stderr.strip()}",
            remedy="a gate compares two commits; 'harness compare' compares two probes of any folders",
        )
    root = Path(asked.stdout.strip())
    return Repository(root=root, below=folder.resolve().relative_to(root.resolve()))


def _done(what: str, ran: subprocess.CompletedProcess[str]) -> None:
    if ran.returncode:
        raise BadInput(f"git {what} failed: {visible(ran.stderr.strip())}", remedy="try it by hand, in another folder")


def _git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, errors="replace", check=False, timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise MissingTool("git is not installed", remedy="install it: a gate makes two checkouts of your repository") from error
    except subprocess.TimeoutExpired as error:
        raise BadInput(f"git {words[0]} took more than {LIMIT_S:g} s", remedy="try it by hand, in another folder") from error
