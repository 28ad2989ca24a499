"""PCI devices that compute or show pictures, with or without a driver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from node.hardware.hardware import AcceleratorKind
from node.hardware.sysfs import read_int, read_pairs, read_text

NVIDIA, AMD, INTEL = 0x10DE, 0x1002, 0x8086

CLASS_DISPLAY, CLASS_PROCESSING = 0x03, 0x12
"""Base classes of PCI Code and ID Assignment 1.16: display controller, processing accelerator."""

VENDORS = {
    NVIDIA: "NVIDIA",
    AMD: "AMD",
    INTEL: "Intel",
    0x1022: "AMD",
    0x1DA3: "Habana",
    0x1E52: "Tenstorrent",
    0x1AC1: "Google",
    0x1E60: "Hailo",
    0x1ED2: "FuriosaAI",
    0x1EFF: "Rebellions",
    0x19E5: "Huawei",
    0x17CB: "Qualcomm",
    0x1ED5: "Moore Threads",
    0x5143: "Qualcomm",
}
DISPLAY_ONLY = frozenset(
    {
        0x1013,  # Cirrus, as emulated
        0x102B,  # Matrox, on server boards
        0x1234,  # QEMU and Bochs
        0x1414,  # Hyper-V
        0x15AD,  # VMware
        0x1A03,  # ASPEED, on server boards
        0x1AF4,  # virtio
        0x1B36,  # QXL
        0x80EE,  # VirtualBox
    }
)
NAME_FILES = ("usr/share/hwdata/pci.ids", "usr/share/misc/pci.ids")
MAX_DEVICES = 64
"""Accelerators looked at; the largest servers hold 16."""


@dataclass(frozen=True, slots=True)
class PciDevice:
    """One display controller or processing accelerator."""

    address: str
    vendor: int
    device: int
    base_class: int
    driver: str
    """Kernel module bound to it; empty when none is."""

    @property
    def kind(self) -> AcceleratorKind:
        """What it is good for, by class and vendor."""
        if self.base_class == CLASS_PROCESSING:
            return "npu"
        return "display" if self.vendor in DISPLAY_ONLY else "gpu"


def list_devices(root: Path) -> tuple[PciDevice, ...]:
    """All display controllers and processing accelerators, by address."""
    folder = root / "sys/bus/pci/devices"
    try:
        places = sorted(folder.iterdir())
    except OSError:
        return ()
    found = (read_device(place) for place in places)
    return tuple(device for device in found if device is not None)[:MAX_DEVICES]


def read_device(folder: Path) -> PciDevice | None:
    """One device; None unless it is a display controller or processing accelerator."""
    base_class = (read_int(folder / "class") or 0) >> 16
    vendor, device = read_int(folder / "vendor"), read_int(folder / "device")
    if base_class not in (CLASS_DISPLAY, CLASS_PROCESSING) or vendor is None or device is None:
        return None
    driver = read_pairs(folder / "uevent", "=").get("DRIVER", "")
    return PciDevice(folder.name, vendor, device, base_class, driver)


def vendor_name(vendor: int) -> str:
    """The maker's name, or the id as four hex digits."""
    return VENDORS.get(vendor, f"{vendor:04x}")


def describe(root: Path, vendor: int, device: int, kind: AcceleratorKind = "gpu") -> str:
    """The name in the machine's list of PCI names, else maker, kind and ids."""
    for name_file in NAME_FILES:
        listed = find_name(read_text(root / name_file) or "", vendor, device)
        if listed:
            return listed
    what = "display adapter" if kind == "display" else kind.upper()
    return f"{vendor_name(vendor)} {what} {vendor:04x}:{device:04x}"


def find_name(pci_ids: str, vendor: int, device: int) -> str:
    """Look a device up in the text of pci.ids (pci-ids.ucw.cz); empty when it is not listed."""
    inside = False
    for line in pci_ids.splitlines():
        if line and line[0] not in "\t#":
            inside = line.startswith(f"{vendor:04x} ")
        elif inside and line.startswith(f"\t{device:04x} "):
            return line[6:].strip()
    return ""
