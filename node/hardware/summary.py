"""The hardware in one line, for banners and lists."""

from __future__ import annotations

from node.hardware.hardware import Hardware

MIB, GIB = 2**20, 2**30


def summarise(hardware: Hardware) -> str:
    """For example "8 cores, 31 GiB memory, 412 GiB free disk, NVIDIA GeForce RTX 3090 (24 GiB)"."""
    parts = []
    if hardware.processor is not None:
        cores = hardware.processor.usable_cores
        parts.append(f"{cores:g} core{'' if cores == 1 else 's'}")
    if hardware.memory is not None:
        parts.append(f"{_size(hardware.memory.usable)} memory")
    if hardware.disk is not None:
        parts.append(f"{_size(hardware.disk.free)} free disk")
    for card in hardware.accelerators:
        if card.kind != "display":
            size = f" ({_size(card.memory_total)})" if card.memory_total else ""
            parts.append(f"{card.name}{size}")
    return ", ".join(parts)


def _size(count: int) -> str:
    return f"{count / GIB:.0f} GiB" if count >= GIB else f"{count / MIB:.0f} MiB"
