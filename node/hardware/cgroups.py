"""Where the control groups of this process are mounted (cgroup v1, v2 and both at once).

Formats: cgroups(7) and proc_pid_mountinfo(5), man7.org, 2025-05.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from node.hardware.sysfs import read_text

DEFAULT_POINT = "/sys/fs/cgroup"
"""Where cgroup v2 is when mountinfo cannot be read."""


@dataclass(frozen=True, slots=True)
class Membership:
    """One line of /proc/self/cgroup. No controllers: the unified (v2) hierarchy."""

    controllers: frozenset[str]
    path: str


@dataclass(frozen=True, slots=True)
class Mount:
    """One mounted hierarchy. `root` is the group that is visible at `point`."""

    version: int
    controllers: frozenset[str]
    root: str
    point: str


def parse_memberships(text: str) -> tuple[Membership, ...]:
    """Read /proc/self/cgroup. Lines that are none are passed over."""
    found = []
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/"):
            found.append(Membership(frozenset(filter(None, parts[1].split(","))), parts[2]))
    return tuple(found)


def parse_mounts(text: str) -> tuple[Mount, ...]:
    """The cgroup mounts in /proc/self/mountinfo."""
    found = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields, tail = left.split(), right.split()
        if dash and len(fields) >= 6 and len(tail) >= 3 and tail[0] in ("cgroup", "cgroup2"):
            version = 2 if tail[0] == "cgroup2" else 1
            controllers = frozenset(tail[2].split(",")) if version == 1 else frozenset[str]()
            found.append(Mount(version, controllers, unescape(fields[3]), unescape(fields[4])))
    return tuple(found)


def unescape(field: str) -> str:
    """Undo mountinfo's octal escapes (space is \\040)."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def steps_below(root: str, path: str) -> tuple[str, ...] | None:
    """The names that lead from group `root` down to `path`; None when it does not lie below."""
    outer, inner = PurePosixPath(root), PurePosixPath(path)
    if ".." in outer.parts or ".." in inner.parts or not inner.is_relative_to(outer):
        return None
    return inner.relative_to(outer).parts


def folders_of(membership: Membership, mounts: tuple[Mount, ...]) -> tuple[str, ...]:
    """Folders of the process's group and of its visible parents, innermost first.

    A group that no mount shows (another cgroup namespace) is taken to be the mount point itself,
    which is where a container sees its own limits.
    """
    fitting = [mount for mount in mounts if shows(mount, membership)]
    point = fitting[0].point if fitting else DEFAULT_POINT
    steps: tuple[str, ...] = ()
    for mount in fitting:
        way = steps_below(mount.root, membership.path)
        if way is not None:
            point, steps = mount.point, way
            break
    return tuple(str(PurePosixPath(point, *steps[:n])) for n in range(len(steps), -1, -1))


def shows(mount: Mount, membership: Membership) -> bool:
    """True when `mount` is of the membership's hierarchy."""
    if membership.controllers:
        return bool(mount.controllers & membership.controllers)
    return mount.version == 2


def read_memberships(root: Path) -> tuple[Membership, ...]:
    """The groups this process is in; empty where there are no control groups."""
    return parse_memberships(read_text(root / "proc/self/cgroup") or "")


def read_mounts(root: Path) -> tuple[Mount, ...]:
    """The cgroup hierarchies mounted for this process."""
    return parse_mounts(read_text(root / "proc/self/mountinfo") or "")
