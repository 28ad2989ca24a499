"""Graphics cards under /sys/class/drm."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from node.hardware.sysfs import read_int, read_pairs

MAX_CARDS = 64


@dataclass(frozen=True, slots=True)
class DrmCard:
    """One card with a kernel driver. `device` is its device folder."""

    index: int
    vendor: int
    device_id: int
    address: str
    driver: str
    folder: Path

    @property
    def device(self) -> Path:
        """The folder of the device behind the card."""
        return self.folder / "device"


def list_cards(root: Path, vendor: int) -> tuple[DrmCard, ...]:
    """The PCI cards of one vendor, in the kernel's order."""
    try:
        names = [place.name for place in (root / "sys/class/drm").iterdir()]
    except OSError:
        return ()
    numbers = sorted(int(name[4:]) for name in names if re.fullmatch(r"card\d{1,4}", name))
    cards = (read_card(root / f"sys/class/drm/card{n}", n) for n in numbers[:MAX_CARDS])
    return tuple(card for card in cards if card is not None and card.vendor == vendor)


def read_card(folder: Path, index: int) -> DrmCard | None:
    """One card; None when there is no PCI device behind it."""
    vendor, device = read_int(folder / "device/vendor"), read_int(folder / "device/device")
    if vendor is None or device is None:
        return None
    event = read_pairs(folder / "device/uevent", "=")
    address = event.get("PCI_SLOT_NAME", "").lower()
    return DrmCard(index, vendor, device, address, event.get("DRIVER", ""), folder)
