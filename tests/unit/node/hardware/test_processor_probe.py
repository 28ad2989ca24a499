"""Cores, names and instruction sets, on recorded and composed trees."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path

import pytest

from node.hardware import processor as module
from node.hardware.hardware import Container, Processor
from node.hardware.processor import count_processors, limit_processor, probe_processor
from node.hardware.sysfs import parse_int, parse_ranges

Plant = Callable[[str], Path]


def test_a_recorded_virtual_machine(plant: Plant) -> None:
    assert probe_processor(plant("virtual-machine")) == Processor(
        model="AMD EPYC",
        architecture="x86_64",
        logical_cores=2,
        physical_cores=2,
        usable_cores=2.0,
        features=("sse4.2", "avx", "f16c", "fma", "avx2"),
    )


def test_threads_are_no_cores_and_the_mask_counts_online_processors(plant: Plant) -> None:
    found = probe_processor(plant("hyperthreads-pinned"))
    assert (found.logical_cores, found.physical_cores, found.usable_cores) == (7, 4, 3.0)


def test_only_what_every_core_can_do_is_a_feature(plant: Plant) -> None:
    found = probe_processor(plant("hyperthreads-pinned"))
    assert "avx512f" in found.features
    assert "avx512bw" not in found.features


def test_an_arm_board_is_named_by_its_cores_and_itself(plant: Plant) -> None:
    found = probe_processor(plant("raspberry-pi"))
    assert found.model == "Cortex-A76 (Raspberry Pi 5 Model B Rev 1.0)"
    assert found.architecture == "aarch64"
    assert found.features == ("neon", "fp16", "dotprod")
    assert (found.logical_cores, found.physical_cores) == (2, None)


def test_without_sysfs_cores_are_counted_by_cpuinfo(plant: Plant) -> None:
    root = plant("virtual-machine")
    (root / "sys/devices/system/cpu/online").unlink()
    found = probe_processor(root)
    assert (found.logical_cores, found.physical_cores, found.usable_cores) == (2, 2, 2.0)


def test_a_tree_without_cpuinfo_is_an_error_and_not_this_machine(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cpuinfo"):
        probe_processor(tmp_path)


def test_the_running_machine_has_a_core() -> None:
    found = probe_processor(Path("/"))
    assert 0 < found.usable_cores <= found.logical_cores


def test_elsewhere_psutil_counts_and_a_mac_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def capture(*command: str) -> str:
        asked.append(command)
        return "Apple M2 Max"

    monkeypatch.setattr(module, "capture", capture)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.setattr(module, "read_text", lambda path: None)
    found = probe_processor(Path("/"))
    assert (found.model, found.features) == ("Apple M2 Max", ("neon",))
    assert found.logical_cores >= 1
    assert asked == [module.MAC_MODEL]


@pytest.mark.parametrize(("quota", "usable"), [(None, 4.0), (0.5, 0.5), (2.0, 2.0), (64.0, 4.0)])
def test_a_quota_lowers_what_is_usable_and_never_raises_it(
    quota: float | None, usable: float
) -> None:
    whole = Processor(model="", architecture="", logical_cores=4, usable_cores=4.0)
    assert limit_processor(whole, Container(cpus=quota)).usable_cores == usable


def test_words_of_cpuinfo_that_are_no_processor_lines_do_not_count() -> None:
    assert count_processors("processor\t: 0\nmodel : processor\nprocessor :\nProcessor : x\n") == 1


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8,10-11\n", {0, 1, 2, 3, 8, 10, 11}), ("5", {5}), ("", set()), ("0-x", set())],
)
def test_kernel_lists(text: str, numbers: set[int]) -> None:
    assert parse_ranges(text) == numbers


@pytest.mark.parametrize(
    ("text", "number"), [("12", 12), ("0x10de", 0x10DE), ("", None), ("12 kB", None), (None, None)]
)
def test_numbers_in_files(text: str | None, number: int | None) -> None:
    assert parse_int(text) == number
