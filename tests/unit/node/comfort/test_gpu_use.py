"""Who keeps the graphics cards busy: this node and its engines, or somebody else."""

# ruff: noqa: N802 - the stand-in answers to NVML's own names

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from node.gpu_use import BUSY_PERCENT, GpuLook, GpuMeter

OURS = os.getpid()
GIB = 2**30


class StandInNvml:
    """One card. Fields are NVML's own, R580: nvmlProcessUtilizationSample_t, nvmlProcessInfo_t."""

    NVMLError = pynvml.NVMLError

    def __init__(self, *, percent: int = 0) -> None:
        self.percent = percent
        self.samples: list[Any] | None = []
        self.running: list[Any] = []
        self.asked_since: list[int] = []
        self.open = 0

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return "card"

    def nvmlDeviceGetProcessUtilization(self, card: str, since: int) -> list[Any]:
        self.asked_since.append(since)
        if self.samples is None:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        found = [sample for sample in self.samples if sample.timeStamp > since]
        if not found:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return found

    def nvmlDeviceGetUtilizationRates(self, card: str) -> Any:
        return SimpleNamespace(gpu=self.percent, memory=0)

    def nvmlDeviceGetComputeRunningProcesses(self, card: str) -> list[Any]:
        return self.running

    def nvmlDeviceGetMemoryInfo(self, card: str) -> Any:
        return SimpleNamespace(total=80 * GIB, used=9 * GIB, free=71 * GIB)


def sample(pid: int, percent: int, seconds: float = 1000.0) -> Any:
    return SimpleNamespace(pid=pid, smUtil=percent, timeStamp=int(seconds * 1e6))


def meter_of(nvml: StandInNvml, *ports: int) -> GpuMeter:
    meter = GpuMeter(lambda: ports, root=Path("/nowhere"))
    assert meter.open(nvml)
    return meter


ENGINE = """
import os, socket, time
listening = socket.create_server(("127.0.0.1", 0))
print(os.getpid(), listening.getsockname()[1], flush=True)
time.sleep(60)
"""
ADOPTED = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]])"


@pytest.fixture
def listener() -> Iterator[tuple[int, int]]:
    """Pid and port of a process that listens and is not a child of this one."""
    with subprocess.Popen(
        [sys.executable, "-c", ADOPTED, ENGINE], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, port = map(int, starter.stdout.readline().split())
        starter.wait()
        yield pid, port
        psutil.Process(pid).kill()


@pytest.fixture
def stranger(listener: tuple[int, int]) -> int:
    """A process that has nothing to do with this node."""
    return listener[0]


def test_a_stranger_that_computes_takes_the_card(stranger: int) -> None:
    nvml = StandInNvml()
    nvml.samples = [sample(OURS, 90), sample(stranger, BUSY_PERCENT)]
    assert meter_of(nvml).look(1001.0, True).taken


def test_our_own_work_and_a_drawing_desktop_do_not(stranger: int) -> None:
    nvml = StandInNvml(percent=95)
    child = subprocess.Popen(["sleep", "60"])
    nvml.samples = [sample(OURS, 90), sample(child.pid, 90), sample(stranger, BUSY_PERCENT - 1)]
    try:
        assert not meter_of(nvml).look(1001.0, False).taken
    finally:
        child.kill()
        child.wait()


def test_an_engine_that_listens_where_we_send_jobs_is_ours(listener: tuple[int, int]) -> None:
    pid, port = listener
    nvml = StandInNvml()
    nvml.samples = [sample(pid, 90)]
    assert not meter_of(nvml, port).look(1001.0, False).taken
    assert meter_of(nvml).look(1001.0, False).taken


def test_samples_are_counted_once(stranger: int) -> None:
    nvml = StandInNvml()
    nvml.samples = [sample(stranger, 90)]
    meter = meter_of(nvml)
    assert meter.look(1001.0, False).taken
    assert not meter.look(1002.0, False).taken
    assert nvml.asked_since == [999_000_000, 1_000_000_000]


@pytest.mark.parametrize(("own_jobs", "taken"), [(True, False), (False, True)])
def test_where_processes_are_not_told_a_busy_card_without_jobs_is_taken(
    own_jobs: bool, taken: bool
) -> None:
    nvml = StandInNvml(percent=BUSY_PERCENT)
    nvml.samples = None
    assert meter_of(nvml).look(1001.0, own_jobs).taken is taken


def test_memory_is_ours_where_told_and_everybodys_where_not(stranger: int) -> None:
    nvml = StandInNvml()
    mine = SimpleNamespace(pid=OURS, usedGpuMemory=3 * GIB)
    nvml.running = [mine, SimpleNamespace(pid=stranger, usedGpuMemory=5 * GIB)]
    assert meter_of(nvml).look(1001.0, True).memory_used == 3 * GIB
    nvml.running = [mine, SimpleNamespace(pid=stranger, usedGpuMemory=None)]
    assert meter_of(nvml).look(1001.0, True).memory_used == 9 * GIB


def test_an_amd_card_is_watched_by_its_load(tmp_path: Path) -> None:
    card = tmp_path / "sys/class/drm/card0/device"
    card.mkdir(parents=True)
    for name, text in {
        "vendor": "0x1002",
        "device": "0x73bf",
        "gpu_busy_percent": "64",
        "mem_info_vram_used": str(2 * GIB),
    }.items():
        (card / name).write_text(text + "\n")
    meter = GpuMeter(frozenset, root=tmp_path)
    assert meter.open(StandInNvml())
    assert meter.look(time.time(), False) == GpuLook(True, 2 * GIB)
    assert not meter.look(time.time(), True).taken


def test_without_cards_there_is_nothing_to_see_and_the_driver_is_let_go(tmp_path: Path) -> None:
    nvml = StandInNvml()
    meter = meter_of(nvml)
    meter.close()
    assert nvml.open == 0
    assert meter.look(1001.0, False) == GpuLook()
