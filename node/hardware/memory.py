"""The machine's memory, from /proc/meminfo or, where there is none, from psutil."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psutil

from node.hardware.hardware import Container, Memory
from node.hardware.sysfs import parse_pairs, read_text

KIB = 1024


def probe_memory(root: Path) -> Memory:
    """Total and available bytes. Raises OSError or ValueError when nothing tells."""
    text = read_text(root / "proc/meminfo")
    if text:
        return parse_meminfo(text)
    if root != Path("/"):
        raise FileNotFoundError(f"no meminfo below {root}")
    measured = psutil.virtual_memory()
    return Memory(total=int(measured.total), available=int(measured.available))


def parse_meminfo(text: str) -> Memory:
    """Read /proc/meminfo. Kernels before 3.14 have no MemAvailable: free and caches stand in."""
    sizes = {
        name: int(value.removesuffix("kB")) * KIB
        for name, value in parse_pairs(text, ":").items()
        if value.endswith("kB")
    }
    if "MemTotal" not in sizes:
        raise ValueError("meminfo does not tell MemTotal")
    rough = sum(sizes.get(name, 0) for name in ("MemFree", "Buffers", "Cached"))
    return Memory(total=sizes["MemTotal"], available=sizes.get("MemAvailable", rough))


def limit_memory(memory: Memory, container: Container) -> Memory:
    """The same memory with a container's limit applied; a limit above `total` is none."""
    if container.memory is None or container.memory >= memory.total:
        return memory
    left = container.memory if container.memory_free is None else container.memory_free
    return replace(memory, limit=container.memory, available=min(memory.available, left))
