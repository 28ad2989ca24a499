"""The small parts of a node: its network's name, its memory cap, its hardware in one line."""

from __future__ import annotations

import pytest

from mesh.identity.mesh import mesh_of_network
from node.config_values import BadValue
from node.hardware.hardware import Accelerator, Disk, Hardware, Memory, Network, Processor
from node.hardware.summary import summarise
from node.memory_cap import MemoryCap
from node.network import is_closed, is_founded, parse_network, resolve_network

GIB = 2**30


def test_forty_hex_digits_are_a_founded_mesh_and_all_else_a_name() -> None:
    mesh_id = "0123456789abcdef0123456789abcdef01234567"
    assert resolve_network(mesh_id) == mesh_id
    assert resolve_network("home") == mesh_of_network("home")
    assert resolve_network("home") != resolve_network("office")
    assert resolve_network(mesh_id[:-1]) == mesh_of_network(mesh_id[:-1])


def test_a_founded_mesh_is_closed_unless_its_name_says_open() -> None:
    mesh_id = "0123456789abcdef" * 2 + "01234567"
    assert is_closed(mesh_id) and is_founded(mesh_id)
    opened = parse_network(f" {mesh_id}+open ")
    assert is_founded(opened) and not is_closed(opened)
    assert resolve_network(opened) == mesh_id, "one mesh, whoever takes strangers in it"
    assert not is_founded("home") and not is_closed("home")
    assert parse_network("home") == "home"
    for wrong in ("home+open", f"{mesh_id}+closed", f"{mesh_id}+open+open", "+open", "", None):
        with pytest.raises(BadValue):
            parse_network(wrong)


@pytest.mark.parametrize(("most", "exceeded"), [(None, False), (1, True), (2**50, False)])
def test_the_cap_is_compared_with_what_the_process_holds(most: int | None, exceeded: bool) -> None:
    assert MemoryCap(most).exceeded() is exceeded


def test_the_hardware_in_one_line() -> None:
    hardware = Hardware(
        system="Linux",
        processor=Processor("a", "x86_64", 8, 1.0),
        memory=Memory(total=16 * GIB, available=GIB, limit=GIB // 2),
        disk=Disk("/", 500 * GIB, 412 * GIB),
        accelerators=(
            Accelerator("nvidia", "RTX 3090", memory_total=24 * GIB),
            Accelerator("other", "VGA", kind="display"),
        ),
        network=Network(()),
    )
    expected = "1 core, 512 MiB memory, 412 GiB free disk, RTX 3090 (24 GiB)"
    assert summarise(hardware) == expected
