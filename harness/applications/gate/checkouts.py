"""The two sides of a gate: checkouts of two commits of the user's repository, in folders of ours, see `revisions`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.applications import revisions
from harness.applications.revisions import git
from harness.errors import BadInput
from harness.texts import few

NOT_FETCHED = "name a branch, a tag or a commit; in CI, fetch all of the history (fetch-depth: 0 of actions/checkout)"
NO_REPOSITORY = "a gate compares two commits; 'harness compare' compares two probes of any folders"


@dataclass(frozen=True, kw_only=True)
class Commit:
    """`named`: as the user named it. `digest`: all 40 digits; `subject`: the first line of its message."""

    named: str
    digest: str
    subject: str

    @property
    def short(self) -> str:
        return self.digest[: revisions.SHORT]


@dataclass(frozen=True, kw_only=True)
class Repository:
    """`root`: the top of the user's working tree; `below`: where in it the application is started."""

    root: Path
    below: Path

    def commit(self, option: str, named: str) -> Commit:
        """Raises BadInput if there is no such commit."""
        digest = revisions.commit_of(self.root, option, named, remedy=NOT_FETCHED)
        return Commit(named=named, digest=digest, subject=revisions.subject_of(self.root, digest))

    def said(self, base: Commit, head: Commit, links: Sequence[Path] = ()) -> list[str]:
        """What is to be known of these two commits before they are compared, with `links` in both."""
        found = []
        if base.digest == head.digest:
            found.append(f"both sides are {base.short}: nothing differs, and the gate should pass")
        lacks = git(self.root, "rev-list", "--count", f"{head.digest}..{base.digest}").strip()
        if lacks != "0":
            found.append(
                f"{head.named} lacks {lacks} of the commits of {base.named}: what they changed counts, too; "
                f"--base $(git merge-base {base.named} {head.named}) leaves them out"
            )
        if git(self.root, "status", "--porcelain", "--untracked-files=no").strip():
            found.append("the working tree has changes that are not committed: no side has them")
        return found + self._of_submodules(base, head, links)

    def _of_submodules(self, base: Commit, head: Commit, links: Sequence[Path]) -> list[str]:
        """Which of them no side has, and which both have from the working tree, though each commit names another state."""
        here, there = (revisions.submodules(self.root, one.digest) for one in (base, head))
        linked = {str(link.relative_to(self.root)) for link in links}
        lacking = [name for name in {**here, **there} if name not in linked]
        changed = [name for name in here if name in linked and there.get(name, here[name]) != here[name]]
        found = [f"no side has the files of {few(lacking)}: --link gives both the same submodule"] if lacking else []
        if changed:
            found.append(
                f"the submodule {few(changed)} is another one in each commit: both sides have that of the working tree"
            )
        return found

    def checkout(self, commit: Commit, folder: Path, links: Sequence[Path]) -> Path:
        """The commit's files in `folder`, which must not be there yet, with `links` in their places; where the application is
        started in it. Raises BadInput."""
        revisions.check_whole(self.root, commit.digest)
        revisions.borrow(self.root, folder)
        revisions.checkout(folder, commit.digest)
        if there := revisions.link(self.root, folder, links):
            raise BadInput(f"--link {there[0]}: {commit.named} has it in git", remedy="link only what git does not have")
        if not (folder / self.below).is_dir():
            raise BadInput(
                f"{commit.named} ({commit.short}) has no folder {self.below}", remedy="--cwd has to be in both commits"
            )
        return folder / self.below

    def linked(self, names: Sequence[Path]) -> list[Path]:
        """These files or folders of the working tree, as whole paths. Raises BadInput."""
        return revisions.linked(self.root, self.below, names)


def of_pointers(checkout: Path) -> str:
    """What to know of files that are in Git LFS; '' if there are none that are not linked."""
    names = revisions.pointers(checkout)
    return f"no side has what Git LFS keeps of {few(names)}: --link gives both the file of the working tree" if names else ""


def repository(folder: Path) -> Repository:
    """The repository that the user's folder lies in. Raises BadInput or MissingTool."""
    root = revisions.top_of(folder, what=f"--cwd {folder} is in no git repository", remedy=NO_REPOSITORY)
    return Repository(root=root, below=folder.resolve().relative_to(root.resolve()))
