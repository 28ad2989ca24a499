"""What the mesh is asked to keep running: the declared target of each service."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TARGETS = 1024
"""Targets of one mesh."""
MAX_TARGET_NAME = 64
"""Characters of a target's name and of its engine's name."""
MAX_REPLICAS = 10_000


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """One service the mesh is to keep covered, and what one copy of it needs."""

    name: str
    """Unique in the mesh."""
    model: str
    engine: str = ""
    """The engine that must run it; empty: any that can."""
    priority: int = 1
    """Lower is more critical."""
    min_replicas: int = 1
    memory: int = 0
    """Bytes of main memory one copy needs."""
    gpu_memory: int = 0
    """Bytes of GPU memory one copy needs; 0: it runs without a GPU."""
