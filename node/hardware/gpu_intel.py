"""Intel GPUs from sysfs: drivers i915 and xe."""

from __future__ import annotations

from pathlib import Path

from node.hardware.drm import DrmCard, list_cards
from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.pci import INTEL, describe
from node.hardware.sysfs import read_int

DRIVERS = ("i915", "xe")
MAX_TILES = 8


def probe_intel(root: Path) -> Accelerators:
    """All Intel cards. Usable when i915 or xe drives them and a render node can be reached."""
    cards = list_cards(root, INTEL)
    return Accelerators(tuple(read_card(root, card, n) for n, card in enumerate(cards)))


def read_card(root: Path, card: DrmCard, index: int) -> Accelerator:
    """One card. Without memory of its own it works in the machine's."""
    memory = read_memory(card)
    return Accelerator(
        vendor="Intel",
        name=describe(root, INTEL, card.device_id),
        index=index,
        address=card.address,
        memory_total=memory,
        # Function 2 of the host bus is where every Intel processor keeps its own graphics.
        shared_memory=memory is None and card.address.endswith(":00:02.0"),
        driver=card.driver,
        usable=card.driver in DRIVERS and has_render_node(root, card),
    )


def read_memory(card: DrmCard) -> int | None:
    """Bytes of the card's own memory: i915's lmem_total_bytes or the sum of xe's tiles."""
    for place in (card.folder, card.device):
        local = read_int(place / "lmem_total_bytes")
        if local:
            return local
    tiles = (card.device / f"tile{n}/physical_vram_size_bytes" for n in range(MAX_TILES))
    return sum(size for size in map(read_int, tiles) if size) or None


def has_render_node(root: Path, card: DrmCard) -> bool:
    """True when /dev/dri has the card's render node."""
    try:
        nodes = [place.name for place in (card.device / "drm").iterdir()]
    except OSError:
        return False
    return any(n.startswith("renderD") and (root / "dev/dri" / n).exists() for n in nodes)
