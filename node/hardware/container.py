"""What a container (or a systemd slice) lets this process use.

cgroup v2: kernel.org admin-guide/cgroup-v2.html; v1: admin-guide/cgroup-v1/memory.html and
scheduler/sched-bwc.html (all of Linux 6.12). A parent's limit holds for its children, so the
smallest on the way up counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from node.hardware.cgroups import Membership, Mount, folders_of, read_memberships, read_mounts
from node.hardware.hardware import CgroupVersion, Container
from node.hardware.sysfs import parse_int, read_int, read_pairs, read_text

LIMITING = frozenset({"cpu", "memory"})
"""The controllers whose limits are read."""
NO_LIMIT = 1 << 60
"""cgroup v1 writes "no limit" as the largest multiple of a page; no machine has an exbibyte."""

RUNTIMES_BY_PATH = (
    ("kubepods", "kubernetes"),
    ("libpod", "podman"),
    ("docker", "docker"),
    ("cri-containerd", "containerd"),
    ("lxc", "lxc"),
)


def probe_container(root: Path) -> Container:
    """Limits of this process's control groups, read under `root`."""
    memberships, mounts = read_memberships(root), read_mounts(root)
    v1 = _folders(root, (m for m in memberships if m.controllers & LIMITING), mounts)
    v2 = _folders(root, (m for m in memberships if not m.controllers), mounts)
    memory = [*map(memory_limit_v1, v1), *map(memory_limit_v2, v2)]
    limits = [limit for limit, _ in memory if limit is not None]
    free = [left for _, left in memory if left is not None]
    cpus = [c for c in (*map(cpu_limit_v1, v1), *map(cpu_limit_v2, v2)) if c is not None]
    return Container(
        runtime=find_runtime(root, memberships),
        cgroup=cgroup_version(memberships, mounts),
        cpus=min(cpus, default=None),
        memory=min(limits, default=None),
        memory_free=min(free, default=None),
    )


def _folders(
    root: Path, memberships: Iterable[Membership], mounts: tuple[Mount, ...]
) -> tuple[Path, ...]:
    """Every folder to look into, once each."""
    found: dict[Path, None] = {}
    for membership in memberships:
        for folder in folders_of(membership, mounts):
            found[root / folder.lstrip("/")] = None
    return tuple(found)


def cpu_limit_v2(folder: Path) -> float | None:
    """Cores granted by cpu.max ("200000 100000" is 2), None for "max"."""
    quota, _, period = (read_text(folder / "cpu.max") or "").partition(" ")
    return _quota(parse_int(quota), parse_int(period) or 100_000)


def cpu_limit_v1(folder: Path) -> float | None:
    """Cores granted by cpu.cfs_quota_us, None for -1."""
    quota = read_int(folder / "cpu.cfs_quota_us")
    return _quota(quota, read_int(folder / "cpu.cfs_period_us") or 100_000)


def _quota(quota: int | None, period: int) -> float | None:
    if quota is None or quota <= 0 or period <= 0:
        return None
    return quota / period


def memory_limit_v2(folder: Path) -> tuple[int | None, int | None]:
    """memory.max and what is left below it; None for "max"."""
    limit = parse_int(read_text(folder / "memory.max"))
    used = read_int(folder / "memory.current")
    cache = parse_int(read_pairs(folder / "memory.stat").get("inactive_file"))
    return limit, _left(limit, used, cache)


def memory_limit_v1(folder: Path) -> tuple[int | None, int | None]:
    """The limit of this group and of parents that cannot be seen, and what is left of it."""
    stat = read_pairs(folder / "memory.stat")
    own = read_int(folder / "memory.limit_in_bytes")
    inherited = parse_int(stat.get("hierarchical_memory_limit"))
    limits = [limit for limit in (own, inherited) if limit is not None and limit < NO_LIMIT]
    limit = min(limits, default=None)
    used = read_int(folder / "memory.usage_in_bytes")
    return limit, _left(limit, used, parse_int(stat.get("total_inactive_file")))


def _left(limit: int | None, used: int | None, reclaimable: int | None) -> int | None:
    if limit is None or used is None:
        return limit
    return max(0, limit - max(0, used - (reclaimable or 0)))


def cgroup_version(memberships: tuple[Membership, ...], mounts: tuple[Mount, ...]) -> CgroupVersion:
    """Which hierarchy limits CPU and memory; hybrid when v1 does and v2 is mounted beside it."""
    old = any(m.controllers & LIMITING for m in memberships)
    unified = any(mount.version == 2 for mount in mounts)
    if old:
        return "hybrid" if unified else "v1"
    return "v2" if any(not m.controllers for m in memberships) else ""


def find_runtime(root: Path, memberships: tuple[Membership, ...]) -> str:
    """The container runtime by the marks it leaves; empty when there are none."""
    environ = (read_text(root / "proc/self/environ") or "").split("\0")
    if any(entry.startswith("KUBERNETES_SERVICE_HOST=") for entry in environ):
        return "kubernetes"
    if (root / "run/.containerenv").exists():
        return "podman"
    if (root / ".dockerenv").exists():
        return "docker"
    paths = " ".join(membership.path for membership in memberships)
    by_path = next((name for mark, name in RUNTIMES_BY_PATH if mark in paths), "")
    return by_path or read_text(root / "run/systemd/container") or ""
