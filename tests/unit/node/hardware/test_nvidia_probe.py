"""NVIDIA GPUs from recorded answers of NVML. No library, no driver: no GPU and no error."""

# ruff: noqa: N802 - the stand-in answers to NVML's own names

from __future__ import annotations

import ctypes
import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from node.hardware import gpu_nvidia
from node.hardware.gpu_nvidia import probe_nvidia, sysfs_address, text
from node.hardware.hardware import Accelerators

RECORDING = Path(__file__).parent / "trees" / "nvml-h100.json"


class RecordedNvml:
    """Answers as the binding would, from a file; what the file lacks is not supported."""

    NVMLError = pynvml.NVMLError
    NVML_DEVICE_MIG_ENABLE = pynvml.NVML_DEVICE_MIG_ENABLE

    def __init__(self, *, init_error: int = 0, lost: frozenset[int] = frozenset()) -> None:
        recording = json.loads(RECORDING.read_text())
        self._driver: str = recording["driver"]
        self._gpus: list[dict[str, Any]] = recording["gpus"]
        self._init_error, self._lost = init_error, lost
        self.open = 0

    def nvmlInit(self) -> None:
        if self._init_error:
            raise pynvml.NVMLError(self._init_error)
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlSystemGetDriverVersion(self) -> str:
        return self._driver

    def nvmlDeviceGetCount(self) -> int:
        return len(self._gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        if index in self._lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return self._gpus[index]

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> bytes:
        return str(answer(gpu, "name")).encode()

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> str:
        return str(answer(gpu, "uuid"))

    def nvmlDeviceGetPciInfo(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(busId=answer(gpu, "busId"))

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(**answer(gpu, "memory"))

    def nvmlDeviceGetUtilizationRates(self, gpu: dict[str, Any]) -> SimpleNamespace:
        return SimpleNamespace(**answer(gpu, "utilisation"))

    def nvmlDeviceGetCudaComputeCapability(self, gpu: dict[str, Any]) -> Any:
        return answer(gpu, "capability")

    def nvmlDeviceGetMigMode(self, gpu: dict[str, Any]) -> Any:
        return answer(gpu, "migMode")

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: dict[str, Any]) -> Any:
        return answer(gpu, "maxMigDevices")

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: dict[str, Any], slot: int) -> Any:
        if str(slot) not in answer(gpu, "migDevices"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return gpu["migDevices"][str(slot)]


def answer(gpu: dict[str, Any], name: str) -> Any:
    """One recorded answer; refused as NVML refuses what a device cannot tell."""
    if gpu.get(name) is None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
    return gpu[name]


def test_the_stand_in_offers_nothing_the_binding_does_not() -> None:
    names = [name for name in vars(RecordedNvml) if name.startswith(("nvml", "NVML"))]
    assert len(names) > 10
    assert [name for name in names if not hasattr(pynvml, name)] == []


def test_a_whole_gpu_in_bytes_and_per_cent() -> None:
    card = probe_nvidia(RecordedNvml()).found[0]
    assert (card.vendor, card.name) == ("NVIDIA", "NVIDIA H100 80GB HBM3")
    assert (card.memory_total, card.memory_free) == (85520809984, 79456894976)
    assert (card.driver, card.architecture, card.utilisation) == ("580.159.04", "sm_90", 63)
    assert card.uuid == "GPU-6f1c3a52-0d5e-4c0e-9a39-0c5b7e3f1a11"
    assert card.address == "0000:17:00.0"
    assert (card.usable, card.mig) == (True, False)


def test_a_divided_gpu_is_shown_as_its_instances() -> None:
    parts = [card for card in probe_nvidia(RecordedNvml()).found if card.index == 1]
    assert [part.memory_total for part in parts] == [42379247616, 10468982784]
    assert all(part.mig and part.address == "0000:2a:00.0" for part in parts)
    assert all(part.uuid.startswith("MIG-") and part.utilisation is None for part in parts)


def test_a_divided_gpu_whose_instances_are_hidden_is_shown_whole() -> None:
    nvml = RecordedNvml()
    nvml.nvmlDeviceGetHandleByIndex(1)["migDevices"] = {"none": True}
    hidden = [card for card in probe_nvidia(nvml).found if card.index == 1]
    assert [(card.mig, card.memory_total) for card in hidden] == [(False, 85520809984)]


def test_a_gpu_without_memory_of_its_own_is_still_listed() -> None:
    card = probe_nvidia(RecordedNvml()).found[-1]
    assert (card.name, card.memory_total, card.architecture) == ("NVIDIA GB10", None, "sm_121")


def test_a_lost_gpu_is_a_note_and_the_others_stay() -> None:
    found = probe_nvidia(RecordedNvml(lost=frozenset({0})))
    assert [card.index for card in found.found] == [1, 1, 2]
    assert found.notes == ("NVIDIA GPU 0: GPU is lost",)


@pytest.mark.parametrize(
    "error", [pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED]
)
def test_no_library_or_driver_means_no_gpu_and_no_error(error: int) -> None:
    assert probe_nvidia(RecordedNvml(init_error=error)) == Accelerators()


def test_a_driver_that_does_not_fit_its_library_is_a_note() -> None:
    found = probe_nvidia(RecordedNvml(init_error=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH))
    assert found.found == ()
    assert found.notes[0].startswith("NVIDIA driver: ")


def test_nvml_is_closed_also_after_an_error() -> None:
    nvml = RecordedNvml()
    probe_nvidia(nvml)
    assert nvml.open == 0

    def fail() -> int:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

    nvml.nvmlDeviceGetCount = fail  # type: ignore[method-assign]
    with pytest.raises(pynvml.NVMLError):
        probe_nvidia(nvml)
    assert nvml.open == 0


def test_a_machine_without_the_library_does_not_load_the_binding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(gpu_nvidia, "LIBRARY", "libnvidia-ml-not-here.so.1")
    monkeypatch.setattr(importlib, "import_module", loaded.append)
    assert probe_nvidia() == Accelerators()
    assert loaded == []


def test_a_machine_without_the_binding_has_no_nvidia_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(importlib, "import_module", refuse)
    assert probe_nvidia() == Accelerators()


def test_where_the_library_is_the_real_binding_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse() -> None:
        asked.append("nvmlInit")
        raise pynvml.NVMLError(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    monkeypatch.setattr(ctypes, "CDLL", lambda name: name)
    monkeypatch.setattr(pynvml, "nvmlInit", refuse)
    assert probe_nvidia() == Accelerators()
    assert asked == ["nvmlInit"]


@pytest.mark.parametrize(
    ("bus_id", "address"),
    [("00000000:2A:00.0", "0000:2a:00.0"), ("0001:01:00.0", "0001:01:00.0"), ("", "")],
)
def test_bus_ids_read_as_in_sysfs(bus_id: str, address: str) -> None:
    assert sysfs_address(bus_id) == address


def test_strings_may_be_bytes_or_missing() -> None:
    assert [text(value) for value in (b"H100", "H100", None)] == ["H100", "H100", ""]


def test_instances_share_their_gpus_driver() -> None:
    whole, *parts = probe_nvidia(RecordedNvml()).found
    assert {replace(part, driver=whole.driver) == part for part in parts} == {True}
