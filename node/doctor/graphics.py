"""Graphics cards: drivers that are missing, half updated, or out of reach."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from node.doctor.aside import aside
from node.doctor.finding import Finding, ok, problem, warning
from node.doctor.patient import Patient
from node.hardware.accelerators import merge_accelerators, probe_pci
from node.hardware.gpu_amd import probe_amd
from node.hardware.gpu_intel import probe_intel
from node.hardware.gpu_nvidia import probe_nvidia
from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.sysfs import read_text

AREA = "graphics"
_MISMATCH = re.compile(r"version mismatch", re.IGNORECASE)
_VERSION = re.compile(r"\b(\d{3}\.\d{1,3}(?:\.\d{1,3})?)\b")


@dataclass(frozen=True, slots=True)
class GraphicsFacts:
    """Cards by what shows them, and what the NVIDIA kernel module says it is."""

    cards: tuple[Accelerator, ...] = ()
    notes: tuple[str, ...] = ()
    """What the vendors' libraries said went wrong."""
    module: str = ""
    """Version of the loaded NVIDIA kernel module; empty when none is loaded."""
    kfd: bool = False
    """/dev/kfd is there (AMD)."""


async def examine_graphics(patient: Patient) -> Sequence[Finding]:
    """See `judge_graphics`."""
    root = patient.instruments.root
    return judge_graphics(await aside(lambda: look_at(root)))


def look_at(root: Path, nvidia: Callable[[], Accelerators] = probe_nvidia) -> GraphicsFacts:
    """Ask the vendors' probes, the PCI bus and the kernel. Blocks for as long as drivers do."""
    vendors = (nvidia(), probe_amd(root), probe_intel(root))
    merged = merge_accelerators((*vendors, probe_pci(root)))
    version = _VERSION.search(read_text(root / "proc/driver/nvidia/version") or "")
    return GraphicsFacts(
        cards=merged.found,
        notes=tuple(note for part in vendors for note in part.notes),
        module=version[1] if version else "",
        kfd=(root / "dev/kfd").exists(),
    )


def judge_graphics(facts: GraphicsFacts) -> tuple[Finding, ...]:
    """One finding a trouble, else one for all cards."""
    troubles = [_judge_note(note, facts.module) for note in facts.notes]
    gpus = [card for card in facts.cards if card.kind == "gpu"]
    nvidia = [card for card in gpus if card.vendor == "NVIDIA"]
    if not troubles and facts.module and not any(card.usable for card in nvidia):
        what = f"The NVIDIA driver {facts.module} is loaded, but its library does not answer"
        cure = "install the driver's user part (libnvidia-compute), or start the container with "
        troubles.append(problem(AREA, what, cure + "--gpus all"))
    for card in gpus:
        if not card.usable and not (card.vendor == "NVIDIA" and troubles):
            troubles.append(_judge_idle(card, facts.kfd))
    usable = [card for card in gpus if card.usable]
    if usable:
        names = ", ".join(card.name for card in usable)
        return (*troubles, ok(AREA, f"{names}: ready to compute"))
    return tuple(troubles) or (ok(AREA, "No graphics card: models run on the processor"),)


def _judge_note(note: str, module: str) -> Finding:
    if _MISMATCH.search(note):
        loaded = f" {module}" if module else ""
        what = f"The NVIDIA kernel module{loaded} and its library are of different versions"
        cure = "restart the machine: the driver was updated while the old one was loaded"
        return problem(AREA, what, cure, note)
    return problem(
        AREA,
        "The NVIDIA driver reports an error",
        "reinstall the driver, or restart the machine",
        note,
    )


def _judge_idle(card: Accelerator, kfd: bool) -> Finding:
    what = f"{card.vendor} graphics card {card.address} cannot be computed on"
    if card.vendor == "NVIDIA" and card.driver == "nouveau":
        cure = "replace the nouveau driver by NVIDIA's own"
    elif card.vendor == "NVIDIA":
        cure = "install the NVIDIA driver, or start the container with --gpus all"
    elif card.vendor == "AMD" and kfd:
        cure = "add the user to the groups 'render' and 'video'; the card may be too old for ROCm"
    elif card.vendor == "AMD":
        cure = "install ROCm's kernel driver, or pass /dev/kfd and /dev/dri into the container"
    elif card.vendor == "Intel":
        cure = "load the i915 or xe driver, or pass /dev/dri into the container"
    else:
        cure = "install its maker's driver; without it models run on the processor"
    return warning(AREA, what, cure)
