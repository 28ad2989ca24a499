"""Memory, the limits of a container, and open files."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, skipped, warning
from node.doctor.patient import Patient
from node.hardware.container import probe_container
from node.hardware.hardware import Container, Memory
from node.hardware.memory import limit_memory, probe_memory

if sys.platform != "win32":
    import resource

AREA = "memory"
FILES = "open files"
MIB, GIB = 2**20, 2**30
LEAST_LIMIT = 256 * MIB
"""A gateway with a few hundred links needs about half of this."""
LEAST_AVAILABLE = 256 * MIB
LEAST_FILES = 1024
"""256 links, as many clients, files and room for an engine's connections."""


async def examine_memory(patient: Patient) -> Sequence[Finding]:
    """See `judge_memory` and `judge_files`."""
    root = patient.instruments.root
    found: list[Finding] = []
    try:
        container = await aside(lambda: probe_container(root))
        memory = limit_memory(await aside(lambda: probe_memory(root)), container)
        cap = patient.config.memory_cap if patient.config is not None else None
        found.append(judge_memory(memory, container, cap))
    except (OSError, ValueError) as error:
        found.append(skipped(AREA, f"The memory cannot be read ({type(error).__name__})"))
    return (*found, judge_files(_most_files()))


def judge_memory(memory: Memory, container: Container, cap: int | None) -> Finding:
    """Whether a node and a model fit; `cap` is the owner's `memory_cap`."""
    free, usable = _size(memory.available), _size(memory.usable)
    limited = memory.limit is not None
    where = f"the {container.runtime or 'control group'}'s limit of {usable}" if limited else usable
    if limited and memory.usable < LEAST_LIMIT:
        what = f"This process may use {usable} only"
        return problem(AREA, what, f"raise the container's memory limit above {_size(LEAST_LIMIT)}")
    if memory.available < LEAST_AVAILABLE:
        what = f"Only {free} of {where} is free"
        return warning(AREA, what, "end other programs, or raise the container's limit")
    if cap is not None and cap > memory.usable:
        what = f"memory_cap is {_size(cap)}, but there is only {where}"
        return warning(AREA, what, "lower memory_cap, or engines are killed by the system")
    return ok(AREA, f"{free} of {where} is free")


def judge_files(most: int | None) -> Finding:
    """Whether enough sockets can be open at once."""
    if most is None:
        return skipped(FILES, "This system has no such limit")
    if most < LEAST_FILES:
        what = f"A process of this user may open {most} files"
        return warning(FILES, what, f"run 'ulimit -n {LEAST_FILES * 4}' before the node starts")
    return ok(FILES, f"A process may open {most} files")


def _most_files() -> int | None:
    if sys.platform == "win32":
        return None
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2**31 if soft == resource.RLIM_INFINITY else soft


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
