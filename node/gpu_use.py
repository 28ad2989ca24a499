"""Who uses the graphics cards: this node with its engines, or the machine's owner.

NVIDIA by NVML (docs.nvidia.com/deploy/nvml-api, R580): samples per process where the card gives
them. Elsewhere, AMD included, a card that works while no job is here works for somebody else.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from node.hardware.drm import list_cards
from node.hardware.gpu_nvidia import MAX_GPUS, ask, load_binding
from node.hardware.pci import AMD
from node.hardware.sysfs import read_int

BUSY_PERCENT = 20
"""Of a card's time; a desktop that only draws its windows stays below."""
ENGINES = frozenset(
    {"ollama", "ollama_llama_server", "llama-server", "llama-box", "vllm", "VLLM::EngineCor"}
)
"""Names of programs that generate for this node under another user, whose ports cannot be seen.

The last one is what Linux makes of a longer name.
"""
FIRST_SAMPLES = 2_000_000
"""Microseconds: older samples are not asked for at the first look."""


@dataclass(frozen=True, slots=True)
class GpuLook:
    """One look at all cards."""

    taken: bool = False
    """Somebody else uses one now."""
    memory_used: int | None = None
    """Bytes that this node and its engines hold, all cards together; None: no card says."""


class GpuMeter:
    """Looks at the cards when asked. Blocks for some milliseconds; not for two threads at once."""

    def __init__(
        self, engine_ports: Callable[[], Collection[int]], *, root: Path = Path("/")
    ) -> None:
        """`engine_ports`: where the engines of this node listen on this machine."""
        self._engine_ports = engine_ports
        self._root = root
        self._nvml: Any = None
        self._handles: list[Any] = []
        self._sampled: dict[int, int] = {}
        self._cards: list[Path] = []
        self._opened = False

    def open(self, nvml: Any = None) -> bool:
        """Find the cards; False when there is none to look at. `nvml` is the module `pynvml`.

        The first look does it, too: most owners never ask for one, and the driver costs memory.
        """
        self._opened = True
        self._cards = [card.device for card in list_cards(self._root, AMD)]
        nvml = nvml or load_binding()
        if nvml is not None:
            try:
                nvml.nvmlInit()
            except nvml.NVMLError:
                return bool(self._cards)
            self._nvml = nvml
            count = min(ask(nvml, nvml.nvmlDeviceGetCount) or 0, MAX_GPUS)
            handles = (ask(nvml, nvml.nvmlDeviceGetHandleByIndex, n) for n in range(count))
            self._handles = [handle for handle in handles if handle is not None]
        return bool(self._cards or self._handles)

    def close(self) -> None:
        """Let go of the driver."""
        if self._nvml is not None:
            ask(self._nvml, self._nvml.nvmlShutdown)
            self._nvml, self._handles = None, []

    async def look_aside(self, now_wall: float, own_jobs: bool) -> GpuLook:
        """`look`, in a thread of its own: a driver may take its time."""
        return await asyncio.to_thread(self.look, now_wall, own_jobs)

    def look(self, now_wall: float, own_jobs: bool) -> GpuLook:
        """`own_jobs`: jobs run here, or did a moment ago, so that a busy card may be theirs."""
        if not self._opened:
            self.open()
        ours = _Ours(self._engine_ports)
        users = [self._in_use(n, now_wall, own_jobs, ours) for n in range(len(self._handles))]
        busy = [read_int(card / "gpu_busy_percent") or 0 for card in self._cards]
        users += [not own_jobs and percent >= BUSY_PERCENT for percent in busy]
        held = [self._held(handle, ours) for handle in self._handles]
        held += [read_int(card / "mem_info_vram_used") for card in self._cards]
        told = [amount for amount in held if amount is not None]
        return GpuLook(any(users), sum(told) if told else None)

    def _in_use(self, index: int, now_wall: float, own_jobs: bool, ours: _Ours) -> bool:
        nvml, handle = self._nvml, self._handles[index]
        since = self._sampled.get(index, int(now_wall * 1e6) - FIRST_SAMPLES)
        samples = ask(nvml, nvml.nvmlDeviceGetProcessUtilization, handle, since)
        known = [sample for sample in samples or () if psutil.pid_exists(sample.pid)]
        if known:
            self._sampled[index] = max(int(sample.timeStamp) for sample in known)
            others = (sample for sample in known if sample.smUtil >= BUSY_PERCENT)
            return any(not ours.has(sample.pid) for sample in others)
        rates = ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
        return not own_jobs and rates is not None and int(rates.gpu) >= BUSY_PERCENT

    def _held(self, handle: Any, ours: _Ours) -> int | None:
        """By our processes; by everybody where the driver does not tell processes apart."""
        nvml = self._nvml
        running = ask(nvml, nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        if running is not None and all(_tells(one) for one in running):
            return sum(int(one.usedGpuMemory) for one in running if ours.has(one.pid))
        memory = ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
        return None if memory is None else int(memory.used)


def _tells(process: Any) -> bool:
    """Containers and some drivers hide what belongs to whom."""
    return process.usedGpuMemory is not None and psutil.pid_exists(process.pid)


class _Ours:
    """Which processes work for this node. Looked up once, when first asked."""

    def __init__(self, engine_ports: Callable[[], Collection[int]]) -> None:
        self._engine_ports = engine_ports
        self._pids: frozenset[int] | None = None

    def has(self, pid: int) -> bool:
        if self._pids is None:
            self._pids = frozenset(_own_pids(self._engine_ports()))
        return pid in self._pids or _name_of(pid) in ENGINES


def _own_pids(ports: Collection[int]) -> Iterator[int]:
    """This process, who listens on those ports, and all their children."""
    roots = {os.getpid()} | set(_listeners(ports))
    for root in roots:
        yield root
        try:
            yield from (child.pid for child in psutil.Process(root).children(recursive=True))
        except psutil.Error:
            continue  # it ended, or is not ours to look at


def _listeners(ports: Collection[int]) -> Iterator[int]:
    if not ports:
        return
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return  # some systems show them to administrators only; the names must do
    for one in connections:
        if one.status == psutil.CONN_LISTEN and one.pid and one.laddr and one.laddr.port in ports:
            yield one.pid


def _name_of(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return ""
