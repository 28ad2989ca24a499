"""All accelerators of a machine, each once, with advice on those that cannot be used."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.pci import PciDevice, describe, list_devices, vendor_name

RESERVED = ("vfio-pci", "pci-stub")
"""Drivers that hold a card for a virtual machine."""
ADVICE = {
    "NVIDIA": "NVML does not show it; install the NVIDIA driver, or start the container with "
    "--gpus all",
    "AMD": "no compute through /dev/kfd; install ROCm's kernel driver, or pass /dev/kfd and "
    "/dev/dri into the container",
    "Intel": "no render node under /dev/dri; load i915 or xe, or pass /dev/dri into the container",
}


def probe_pci(root: Path) -> Accelerators:
    """Accelerators on the PCI bus. Whether they are usable is for the vendors' probes to say."""
    return Accelerators(tuple(of_device(root, device) for device in list_devices(root)))


def of_device(root: Path, device: PciDevice) -> Accelerator:
    """A PCI device as an accelerator of which only the ids are known."""
    return Accelerator(
        vendor=vendor_name(device.vendor),
        name=describe(root, device.vendor, device.device, device.kind),
        kind=device.kind,
        address=device.address,
        driver=device.driver,
    )


def merge_accelerators(parts: Iterable[Accelerators]) -> Accelerators:
    """Each accelerator as the first part with its PCI address shows it, and all notes.

    Order matters: the vendors' probes know more than the PCI bus and come first.
    """
    found: list[Accelerator] = []
    notes: list[str] = []
    seen: set[str] = set()
    for part in parts:
        fresh = [card for card in part.found if not card.address or card.address not in seen]
        seen.update(card.address for card in fresh)
        found.extend(fresh)
        notes.extend(part.notes)
    advice = (advise(card) for card in found)
    return Accelerators(tuple(found), (*notes, *(text for text in advice if text)))


def advise(card: Accelerator) -> str:
    """What would make a GPU usable; empty when it is, or when nothing is known to help."""
    if card.usable or card.kind != "gpu":
        return ""
    where = f"{card.vendor} GPU {card.address}".rstrip()
    if card.driver in RESERVED:
        return f"{where}: {card.driver} keeps it for a virtual machine"
    advice = ADVICE.get(card.vendor, "")
    return f"{where}: {advice}" if advice else ""
