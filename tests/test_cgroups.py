"""What the control groups allow and count, read from stored trees: both versions, nested, hybrid, in namespaces, incomplete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.machine import cgroups, cores, cpu_quota
from harness.machine.cpu_quota import Throttle
from tests.group_tree import PID, GroupTree


@pytest.fixture
def tree(tmp_path: Path) -> GroupTree:
    return GroupTree(tmp_path)


def quota(tree: GroupTree) -> float | None:
    return cpu_quota.smallest(cgroups.standing("cpu", tree.proc))


# The quota


def test_the_smallest_quota_on_the_path_counts(tree: GroupTree) -> None:
    tree.unified("/a/b/c").group("a", cpu__max="400000 100000").group("a/b", cpu__max="75000 50000")
    tree.group("a/b/c", cpu__max="max 100000").group("a/other", cpu__max="10000 100000")
    assert quota(tree) == 1.5


def test_max_everywhere_is_no_quota_and_the_root_has_no_such_file(tree: GroupTree) -> None:
    assert quota(tree.unified("/a").group("a", cpu__max="max 100000")) is None


@pytest.mark.parametrize("text", ["", "max", "many 100000", "150000", "0 100000", "150000 0"])
def test_a_file_that_says_nothing_is_no_quota(text: str, tree: GroupTree) -> None:
    assert quota(tree.unified("/a").group("a", cpu__max=text)) is None


def test_groups_without_files_have_no_quota_and_count_nothing(tree: GroupTree) -> None:
    tree.unified("/a/b").group("a/b")
    assert quota(tree) is None
    assert cpu_quota.throttles(cgroups.standing("cpu", tree.proc)) == ()


def test_without_the_kernels_files_we_stand_nowhere(tree: GroupTree) -> None:
    assert cgroups.standing("cpu", tree.proc) is None
    assert cgroups.standing("cpu", tree.stands("0::/a").proc) is None
    assert cgroups.standing("cpu", tree.mounts().proc) is None
    assert cpu_quota.smallest(None) is None
    assert cpu_quota.throttles(None) == ()


def test_version_1_divides_quota_by_period_and_minus_1_is_none(tree: GroupTree) -> None:
    tree.classic("/a/b").group("cpu,cpuacct/a", cpu__cfs_quota_us="25000", cpu__cfs_period_us="50000")
    tree.group("cpu,cpuacct/a/b", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000")
    assert quota(tree) == 0.5
    assert quota(tree.group("cpu,cpuacct/a", cpu__cfs_quota_us="-1")) is None


def test_of_a_hybrid_the_hierarchy_that_has_the_controller_counts(tree: GroupTree) -> None:
    tree.stands("4:cpu:/a", "0::/a").mounts(("/", "cpu", "cgroup rw,cpu"), ("/", "unified", "cgroup2 rw"))
    tree.group("cpu/a", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    tree.group("unified/a", cpu__max="10000 100000", memory__max="max")
    assert quota(tree) == 1.5
    memory = cgroups.standing("memory", tree.proc)
    assert memory is not None
    assert (memory.version, memory.own) == (2, tree.groups / "unified" / "a")


def test_a_hierarchy_of_version_1_that_is_not_mounted_is_not_looked_for_in_version_2(tree: GroupTree) -> None:
    tree.stands("4:cpu:/a", "0::/a").mounts(("/", "unified", "cgroup2 rw")).group("unified/a", cpu__max="10000 100000")
    assert cgroups.standing("cpu", tree.proc) is None


def test_a_container_sees_its_own_group_at_the_mount(tree: GroupTree) -> None:
    tree.stands("0::/docker/abc/sub").mounts(("/docker/abc", ".", "cgroup2 rw"))
    tree.group(".", cpu__max="200000 100000").group("sub", cpu__max="max 100000")
    found = cgroups.standing("cpu", tree.proc)
    assert found is not None
    assert found.groups == (tree.groups / "sub", tree.groups)
    assert quota(tree) == 2.0


@pytest.mark.parametrize(("path", "root"), [("/", "/../.."), ("/", "/.."), ("/../../y", "/.."), ("/b", "/docker/abc")])
def test_where_no_name_tells_the_group_the_list_of_its_processes_does(path: str, root: str, tree: GroupTree) -> None:
    tree.stands(f"0::{path}").mounts((root, ".", "cgroup2 rw")).group("y", cgroup__procs="7", cpu__max="10000 100000")
    tree.group("x", cpu__max="300000 100000").group("x/ours", cgroup__procs=f"1\n{PID}", cpu__max="max 100000")
    assert quota(tree) == 3.0
    assert quota(tree.group("x/ours", cgroup__procs=f"{PID}0")) is None


def test_a_group_beside_the_namespaces_root_is_found_by_its_name(tree: GroupTree) -> None:
    tree.stands("0::/../other").mounts(("/..", ".", "cgroup2 rw")).group("other", cpu__max="50000 100000")
    assert quota(tree) == 0.5


def test_of_two_mounts_the_one_that_shows_more_parents_counts(tree: GroupTree) -> None:
    tree.stands("0::/a/b").mounts(("/a/b", "near", "cgroup2 rw"), ("/", "all of it", "cgroup2 rw"), ("/a", "mid", "cgroup2 rw"))
    tree.group("near").group("mid/b").group("all of it/a", cpu__max="50000 100000").group("all of it/a/b")
    assert quota(tree) == 0.5


# Throttled time


def test_throttled_time_is_in_seconds_in_both_versions(tree: GroupTree) -> None:
    told = "nr_periods 40\nnr_throttled 30\n"
    tree.unified("/a/b").group("a", cpu__max="150000 100000", cpu__stat=f"usage_usec 5\n{told}throttled_usec 2500000")
    tree.group("a/b", cpu__max="max 100000", cpu__stat="nr_periods 0\nnr_throttled 0\nthrottled_usec 0")
    one = Throttle(level=1, quota=1.5, periods=40, throttled_periods=30, throttled_s=2.5, used_s=pytest.approx(5e-6))
    assert cpu_quota.throttles(cgroups.standing("cpu", tree.proc)) == (one,)
    classic = GroupTree(tree.base / "1").classic("/a/b")
    classic.group("cpu,cpuacct/a/b")
    classic.group("cpu,cpuacct/a", cpu__cfs_quota_us="150000", cpu__cfs_period_us="100000")
    classic.group("cpu,cpuacct/a", cpu__stat=f"{told}throttled_time 2500000000\nwait_sum 9")
    (without,) = cpu_quota.throttles(cgroups.standing("cpu", classic.proc))
    assert (without, without.used_s) == (replace(one, used_s=None), None)
    classic.group("cpu,cpuacct/a", cpuacct__usage="5000\n")
    assert cpu_quota.throttles(cgroups.standing("cpu", classic.proc)) == (one,)


def test_a_quota_whose_group_counts_nothing_is_known_all_the_same(tree: GroupTree) -> None:
    tree.unified("/a").group("a", cpu__max="150000 100000", cpu__stat="usage_usec 5")
    (found,) = cpu_quota.throttles(cgroups.standing("cpu", tree.proc))
    assert (found.quota, found.periods) == (1.5, 0)


def test_a_quota_that_was_taken_away_has_still_counted(tree: GroupTree) -> None:
    tree.unified("/a").group("a", cpu__max="max 1", cpu__stat="nr_periods 4\nnr_throttled 3\nthrottled_usec 7")
    assert [one.quota for one in cpu_quota.throttles(cgroups.standing("cpu", tree.proc))] == [None]


# Cores that one may use


@pytest.mark.parametrize(
    ("count", "allowed", "usable", "threads"),
    [(2, None, 2, 2), (2, 1.5, 1.5, 2), (4, 2.0, 2, 2), (2, 8.0, 2, 2), (2, 0.25, 0.25, 1), (8, 2.0000001, 2.0000001, 3)],
)
def test_affinity_and_quota_bound_the_cores_together(count: int, allowed: float | None, usable: float, threads: int) -> None:
    found = cores.usable(count, allowed)
    assert (found, cores.fill(found)) == (usable, threads)
    assert isinstance(found, int) is (usable == int(usable))


def test_the_smallest_limit_of_memory_is_found_by_version(tree: GroupTree) -> None:
    files = {1: "memory.limit_in_bytes", 2: "memory.max"}
    tree.unified("/a/b").group("a", memory__max="1000").group("a/b", memory__max="max")
    assert cgroups.least(cgroups.standing("memory", tree.proc), files) == 1000
    assert cgroups.least(None, files) is None
