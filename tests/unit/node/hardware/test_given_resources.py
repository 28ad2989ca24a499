"""What a machine gives to models, of what it has."""

from __future__ import annotations

from node.hardware.hardware import Accelerator, Hardware, Memory, Processor
from node.resources import given_resources

GIB = 2**30


def card(name: str, size: int | None, *, shared: bool = False, usable: bool = True) -> Accelerator:
    return Accelerator("nvidia", name, memory_total=size, shared_memory=shared, usable=usable)


def test_an_unknown_machine_gives_nothing() -> None:
    assert given_resources(None).memory == 0
    assert given_resources(Hardware()).memory == 0


def test_a_tenth_of_the_memory_and_at_least_half_a_gib_stay_with_the_system() -> None:
    large = Hardware(memory=Memory(64 * GIB, 60 * GIB))
    assert given_resources(large).memory == 64 * GIB - 64 * GIB // 10
    small = Hardware(memory=Memory(64 * GIB, GIB, limit=2 * GIB))
    assert given_resources(small).memory == 2 * GIB - GIB // 2
    assert given_resources(Hardware(memory=Memory(GIB // 4, GIB // 4))).memory == 0


def test_only_cards_with_memory_of_their_own_count() -> None:
    cards = (
        card("A", 24 * GIB),
        card("shared", 8 * GIB, shared=True),
        card("no driver", 8 * GIB, usable=False),
        card("unknown", None),
    )
    processor = Processor("cpu", "x86_64", 16, 7.5)
    given = given_resources(Hardware(processor=processor, accelerators=cards))
    assert [(gpu.name, gpu.memory) for gpu in given.gpus] == [("A", 24 * GIB)]
    assert given.cores == 7.5
