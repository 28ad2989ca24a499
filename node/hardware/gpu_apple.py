"""GPUs of a Mac, from `system_profiler SPDisplaysDataType -json` and `sysctl -n hw.memsize`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from node.hardware.command import capture
from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.sysfs import parse_int

PROFILER = ("/usr/sbin/system_profiler", "SPDisplaysDataType", "-json")
MEMORY = ("/usr/sbin/sysctl", "-n", "hw.memsize")
UNITS = {"MB": 1024**2, "GB": 1024**3}
MAX_CARDS = 16


def probe_apple() -> Accelerators:
    """Ask the two commands. Raises OSError or subprocess.SubprocessError when they fail."""
    return Accelerators(parse_displays(capture(*PROFILER), parse_int(capture(*MEMORY))))


def parse_displays(text: str, memory: int | None) -> tuple[Accelerator, ...]:
    """Cards in system_profiler's answer. `memory` is the machine's, which Apple's GPUs share.

    Raises ValueError when `text` is not JSON.
    """
    answer = json.loads(text)
    entries = answer.get("SPDisplaysDataType") if isinstance(answer, dict) else None
    cards = [entry for entry in entries or () if isinstance(entry, dict)][:MAX_CARDS]
    return tuple(parse_card(card, n, memory) for n, card in enumerate(cards))


def parse_card(card: Mapping[str, Any], index: int, memory: int | None) -> Accelerator:
    """One card: Apple's share the machine's memory, others tell their own."""
    apple = "apple" in str(card.get("spdisplays_vendor", "")).lower()
    own = parse_size(card.get("spdisplays_vram"))
    cores = parse_int(str(card.get("sppci_cores", "")))
    name = str(card.get("sppci_model") or card.get("_name") or "GPU")
    metal = card.get("spdisplays_mtlgpufamilysupport") or card.get("spdisplays_metal")
    family = str(metal or "").removeprefix("spdisplays_")
    return Accelerator(
        vendor="Apple" if apple else vendor_of(str(card.get("spdisplays_vendor", ""))),
        name=f"{name}, {cores} cores" if cores else name,
        index=index,
        memory_total=memory if apple else own,
        shared_memory=apple or (own is None and "spdisplays_vram_shared" in card),
        driver="Metal" if family else "",
        architecture=family if family.startswith("metal") else "",
        usable=bool(family) and family != "notsupported",
    )


def vendor_of(text: str) -> str:
    """`sppci_vendor_intel` and `NVIDIA (0x10de)` as a plain name."""
    lower = text.lower()
    for mark, name in (("intel", "Intel"), ("amd", "AMD"), ("ati", "AMD"), ("nvidia", "NVIDIA")):
        if mark in lower:
            return name
    return text


def parse_size(value: object) -> int | None:
    """`8 GB` in bytes; None for anything else."""
    match = re.fullmatch(r"(\d+) (MB|GB)", str(value))
    return int(match[1]) * UNITS[match[2]] if match else None
