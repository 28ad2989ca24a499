"""AMD GPUs from sysfs: amdgpu's memory files and the compute topology of amdkfd.

Linux 6.12: gpu/amdgpu/driver-misc.html, and kfd_topology.c for the topology's files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from node.hardware.drm import DrmCard, list_cards
from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.pci import AMD, describe
from node.hardware.sysfs import parse_int, read_int, read_pairs, read_text

MAX_NODES = 64


def probe_amd(root: Path) -> Accelerators:
    """All AMD cards. Usable when amdgpu drives them and /dev/kfd can be reached."""
    cards = [read_card(root, card) for card in list_cards(root, AMD)]
    targets = read_targets(root)
    reachable = (root / "dev/kfd").exists()
    found = tuple(
        replace(card, index=n, architecture=target, usable=bool(reachable and target))
        for n, card in enumerate(cards)
        for target in [targets.get(card.address, "")]
    )
    return Accelerators(found)


def read_card(root: Path, card: DrmCard) -> Accelerator:
    """Name and memory of one card; the memory is unknown without the amdgpu driver."""
    total = read_int(card.device / "mem_info_vram_total")
    used = read_int(card.device / "mem_info_vram_used")
    name = read_text(card.device / "product_name") or describe(root, AMD, card.device_id)
    return Accelerator(
        vendor="AMD",
        name=name,
        uuid=read_text(card.device / "unique_id") or "",
        address=card.address,
        memory_total=total,
        memory_free=None if total is None or used is None else max(0, total - used),
        driver=card.driver,
        utilisation=read_int(card.device / "gpu_busy_percent"),
    )


def read_targets(root: Path) -> dict[str, str]:
    """PCI address to LLVM target of every GPU in the compute topology."""
    found = {}
    nodes = root / "sys/class/kfd/kfd/topology/nodes"
    for number in range(MAX_NODES):
        properties = read_pairs(nodes / str(number) / "properties")
        target = target_name(parse_int(properties.get("gfx_target_version")) or 0)
        location = parse_int(properties.get("location_id"))
        if target and location is not None:
            domain = parse_int(properties.get("domain")) or 0
            found[pci_address(domain, location)] = target
    return found


def target_name(version: int) -> str:
    """100300 is gfx1030 and 90010 is gfx90a; empty for 0, which is a processor."""
    if version <= 0:
        return ""
    return f"gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}"


def pci_address(domain: int, location: int) -> str:
    """The address in sysfs' form: `location` is bus << 8 | device << 3 | function."""
    return f"{domain:04x}:{location >> 8 & 0xFF:02x}:{location >> 3 & 0x1F:02x}.{location & 7}"
