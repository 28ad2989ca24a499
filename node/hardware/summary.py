"""The hardware in one line, for banners and lists."""

from __future__ import annotations

from node.hardware.hardware import Hardware

GIB = 2**30


def summarise(hardware: Hardware) -> str:
    """For example "8 cores, 31 GiB memory, 412 GiB disk, NVIDIA GeForce RTX 3090 (24 GiB)"."""
    parts = []
    if hardware.processor is not None:
        cores = hardware.processor.usable_cores
        parts.append(f"{cores:g} core{'' if cores == 1 else 's'}")
    if hardware.memory is not None:
        parts.append(f"{hardware.memory.usable / GIB:.0f} GiB memory")
    if hardware.disk is not None:
        parts.append(f"{hardware.disk.free / GIB:.0f} GiB free disk")
    for card in hardware.accelerators:
        if card.kind != "display":
            size = f" ({card.memory_total / GIB:.0f} GiB)" if card.memory_total else ""
            parts.append(f"{card.name}{size}")
    return ", ".join(parts)
