"""What a container may use, on recorded and composed control groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.hardware.cgroups import (
    Membership,
    Mount,
    folders_of,
    parse_memberships,
    parse_mounts,
    steps_below,
)
from node.hardware.container import cpu_limit_v1, cpu_limit_v2, memory_limit_v1, probe_container
from node.hardware.hardware import Container

GIB = 2**30
MEMORY = frozenset({"memory"})

Plant = Callable[[str], Path]


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        ("podman-v1", ("podman", "v1", 2.0, 4 * GIB)),
        ("podman-v1-host-namespace", ("podman", "v1", 2.0, 4 * GIB)),
        ("docker-v2", ("docker", "v2", 2.0, 4 * GIB)),
        ("nested-group-hybrid", ("docker", "hybrid", 2.0, 4 * GIB)),
        ("hidden-parent-v1", ("", "v1", 2.0, 4 * GIB)),
        ("kubernetes-v2-pod", ("kubernetes", "v2", 2.5, 4 * GIB)),
        ("desktop-v2", ("", "v2", None, None)),
    ],
)
def test_a_container_says_what_it_was_given(
    plant: Plant, tree: str, expected: tuple[object, ...]
) -> None:
    found = probe_container(plant(tree))
    assert (found.runtime, found.cgroup, found.cpus, found.memory) == expected


def test_file_cache_that_can_be_dropped_counts_as_free(plant: Plant) -> None:
    used, cache = 1610612736, 536870912
    assert probe_container(plant("docker-v2")).memory_free == 4 * GIB - (used - cache)


def test_a_full_parent_leaves_little_to_a_child_with_room(plant: Plant) -> None:
    assert probe_container(plant("kubernetes-v2-pod")).memory_free == 4 * GIB - 4026531840


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert probe_container(tmp_path) == Container()


def test_without_mountinfo_the_usual_place_is_read(plant: Plant) -> None:
    root = plant("docker-v2")
    (root / "proc/self/mountinfo").unlink()
    assert probe_container(root).cpus == 2.0


def test_kubernetes_is_known_by_the_environment_it_sets(plant: Plant) -> None:
    root = plant("desktop-v2")
    (root / "proc/self/environ").write_text("HOME=/\0KUBERNETES_SERVICE_HOST=10.0.0.1\0")
    assert probe_container(root).runtime == "kubernetes"


def test_systemd_names_the_runtimes_that_leave_no_other_mark(plant: Plant) -> None:
    root = plant("desktop-v2")
    (root / "run/systemd").mkdir(parents=True)
    (root / "run/systemd/container").write_text("systemd-nspawn\n")
    assert probe_container(root).runtime == "systemd-nspawn"


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("150000 100000", 1.5),
        ("50000 100000", 0.5),
        ("200000", 2.0),
        ("max 100000", None),
        ("0 100000", None),
        ("", None),
        ("nonsense", None),
        ("100000 -5", None),
    ],
)
def test_cpu_max(tmp_path: Path, text: str, cores: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu_limit_v2(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("300000", 3.0), ("-1", None), ("x", None)])
def test_cfs_quota(tmp_path: Path, quota: str, cores: float | None) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text(quota)
    (tmp_path / "cpu.cfs_period_us").write_text("100000")
    assert cpu_limit_v1(tmp_path) == cores


@pytest.mark.parametrize("unlimited", ["9223372036854771712", "9223372036854710272", "-1x"])
def test_the_huge_number_of_cgroup_v1_is_no_limit(tmp_path: Path, unlimited: str) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text(unlimited)
    (tmp_path / "memory.usage_in_bytes").write_text("4096")
    assert memory_limit_v1(tmp_path) == (None, None)


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    (tmp_path / "memory.limit_in_bytes").write_text("1000")
    (tmp_path / "memory.usage_in_bytes").write_text("1200")
    assert memory_limit_v1(tmp_path) == (1000, 0)


def test_parents_are_read_up_to_the_mount() -> None:
    mount = Mount(1, MEMORY, "/", "/sys/fs/cgroup/memory")
    assert folders_of(Membership(MEMORY, "/a/b"), (mount,)) == (
        "/sys/fs/cgroup/memory/a/b",
        "/sys/fs/cgroup/memory/a",
        "/sys/fs/cgroup/memory",
    )


def test_the_mount_that_shows_the_group_is_preferred() -> None:
    other = Mount(1, MEMORY, "/other", "/mnt/other")
    fitting = Mount(1, MEMORY, "/a", "/mnt/a")
    assert folders_of(Membership(MEMORY, "/a/b"), (other, fitting)) == ("/mnt/a/b", "/mnt/a")


@pytest.mark.parametrize("path", ["/../sibling", "/elsewhere"])
def test_a_group_outside_of_the_mount_is_seen_at_the_mount(path: str) -> None:
    mount = Mount(2, frozenset(), "/mine", "/sys/fs/cgroup")
    assert folders_of(Membership(frozenset(), path), (mount,)) == ("/sys/fs/cgroup",)


@pytest.mark.parametrize(
    ("root", "path", "steps"),
    [("/", "/", ()), ("/", "/a/b", ("a", "b")), ("/a", "/a", ()), ("/a", "/ab", None)],
)
def test_steps_follow_whole_names(root: str, path: str, steps: tuple[str, ...] | None) -> None:
    assert steps_below(root, path) == steps


def test_lines_that_are_no_memberships_are_passed_over() -> None:
    text = "garbage\n1:cpu\n2:cpu:relative\n3:cpu,cpuacct:/with:colon\n"
    assert parse_memberships(text) == (Membership(frozenset({"cpu", "cpuacct"}), "/with:colon"),)


def test_mount_points_with_spaces_and_optional_fields() -> None:
    text = "1 2 0:3 / /my\\040groups rw shared:9 master:1 - cgroup2 cgroup2 rw\n4 5 short\n"
    assert parse_mounts(text) == (Mount(2, frozenset(), "/", "/my groups"),)
