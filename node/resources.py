"""What a machine could give to models, out of what its probes found. Pure."""

from __future__ import annotations

from mesh.capability import Gpu, Resources
from node.hardware.hardware import Hardware

KEPT_FREE = 0.1
KEPT_AT_LEAST = 2**29
"""Share of the memory, and bytes, that the system and this node keep for themselves."""


def given_resources(hardware: Hardware | None) -> Resources:
    """Nothing while the machine is not known; cards that use the machine's memory do not count."""
    if hardware is None:
        return Resources()
    memory = 0 if hardware.memory is None else hardware.memory.usable
    memory = max(0, memory - max(int(memory * KEPT_FREE), KEPT_AT_LEAST))
    cards = (card for card in hardware.gpus if card.memory_total and not card.shared_memory)
    return Resources(
        cores=0.0 if hardware.processor is None else hardware.processor.usable_cores,
        memory=memory,
        gpus=tuple(Gpu(card.name, card.memory_total or 0) for card in cards),
    )
