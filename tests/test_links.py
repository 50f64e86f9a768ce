"""What git does not have is linked into copies of a repository: nothing of the user's is ever changed by that."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from harness.applications import revisions
from harness.errors import BadInput


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The user's working tree, with a folder that git does not have."""
    folder = tmp_path / "shop"
    (folder / "models" / "empty").mkdir(parents=True)
    (folder / "models" / "net.bin").write_text("weights")
    return folder


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A checkout of a commit."""
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def state(folder: Path) -> list[str]:
    """All that is in a folder, as `ls` tells it."""
    return subprocess.run(["ls", "-lR", str(folder)], check=True, capture_output=True, text=True).stdout.splitlines()


def test_a_link_of_the_commit_s_own_is_never_gone_through(top: Path, copy: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (shared / "cache").mkdir(parents=True)
    (shared / "v2").mkdir()
    (shared / "current").symlink_to("v2")
    (shared / "model.bin").write_bytes(revisions.POINTER)
    for place in (top, copy):
        (place / "data").symlink_to(shared)
    before = state(shared)
    links = [top / "data" / name for name in ("cache", "current", "model.bin", "new")]
    assert revisions.link(top, copy, links) == links
    revisions.unlink(top, copy, links)
    assert state(shared) == before


@pytest.mark.parametrize("leads_to", ["nowhere", "/"])
def test_a_link_that_the_commit_has_in_its_place_is_its_own(top: Path, copy: Path, leads_to: str) -> None:
    (copy / "models").symlink_to(leads_to)
    assert revisions.link(top, copy, [top / "models"]) == [top / "models"]
    assert os.readlink(copy / "models") == leads_to


def test_a_file_of_the_commit_s_on_the_way_to_it_is_its_own(top: Path, copy: Path) -> None:
    (copy / "models").write_text("a file once")
    assert revisions.link(top, copy, [top / "models" / "net.bin"]) == [top / "models" / "net.bin"]
    assert (copy / "models").read_text() == "a file once"


@pytest.mark.parametrize("names", [("models", "models/empty"), ("models/empty", "models"), ("models", "models/")])
def test_what_lies_in_a_folder_that_is_linked_whole_is_linked_with_it(top: Path, copy: Path, names: tuple[str, ...]) -> None:
    before = state(top)
    links = revisions.linked(top, Path(), [Path(name) for name in names])
    for _ in range(2):
        assert revisions.link(top, copy, links) == []
        assert (copy / "models" / "net.bin").read_text() == "weights"
        assert state(top) == before
        revisions.unlink(top, copy, links)
    assert not any(copy.glob("models/*"))
    assert state(top) == before


def test_only_what_lies_in_the_working_tree_is_linked_however_it_is_named(top: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("../other", "models/../../other", str(tmp_path / "other"), "."):
        with pytest.raises(BadInput, match="no such file or folder in"):
            revisions.linked(top, Path(), [Path(name)])
    (tmp_path / "alias").symlink_to(top)
    (top / "src").mkdir()
    for name in ("../models", str(top / "models"), str(tmp_path / "alias" / "models"), "../models/"):
        assert revisions.linked(top, Path("src"), [Path(name)]) == [top / "models"], name
