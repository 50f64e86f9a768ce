"""Whether a process is frozen with its control group, read from stored trees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from harness.machine.freezer import Freezer
from tests.group_tree import GroupTree

HIS = 42


@pytest.fixture
def tree(tmp_path: Path) -> GroupTree:
    (tmp_path / str(HIS)).symlink_to(tmp_path / "proc")
    return GroupTree(tmp_path)


def thaws(tree: GroupTree) -> str:
    """The file that thaws it, below the groups' folder."""
    return Freezer(tree.proc, tree.base).thaws(HIS).removeprefix(f"{tree.groups}/")


def test_of_version_2_the_events_say_it_and_the_group_that_was_frozen_itself_is_thawed(tree: GroupTree) -> None:
    tree.unified("/a/b").group("a", cgroup__freeze="1", cgroup__events="populated 1\nfrozen 1")
    tree.group("a/b", cgroup__freeze="0", cgroup__events="populated 1\nfrozen 1")
    assert thaws(tree) == "a/cgroup.freeze"
    tree.group("a/b", cgroup__events="populated 1\nfrozen 0")  # not all of it stands yet
    assert thaws(tree) == ""


def test_of_version_1_the_state_says_it(tree: GroupTree) -> None:
    tree.stands("6:freezer:/a", "5:memory:/b", "1:name=systemd:/").mounts(
        ("/", "freezer", "cgroup rw,freezer"), ("/", "memory", "cgroup rw,memory")
    )
    tree.group("freezer/a", freezer__state="FROZEN", freezer__self_freezing="1").group("memory/b")
    assert thaws(tree) == "freezer/a/freezer.state"
    assert thaws(tree.group("freezer/a", freezer__state="FREEZING")) == ""
    assert thaws(tree.group("freezer/a", freezer__state="THAWED")) == ""


def test_side_by_side_both_versions_count(tree: GroupTree) -> None:
    tree.stands("6:freezer:/a", "0::/b").mounts(("/", "freezer", "cgroup rw,freezer"), ("/", "unified", "cgroup2 rw"))
    tree.group("freezer/a", freezer__state="THAWED").group("unified/b", cgroup__events="frozen 1", cgroup__freeze="1")
    assert thaws(tree) == "unified/b/cgroup.freeze"


def test_a_group_that_cannot_be_seen_from_here_says_nothing(tree: GroupTree) -> None:
    assert thaws(tree.unified("/../other").group(".", cgroup__events="frozen 1")) == ""
    assert thaws(tree.unified("/a").stands()) == ""


def test_we_are_not_frozen_ourselves() -> None:
    assert Freezer().thaws(os.getpid()) == ""
