"""A search in somebody's own application: the commits, the environments, and what the options may say together."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.applications import revisions
from harness.applications.bisect import commits, releases
from harness.applications.bisect.candidate import CannotRun
from harness.applications.bisect.command import check_options, in_cell
from harness.applications.probe.order import ProbeOrder
from harness.applications.probe.source import ApplicationSource
from harness.decide.bisect import page
from harness.decide.bisect.measured import Measured
from harness.decide.bisect.page import Subject
from harness.decide.bisect.search import BisectAnswer, search
from harness.errors import BadInput
from harness.experiment.experiment import Settings
from harness.records.outcomes import Outcome


def git(folder: Path, *words: str) -> str:
    who = {"GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@n", "GIT_COMMITTER_NAME": "n", "GIT_COMMITTER_EMAIL": "n@n"}
    return subprocess.run(
        ["git", *words], cwd=folder, env={**os.environ, **who}, check=True, capture_output=True, text=True
    ).stdout.strip()


def commit(folder: Path, text: str, subject: str) -> str:
    (folder / "shop.py").write_text(text)
    git(folder, "add", "shop.py")
    git(folder, "commit", "--quiet", "--message", subject)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Four commits on main, and one of a branch that was merged as the third."""
    folder = tmp_path / "repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, "A = 1\n", "First")
    git(folder, "branch", "side")
    commit(folder, "A = 2\n", "Second")
    git(folder, "checkout", "--quiet", "side")
    (folder / "other.py").write_text("")
    git(folder, "add", "other.py")
    git(folder, "commit", "--quiet", "--message", "Beside")
    git(folder, "checkout", "--quiet", "main")
    git(folder, "merge", "--quiet", "--no-ff", "--message", "Merge side", "side")
    commit(folder, "A = 4\n", "Last\x1b[31m")
    return folder


def order(folder: Path, **changes: Any) -> ProbeOrder:
    known = ProbeOrder(
        app="shop:app", task="shop.price", rows=[[]], python=Path("/venv/bin/python"), folder=folder, variables={}, own={},
        env_file=None, settings=Settings(), out=folder / "out", pools=("solo",), concurrency=(2,), traffic="closed-4",
    )  # fmt: skip
    return replace(known, **changes)


def source(**told: Any) -> ApplicationSource:
    return cast(ApplicationSource, SimpleNamespace(**told))


def test_each_commit_among_64_is_found_in_six_steps() -> None:
    for planted in range(1, 65):
        asked: list[str] = []

        def measure(version: str, asked: list[str] = asked, planted: int = planted) -> Measured:
            asked.append(version)
            outcome = Outcome.OK if int(version) < planted else Outcome.HUNG
            return Measured(version=version, outcome=outcome, reason="", ended=(outcome,) * 3)

        answer = search([str(number) for number in range(65)], measure)
        assert (answer.last_good.version, answer.first_bad.version) == (str(planted - 1), str(planted))
        assert asked[:2] == ["0", "64"]  # the ends, which the user named
        assert len(asked[2:]) <= 6


def test_commits_are_those_of_the_first_parents_in_the_direction_from_good_to_bad(repo: Path) -> None:
    found = commits.read(repo, "main~3", "main")
    assert list(found.subjects.values()) == ["First", "Second", "Merge side", "Last\\x1b[31m"]
    assert list(found.commits.values())[-1] == git(repo, "rev-parse", "main")
    backwards = commits.read(repo, "main", "main~3")
    assert list(backwards.commits) == list(found.commits)[::-1]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("nope", "main", "--good nope: no such commit"),
        ("main", "main~0", "are the same commit"),
        ("side", "main", "neither of side and main is on the first-parent line of the other"),
        ("--all", "main", "--good --all: no such commit"),
    ],
)
def test_ends_that_make_no_line_are_refused(repo: Path, good: str, bad: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        commits.read(repo, good, bad)
    assert caught.value.remedy


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder"):
        commits.read(tmp_path / "none", "a", "b")
    (tmp_path / "plain").mkdir()
    with pytest.raises(BadInput, match="not a git repository"):
        commits.read(tmp_path / "plain", "a", "b")


def state(repo: Path) -> dict[str, bytes]:
    return {str(path.relative_to(repo)): path.read_bytes() for path in sorted(repo.rglob("*")) if path.is_file()}


def test_a_checkout_is_the_commit_and_nothing_else_and_the_repository_stays_as_it_is(repo: Path, tmp_path: Path) -> None:
    hook = repo / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/hooked\n")
    hook.chmod(0o755)
    (repo / "shop.py").write_text("not committed\n")
    before, found, place = state(repo), commits.read(repo, "main~3", "main"), tmp_path / "checkout"
    commits.copy(found, place)
    for version, text in zip(found.commits, ("A = 1\n", "A = 2\n", "A = 2\n", "A = 4\n"), strict=True):
        ready = commits.prepare(order(repo), found, Path(), place, (), version)
        assert (ready.order.folder, ready.about) == (place, found.subjects[version])
        assert (place / "shop.py").read_text() == text
        assert not (place / "__pycache__").exists()
        (place / "__pycache__").mkdir()
        (place / "__pycache__" / "shop.cpython-311.pyc").touch()
    assert state(repo) == before
    assert not (tmp_path / "hooked").exists()


def test_what_git_does_not_have_is_linked_into_each_commit_that_lacks_it_and_is_only_read(repo: Path, tmp_path: Path) -> None:
    (repo / "models").mkdir()
    (repo / "models" / "net.bin").write_text("weights")
    found, place = commits.read(repo, "main~3", "main"), tmp_path / "checkout"
    links = revisions.linked(found.top, Path(), [Path("models"), Path("shop.py")])
    commits.copy(found, place)
    for version in [*found.commits, *found.commits]:
        ready = commits.prepare(order(repo), found, Path(), place, links, version)
        assert ready.order.linked == ("models",), "other trials than those that found no models"
        assert (place / "models" / "net.bin").read_text() == "weights"
        assert not (place / "shop.py").is_symlink(), "the commit's own"
    assert (repo / "models" / "net.bin").read_text() == "weights"
    with pytest.raises(BadInput, match="--link nets: no such file or folder"):
        revisions.linked(found.top, Path(), [Path("nets")])
    facts = SimpleNamespace(told={"elsewhere": [str(repo / "models" / "own.py")]})
    commits.check_source(repo, place, links, source(facts=facts))


def test_only_a_checkout_of_ours_is_removed(repo: Path, tmp_path: Path) -> None:
    found, place = commits.read(repo, "main~3", "main"), tmp_path / "checkout"
    commits.copy(found, place)
    commits.copy(found, place)
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine.txt").touch()
    with pytest.raises(BadInput, match="in the way"):
        commits.copy(found, other)
    assert (other / "mine.txt").exists()


def test_a_folder_that_a_commit_does_not_have_is_passed_over(repo: Path, tmp_path: Path) -> None:
    found = commits.read(repo, "main~3", "main")
    commits.copy(found, tmp_path / "checkout")
    with pytest.raises(CannotRun, match="no folder src"):
        commits.prepare(order(repo), found, Path("src"), tmp_path / "checkout", (), next(iter(found.commits)))


def test_the_application_s_folder_is_found_below_the_repository(repo: Path, tmp_path: Path) -> None:
    found = commits.read(repo, "main~3", "main")
    assert commits.inside(order(repo / "src"), Path("repo/src"), found) == Path("src")
    assert commits.inside(order(tmp_path), Path(), found) == Path()
    with pytest.raises(BadInput, match="does not lie in"):
        commits.inside(order(tmp_path), tmp_path, found)


def test_paths_of_the_working_tree_become_those_of_the_checkout() -> None:
    top, place = Path("/srv/shop"), Path("/out/checkout")
    given = {"PYTHONPATH": "/srv/shop/lib:/opt/more", "HOME": "/srv/shop"}
    assert commits.moved(given, top, place) == {"PYTHONPATH": "/out/checkout/lib:/opt/more", "HOME": "/srv/shop"}
    assert commits.moved({"A": "1"}, top, place) == {"A": "1"}


def test_a_package_that_is_imported_from_the_working_tree_is_not_taken_for_the_commit() -> None:
    top, place = Path("/srv/shop"), Path("/srv/shop/results/checkout")
    facts = SimpleNamespace(told={"elsewhere": ["/opt/more.py", "/srv/shop/results/checkout/lib/x.py"]})
    commits.check_source(top, place, (), source(facts=facts))
    facts.told["elsewhere"].append("/srv/shop/src/shop.py")
    with pytest.raises(BadInput, match=r"/srv/shop/src/shop\.py was imported, and not the file of the commit"):
        commits.check_source(top, place, (), source(facts=facts))


def test_only_what_differs_from_the_user_s_environment_is_installed() -> None:
    had = releases.pins("celery==5.7.0\nKombu==5.7.0\n-e git+https://host/shop@1#egg=shop\nown @ file:///own.whl\n# note\n")
    assert had == {"celery": "5.7.0", "kombu": "5.7.0"}
    assert releases.changes(had, {"celery": "5.4.0", "kombu": "5.7.0", "tzdata": "2026.1"}) == {
        "celery": "5.4.0", "tzdata": "2026.1",
    }  # fmt: skip


def test_another_release_than_was_asked_for_is_not_measured() -> None:
    seen = SimpleNamespace(installed={"zope.event": "6.2", "celery": "5.4"})
    releases.check_version("Celery", "5.4.0", source(environment=seen))
    with pytest.raises(CannotRun, match=r"celery 5\.5\.0 was asked for, and the application sees 5\.4"):
        releases.check_version("celery", "5.5.0", source(environment=seen))
    with pytest.raises(CannotRun, match="sees none"):
        releases.check_version("kombu", "5.5.0", source(environment=seen))


WHOLE = {"cell": "", "package": "celery", "repo": None, "good": "1", "bad": "2", "app": "shop:app"}


@pytest.mark.parametrize(
    "changes",
    [
        {"cell": "x"}, {"app": ""}, {"package": ""}, {"repo": Path()}, {"good": ""}, {"bad": ""},
        {"package": "celery[redis]"}, {"package": "--pre"}, {"cell": "x", "app": "", "mix": Path("day.toml")},
        {"cell": "x", "app": "", "repo": Path(), "package": ""},
    ],
)  # fmt: skip
def test_options_that_do_not_go_together_are_refused(changes: dict[str, Any]) -> None:
    check_options(**cast(Any, WHOLE))
    with pytest.raises(BadInput) as caught:
        check_options(**cast(Any, {**WHOLE, **changes}))
    assert caught.value.remedy


def test_one_pool_is_searched() -> None:
    assert [cell.id for cell in in_cell(order(Path("/shop"))).grid] == ["app-solo-c1-as-written-task-shop.price"]
    with pytest.raises(BadInput, match="2 pools, not one"):
        in_cell(order(Path("/shop"), pools=("solo", "threads")))


def test_the_page_names_commits_by_their_subjects_and_escapes_them(tmp_path: Path) -> None:
    good = Measured(version="1a", outcome=Outcome.OK, reason="fine", ended=(Outcome.OK,) * 3, about="Use *all* | cores")
    bad = Measured(version="2b", outcome=Outcome.HUNG, reason="", ended=(Outcome.HUNG,) * 3, evidence=f"{tmp_path}/s-2b/e.txt")
    none = Measured(version="3c", outcome=None, reason="ModuleNotFoundError")
    answer = BisectAnswer(last_good=good, first_bad=bad, between=("3c",), measured=(good, none, bad), what="it hangs")
    subject = Subject(cell="app-solo", name="s", one="commit", many="commits", folder=tmp_path)
    (tmp_path / "s-1a").mkdir()
    (tmp_path / "s-1a" / "trials.jsonl").write_text(json.dumps({}))
    text = page.page(subject, answer)
    assert "# `app-solo` over commits of s" in text
    assert "| 1a Use \\*all\\* \\| cores | ok |  | fine | [records](s-1a/trials.jsonl) |" in text
    assert "| 3c | not measured |  | ModuleNotFoundError |  |" in text
    assert "[e.txt](s-2b/e.txt)" in text
    assert "Could not be told: 3c" in text
