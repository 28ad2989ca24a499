"""Memory with and without limits, and room for the data folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from node.hardware import memory as memory_module
from node.hardware.disk import probe_disk
from node.hardware.hardware import Container, Memory
from node.hardware.memory import limit_memory, parse_meminfo, probe_memory

GIB = 2**30
WHOLE = Memory(total=16 * GIB, available=12 * GIB)

Plant = Callable[[str], Path]


def test_meminfo_is_in_kibibytes(plant: Plant) -> None:
    found = probe_memory(plant("virtual-machine"))
    assert found.total == 24682416 * 1024
    assert 0 < found.available < found.total


def test_an_old_kernel_gives_free_memory_and_caches(plant: Plant) -> None:
    assert probe_memory(plant("amd-workstation")).available == 18000000 * 1024


def test_meminfo_without_a_total_is_an_error() -> None:
    with pytest.raises(ValueError, match="MemTotal"):
        parse_meminfo("MemFree: 12 kB\nHugePages_Total: 0\n")


def test_a_tree_without_meminfo_is_an_error_and_not_this_machine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="meminfo"):
        probe_memory(tmp_path)


def test_where_there_is_no_proc_psutil_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "read_text", lambda path: None)
    found = probe_memory(Path("/"))
    assert 0 < found.available <= found.total


def test_a_limit_lowers_what_is_available() -> None:
    limited = limit_memory(WHOLE, Container(memory=4 * GIB, memory_free=3 * GIB))
    assert limited == Memory(total=16 * GIB, available=3 * GIB, limit=4 * GIB)
    assert limited.usable == 4 * GIB


def test_a_container_cannot_take_what_the_machine_has_not() -> None:
    limited = limit_memory(WHOLE, Container(memory=15 * GIB, memory_free=14 * GIB))
    assert limited.available == 12 * GIB


@pytest.mark.parametrize("limit", [None, 16 * GIB, 64 * GIB])
def test_a_limit_that_does_not_bind_is_none(limit: int | None) -> None:
    unlimited = limit_memory(WHOLE, Container(memory=limit, memory_free=limit))
    assert unlimited == WHOLE
    assert unlimited.usable == 16 * GIB


def test_a_folder_yet_to_be_made_has_its_parents_room(tmp_path: Path) -> None:
    wanted = tmp_path / "not" / "yet"
    found = probe_disk(wanted)
    assert found.path == str(wanted)
    assert found.total == shutil.disk_usage(tmp_path).total
    assert 0 <= found.free <= found.total
    assert not wanted.exists()
