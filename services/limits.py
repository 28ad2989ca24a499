"""What a machine gives at most, as its owner set it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

MAX_SLOTS = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """None: no limit but the engines' own and the machine's."""

    slots: int | None = None
    """Jobs at once over all engines."""
    memory: int | None = None
    """Bytes of main memory of the node's process and its children."""
    gpu_memory: int | None = None
    """Bytes of all graphics cards together."""


LIMITS = ("slots", "memory", "gpu_memory")


def override(configured: Limits, changes: Mapping[str, int]) -> Limits:
    """The configured limits with those replaced that were set while the node ran."""
    return replace(configured, **changes)
