"""Kills for memory are those of our own control group: read from stored trees, and of groups of the kernel's own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from harness.machine import cgroups, oom_kills
from tests.group_tree import GroupTree
from tests.real_group import JOIN, MIB, bound_memory, group, python, version

GROW = f"""{JOIN}
block = bytearray(int(sys.argv[2]))
block[::4096] = bytes([1]) * len(block[::4096])
"""
PARENT = f"""{JOIN}
import subprocess
from harness.machine import oom_kills
before = oom_kills.read()
grown = subprocess.run([sys.executable, "-I", "-S", "-c", {GROW!r}, *sys.argv[1:]])
print(grown.returncode, oom_kills.read().since(before), before.where)
"""


@pytest.fixture
def tree(tmp_path: Path) -> GroupTree:
    return GroupTree(tmp_path)


def kills(tree: GroupTree) -> oom_kills.Kills:
    vmstat = tree.base / "vmstat"
    if not vmstat.exists():
        vmstat.write_text("pgfault 1\noom_kill 7\n")
    return oom_kills.read(tree.proc, vmstat)


def version_1(path: str, count: int, tree: GroupTree) -> None:
    tree.group(f"memory/{path}", memory__oom_control=f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}")


def version_2(path: str, count: int, tree: GroupTree) -> None:
    events = f"low 0\nmax 5\noom 9\noom_kill {count}\noom_group_kill 0"
    tree.group(path, cgroup__events="populated 1", memory__events=events)


def test_of_version_2_our_own_group_counts_with_all_below(tree: GroupTree) -> None:
    tree.unified("/a/ours")
    for path, count in (("a", 9), ("a/ours", 3), ("a/ours/below", 2), ("a/neighbour", 4)):
        version_2(path, count, tree)
    before = kills(tree)
    assert before.where == oom_kills.OWN
    version_2("a/neighbour", 5, tree)
    version_2("a", 10, tree)
    assert kills(tree).since(before) == 0
    version_2("a/ours", 5, tree)
    version_2("a/ours/below", 4, tree)
    assert kills(tree).since(before) == 2


def test_of_version_2_with_local_events_the_groups_below_are_added(tree: GroupTree) -> None:
    tree.unified("/a").mounts(("/", ".", "cgroup2 rw,memory_localevents"))
    for path, count in (("a", 1), ("a/below", 2)):
        version_2(path, count, tree)
    before = kills(tree)
    version_2("a/below", 4, tree)
    assert kills(tree).since(before) == 2


def test_of_version_1_the_groups_below_are_added_and_one_that_has_gone_takes_nothing_back(tree: GroupTree) -> None:
    tree.classic("/ours")
    for path, count in (("ours", 1), ("ours/below", 2), ("ours/gone", 6), ("neighbour", 4)):
        version_1(path, count, tree)
    before = kills(tree)
    assert before.where == oom_kills.OWN
    version_1("neighbour", 9, tree)
    assert kills(tree).since(before) == 0
    (tree.groups / "memory/ours/gone/memory.oom_control").unlink()
    version_1("ours/below", 3, tree)
    version_1("ours/new", 1, tree)
    assert kills(tree).since(before) == 2


def test_in_the_root_group_of_version_1_its_own_kills_count_and_nobody_elses(tree: GroupTree) -> None:
    tree.classic("/").group("memory", release_agent="")
    for path, count in ((".", 1), ("neighbour", 4)):
        version_1(path, count, tree)
    before = kills(tree)
    version_1("neighbour", 5, tree)
    assert (kills(tree).since(before), before.where) == (0, oom_kills.ROOT)
    version_1(".", 2, tree)
    assert kills(tree).since(before) == 1


def test_in_the_root_group_of_version_2_the_whole_machine_counts_and_says_so(tree: GroupTree) -> None:
    tree.unified("/").group(".")
    version_2("neighbour", 4, tree)
    before = kills(tree)
    (tree.base / "vmstat").write_text("oom_kill 8\n")
    assert (kills(tree).since(before), before.where) == (1, oom_kills.HOST)


def test_a_namespaces_root_is_not_the_machines(tree: GroupTree) -> None:
    version_2(".", 3, tree.unified("/"))
    assert kills(tree).where == oom_kills.OWN
    classic = GroupTree(tree.base / "1").classic("/")
    version_1(".", 3, classic)
    assert kills(classic).where == oom_kills.OWN


def test_a_group_that_does_not_count_shares_the_memory_of_the_one_above(tree: GroupTree) -> None:
    tree.unified("/a/ours").group("a/ours", cgroup__events="populated 1")
    version_2("a", 3, tree)
    before = kills(tree)
    version_2("a", 4, tree)
    assert (kills(tree).since(before), before.where) == (1, oom_kills.ABOVE)


def test_where_no_group_counts_the_whole_machine_does(tree: GroupTree) -> None:
    tree.classic("/ours").group("memory/ours", memory__oom_control="oom_kill_disable 0\nunder_oom 0")
    assert kills(tree).where == oom_kills.HOST
    assert oom_kills.read(tree.base / "nothing", tree.base / "nothing").counts == {tree.base / "nothing": 0}


# Real groups


@pytest.mark.parametrize("round_", range(3))
def test_a_neighbours_kill_for_memory_is_nobody_elses(round_: int) -> None:
    before, machines = oom_kills.read(), machine_kills()
    if before.where == oom_kills.HOST:
        pytest.skip("no control group of ours counts kills for memory")
    with group("memory", bound_memory(32 * MIB)) as folder:
        ended = python(GROW, folder, 256 * MIB).returncode
        theirs = cgroups.number(folder / oom_kills.FILES[version("memory")], oom_kills.WORD)
    assert (ended, theirs) == (-signal.SIGKILL, 1)
    assert machine_kills() > machines
    assert oom_kills.read().since(before) == 0


def test_a_kill_for_memory_in_our_own_group_is_ours() -> None:
    """The parent and what grows stand in the same group; the kernel takes the larger one."""
    with group("memory", bound_memory(256 * MIB)) as folder:
        told = python(PARENT, folder, 768 * MIB, own=True)
    assert told.stdout.split(maxsplit=2) == [str(-signal.SIGKILL), "1", f"{oom_kills.OWN}\n"], told.stderr


def machine_kills() -> int:
    return cgroups.number(Path("/proc/vmstat"), oom_kills.WORD) or 0
