"""NVIDIA GPUs by NVML (docs.nvidia.com/deploy/nvml-api, R580), through `nvidia-ml-py`.

Every figure may be refused by a card or a container, so each is asked for on its own.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from node.hardware.hardware import Accelerator, Accelerators

LIBRARY = "libnvidia-ml.so.1"
ABSENT = frozenset({9, 12})
"""NVML_ERROR_DRIVER_NOT_LOADED and NVML_ERROR_LIBRARY_NOT_FOUND: no NVIDIA GPU to speak of."""
MAX_GPUS = 64
MAX_INSTANCES = 8
"""MIG divides a GPU into seven instances at most."""


def probe_nvidia(nvml: Any = None) -> Accelerators:
    """All NVIDIA GPUs and MIG instances; nothing when NVML or its driver is not there.

    `nvml` is the module `pynvml`, loaded here unless given.
    """
    nvml = nvml or load_binding()
    if nvml is None:
        return Accelerators()
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        absent = getattr(error, "value", None) in ABSENT
        return Accelerators() if absent else Accelerators(notes=(f"NVIDIA driver: {error}",))
    try:
        return list_gpus(nvml)
    finally:
        ask(nvml, nvml.nvmlShutdown)


def load_binding() -> Any:
    """The module `pynvml`, None where it or NVML itself is missing.

    The library is looked for first, by the name the binding uses: most machines have none, and the
    binding costs them 3 MiB and 40 ms.
    """
    try:
        if sys.platform != "win32":
            ctypes.CDLL(LIBRARY)
        return importlib.import_module("pynvml")
    except (ImportError, OSError):
        return None


def list_gpus(nvml: Any) -> Accelerators:
    """Every GPU of an initialised NVML. One that does not answer becomes a note."""
    found: list[Accelerator] = []
    notes: list[str] = []
    driver = text(ask(nvml, nvml.nvmlSystemGetDriverVersion))
    for index in range(min(nvml.nvmlDeviceGetCount(), MAX_GPUS)):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
        except nvml.NVMLError as error:
            notes.append(f"NVIDIA GPU {index}: {error}")
            continue
        whole = read_gpu(nvml, handle, index, driver)
        found.extend(list_instances(nvml, handle, whole) or (whole,))
    return Accelerators(tuple(found), tuple(notes))


def ask(nvml: Any, call: Callable[..., Any], *arguments: Any) -> Any:
    """NVML's answer, None when it refuses (not supported, no permission, GPU lost)."""
    try:
        return call(*arguments)
    except nvml.NVMLError:
        return None


def text(answer: Any) -> str:
    """NVML's strings are bytes in older bindings; None is empty."""
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else str(answer or "")


def read_gpu(nvml: Any, handle: Any, index: int, driver: str) -> Accelerator:
    """One GPU, or one MIG instance: both answer the same questions."""
    memory = ask(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    pci = ask(nvml, nvml.nvmlDeviceGetPciInfo, handle)
    busy = ask(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    capability = ask(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    return Accelerator(
        vendor="NVIDIA",
        name=text(ask(nvml, nvml.nvmlDeviceGetName, handle)) or "NVIDIA GPU",
        index=index,
        uuid=text(ask(nvml, nvml.nvmlDeviceGetUUID, handle)),
        address="" if pci is None else sysfs_address(text(pci.busId)),
        memory_total=None if memory is None else int(memory.total),
        memory_free=None if memory is None else int(memory.free),
        driver=driver,
        architecture="" if capability is None else f"sm_{capability[0]}{capability[1]}",
        utilisation=None if busy is None else int(busy.gpu),
        usable=True,
    )


def list_instances(nvml: Any, handle: Any, whole: Accelerator) -> tuple[Accelerator, ...]:
    """The MIG instances of a GPU; none when it is not divided."""
    mode = ask(nvml, nvml.nvmlDeviceGetMigMode, handle)
    if not mode or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
        return ()
    count = ask(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
    found = []
    for slot in range(min(count, MAX_INSTANCES)):
        # Slots without an instance answer NVML_ERROR_NOT_FOUND.
        instance = ask(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, slot)
        if instance is not None:
            part = read_gpu(nvml, instance, whole.index, whole.driver)
            found.append(replace(part, mig=True, address=part.address or whole.address))
    return tuple(found)


def sysfs_address(bus_id: str) -> str:
    """NVML writes the PCI domain with eight digits, sysfs with four, in lower case."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:]}:{rest}" if rest else ""
