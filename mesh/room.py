"""Whether models fit into a machine: bytes of main memory, and bytes on single accelerators."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.capability import Resources, Runnable

NO_CARD = -1


@dataclass(frozen=True, slots=True)
class Need:
    """What one running model takes, in bytes. `gpu_memory` must lie on one card."""

    memory: int = 0
    gpu_memory: int = 0


NOTHING = Need()


def need_of(runnable: Runnable) -> Need:
    """What a node says that a model takes there."""
    return Need(runnable.memory, runnable.gpu_memory)


def fits(resources: Resources, need: Need) -> bool:
    """Whether a machine has what a model takes when nothing else runs there."""
    if need.memory > resources.memory:
        return False
    return not need.gpu_memory or any(gpu.memory >= need.gpu_memory for gpu in resources.gpus)


class Room:
    """What is left of a node's resources. Cards are filled best fit; a model counts once."""

    __slots__ = ("_taken", "cards", "memory")

    def __init__(self, resources: Resources) -> None:
        self.memory = resources.memory
        self.cards = [gpu.memory for gpu in resources.gpus]
        """Free bytes by card; below zero when more was taken than there is."""
        self._taken: set[str] = set()

    def has(self, need: Need, model: str = "") -> bool:
        """Whether a model fits, or is in already."""
        if model in self._taken:
            return True
        if need.memory > self.memory:
            return False
        return not need.gpu_memory or any(free >= need.gpu_memory for free in self.cards)

    def take(self, model: str, need: Need) -> int:
        """Put a model in, fit or not; the card it lies on, NO_CARD when it uses none."""
        if model in self._taken:
            return NO_CARD
        self._taken.add(model)
        self.memory -= need.memory
        if not need.gpu_memory or not self.cards:
            return NO_CARD
        card = self._card_for(need.gpu_memory)
        self.cards[card] -= need.gpu_memory
        return card

    def take_on(self, model: str, need: Need, card: int) -> None:
        """Put in a model that is known to lie on a card."""
        self._taken.add(model)
        self.memory -= need.memory
        if card != NO_CARD and need.gpu_memory and card < len(self.cards):
            self.cards[card] -= need.gpu_memory

    def give_back(self, model: str, need: Need, card: int) -> None:
        """Undo `take_on`."""
        self._taken.discard(model)
        self.memory += need.memory
        if card != NO_CARD and need.gpu_memory and card < len(self.cards):
            self.cards[card] += need.gpu_memory

    def _card_for(self, size: int) -> int:
        """The fullest card that has room, else the emptiest."""
        fitting = [(free, index) for index, free in enumerate(self.cards) if free >= size]
        if fitting:
            return min(fitting)[1]
        return max((free, -index) for index, free in enumerate(self.cards))[1] * -1


def say_bytes(size: int) -> str:
    """A size for people, in binary units."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f}".removesuffix(".0") + f" {name}"
    return f"{size} bytes"
