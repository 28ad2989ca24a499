"""AMD, Intel and other accelerators from sysfs; Apple from system_profiler."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.hardware import gpu_apple
from node.hardware.accelerators import merge_accelerators, probe_pci
from node.hardware.gpu_amd import pci_address, probe_amd, target_name
from node.hardware.gpu_apple import parse_displays, parse_size, probe_apple
from node.hardware.gpu_intel import probe_intel
from node.hardware.hardware import Accelerator, Accelerators
from node.hardware.pci import MAX_DEVICES, find_name, list_devices

GIB = 2**30

Plant = Callable[[str], Path]
Displays = Callable[[str], str]


def test_an_amd_card_with_all_it_tells(plant: Plant) -> None:
    card, _ = probe_amd(plant("amd-workstation")).found
    assert card == Accelerator(
        vendor="AMD",
        name="Navi 23 [Radeon RX 6600/6600 XT/6600M]",
        index=0,
        uuid="a1b2c3d4e5f60718",
        address="0000:03:00.0",
        memory_total=8573157376,
        memory_free=8573157376 - 1073741824,
        driver="amdgpu",
        architecture="gfx1032",
        utilisation=37,
        usable=True,
    )


def test_amd_cards_are_counted_and_connectors_are_not(plant: Plant) -> None:
    found = probe_amd(plant("amd-workstation")).found
    assert [(card.index, card.name, card.architecture) for card in found] == [
        (0, "Navi 23 [Radeon RX 6600/6600 XT/6600M]", "gfx1032"),
        (1, "Raphael", "gfx1036"),
    ]


def test_without_kfd_an_amd_card_is_there_and_not_usable(plant: Plant) -> None:
    root = plant("amd-workstation")
    (root / "dev/kfd").unlink()
    found = merge_accelerators([probe_amd(root), probe_pci(root)])
    assert [card.usable for card in found.found] == [False, False]
    assert [note.partition(":")[0] for note in found.notes] == ["AMD GPU 0000", "AMD GPU 0000"]
    assert all("/dev/kfd" in note for note in found.notes)


def test_a_card_is_listed_once_however_many_probes_see_it(plant: Plant) -> None:
    root = plant("amd-workstation")
    merged = merge_accelerators([probe_amd(root), probe_pci(root)])
    assert merged == probe_amd(root)


@pytest.mark.parametrize(
    ("version", "name"),
    [(100300, "gfx1030"), (90010, "gfx90a"), (90402, "gfx942"), (120001, "gfx1201"), (0, "")],
)
def test_targets_are_written_as_compilers_do(version: int, name: str) -> None:
    assert target_name(version) == name


def test_a_location_is_bus_device_and_function() -> None:
    assert pci_address(0x10000, 0xC3 << 8 | 0x1F << 3 | 7) == "10000:c3:1f.7"


def test_intel_cards_by_both_drivers(plant: Plant) -> None:
    found = probe_intel(plant("intel-two-cards")).found
    assert [(c.index, c.driver, c.memory_total, c.shared_memory, c.usable) for c in found] == [
        (0, "i915", None, True, True),
        (1, "xe", 12878610432, False, True),
        (2, "i915", 16225243136, False, False),
    ]
    assert found[1].name == "Intel GPU 8086:e20b"


def test_a_hidden_render_node_is_advised_on(plant: Plant) -> None:
    merged = merge_accelerators([probe_intel(plant("intel-two-cards"))])
    assert len(merged.notes) == 1
    assert merged.notes[0].startswith("Intel GPU 0000:04:00.0: no render node")


def test_cards_without_driver_are_found_on_the_bus(plant: Plant) -> None:
    found = probe_pci(plant("server-without-drivers")).found
    assert [(c.kind, c.vendor, c.address, c.driver) for c in found] == [
        ("display", "1a03", "0000:02:00.0", "ast"),
        ("gpu", "NVIDIA", "0000:17:00.0", ""),
        ("gpu", "NVIDIA", "0000:2a:00.0", "vfio-pci"),
        ("npu", "Habana", "0000:33:00.0", "habanalabs"),
    ]
    assert not any(card.usable for card in found)
    assert found[1].name == "NVIDIA GPU 10de:2330"


def test_advice_says_what_keeps_a_gpu_from_use(plant: Plant) -> None:
    notes = merge_accelerators([probe_pci(plant("server-without-drivers"))]).notes
    assert len(notes) == 2
    assert "install the NVIDIA driver" in notes[0]
    assert notes[1] == "NVIDIA GPU 0000:2a:00.0: vfio-pci keeps it for a virtual machine"


def test_a_recorded_virtual_machine_has_no_accelerator(plant: Plant) -> None:
    assert probe_pci(plant("virtual-machine")) == Accelerators()


@pytest.mark.parametrize("probe", [probe_amd, probe_intel, probe_pci])
def test_a_machine_without_sysfs_has_none(
    tmp_path: Path, probe: Callable[[Path], Accelerators]
) -> None:
    assert probe(tmp_path) == Accelerators()


def test_a_bus_full_of_accelerators_is_cut(tmp_path: Path) -> None:
    for number in range(MAX_DEVICES + 5):
        folder = tmp_path / f"sys/bus/pci/devices/0000:{number:02x}:00.0"
        folder.mkdir(parents=True)
        for name, value in (("class", "0x030200"), ("vendor", "0x10de"), ("device", "0x2330")):
            (folder / name).write_text(value)
    assert len(list_devices(tmp_path)) == MAX_DEVICES


@pytest.mark.parametrize(
    ("vendor", "device", "name"),
    [(0x1002, 0x73FF, "Right"), (0x1001, 0x73FF, "Wrong"), (0x1002, 0, ""), (0x9999, 1, "")],
)
def test_names_are_looked_up_below_their_vendor(vendor: int, device: int, name: str) -> None:
    listed = "# comment\n1001  A\n\t73ff  Wrong\n\n1002  B\n# x\n\t73ff  Right\n\t\t0001 0000  S\n"
    assert find_name(listed, vendor, device) == name


def test_apple_silicon_computes_in_the_machines_memory(displays: Displays) -> None:
    assert parse_displays(displays("apple-silicon"), 64 * GIB) == (
        Accelerator(
            vendor="Apple",
            name="Apple M2 Max, 30 cores",
            memory_total=64 * GIB,
            shared_memory=True,
            driver="Metal",
            architecture="metal3",
            usable=True,
        ),
    )


def test_an_intel_mac_has_cards_of_three_kinds(displays: Displays) -> None:
    found = parse_displays(displays("intel-mac"), 16 * GIB)
    assert [(c.vendor, c.memory_total, c.shared_memory, c.usable) for c in found] == [
        ("Intel", None, True, True),
        ("AMD", 8 * GIB, False, True),
        ("NVIDIA", 512 * 2**20, False, False),
    ]


@pytest.mark.parametrize("text", ["{}", "[]", '{"SPDisplaysDataType": [1, "x", null]}'])
def test_other_json_has_no_cards(text: str) -> None:
    assert parse_displays(text, None) == ()


def test_text_that_is_not_json_is_an_error() -> None:
    with pytest.raises(ValueError, match="Expecting value"):
        parse_displays("system_profiler: no such type", None)


@pytest.mark.parametrize(
    ("text", "size"), [("8 GB", 8 * GIB), ("1536 MB", 1536 * 2**20), ("8GB", None), (None, None)]
)
def test_sizes_as_a_mac_prints_them(text: str | None, size: int | None) -> None:
    assert parse_size(text) == size


def test_a_mac_is_asked_by_two_commands(
    displays: Displays, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {gpu_apple.PROFILER: displays("apple-silicon"), gpu_apple.MEMORY: "68719476736"}
    monkeypatch.setattr(gpu_apple, "capture", lambda *command: answers[command])
    assert [card.memory_total for card in probe_apple().found] == [64 * GIB]
