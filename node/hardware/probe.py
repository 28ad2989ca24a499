"""Runs all probes at once, each on a thread of its own, and waits no longer than told."""

from __future__ import annotations

import asyncio
import platform
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from node.hardware.accelerators import merge_accelerators, probe_pci
from node.hardware.container import probe_container
from node.hardware.disk import probe_disk
from node.hardware.gpu_amd import probe_amd
from node.hardware.gpu_apple import probe_apple
from node.hardware.gpu_intel import probe_intel
from node.hardware.gpu_nvidia import probe_nvidia
from node.hardware.hardware import (
    Accelerators,
    Container,
    Disk,
    Hardware,
    Memory,
    Network,
    Processor,
)
from node.hardware.memory import limit_memory, probe_memory
from node.hardware.network import probe_network
from node.hardware.processor import limit_processor, probe_processor

Finding = Processor | Memory | Disk | Container | Accelerators | Network
Probe = Callable[[], Finding]
Outcome = Finding | Exception
T = TypeVar("T")

MAX_NOTE = 200
"""Characters of an error kept in a note."""


async def probe_hardware(
    data_dir: Path, *, timeout: float = 2.0, root: Path = Path("/")
) -> Hardware:
    """Look at the machine. Never raises for what a probe meets and never waits beyond `timeout`.

    `root` is where /proc, /sys and /dev are read; the network is always the running machine's.
    A probe that hangs keeps its thread until it returns: call this at start, not in a loop.
    """
    findings, notes = await run_probes(standard_probes(data_dir, root), timeout)
    return assemble(findings, notes)


def standard_probes(data_dir: Path, root: Path) -> dict[str, Probe]:
    """Every probe by its name in notes."""
    probes: dict[str, Probe] = {
        "processor": partial(probe_processor, root),
        "memory": partial(probe_memory, root),
        "disk": partial(probe_disk, data_dir),
        "container": partial(probe_container, root),
        "network": probe_network,
        "NVIDIA GPUs": probe_nvidia,
        "AMD GPUs": partial(probe_amd, root),
        "Intel GPUs": partial(probe_intel, root),
        "PCI accelerators": partial(probe_pci, root),
    }
    if platform.system() == "Darwin":
        probes["Apple GPUs"] = probe_apple
    return probes


async def run_probes(
    probes: Mapping[str, Probe], timeout: float
) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    """What each probe found within `timeout` seconds, and a note for each that did not."""
    futures = {name: start_probe(name, probe) for name, probe in probes.items()}
    if futures:
        await asyncio.wait(futures.values(), timeout=timeout)
    findings: list[Finding] = []
    notes: list[str] = []
    for name, future in futures.items():
        outcome = future.result() if future.done() else None
        if outcome is None:
            future.cancel()
            notes.append(f"{name}: no answer within {timeout:g} s")
        elif isinstance(outcome, Exception):
            notes.append(f"{name}: {type(outcome).__name__}: {outcome}"[:MAX_NOTE])
        else:
            findings.append(outcome)
    return tuple(findings), tuple(notes)


def start_probe(name: str, probe: Probe) -> asyncio.Future[Outcome]:
    """Run a probe on a daemon thread: one that hangs in the kernel cannot hold up exit either."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Outcome] = loop.create_future()

    def settle(outcome: Outcome) -> None:
        if not future.done():
            future.set_result(outcome)

    def work() -> None:
        outcome = attempt(probe)
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            return  # The loop is closed: the answer came after everyone had gone.

    threading.Thread(target=work, name=f"probe {name}", daemon=True).start()
    return future


def attempt(probe: Probe) -> Outcome:
    """The probe's finding or its error as a value."""
    try:
        return probe()
    except Exception as error:  # noqa: BLE001 - drivers and their bindings raise anything
        return error


def assemble(findings: Iterable[Finding], notes: Iterable[str] = ()) -> Hardware:
    """One picture out of the parts: limits applied, each accelerator once."""
    found = tuple(findings)
    container = first_of(found, Container) or Container()
    processor, memory = first_of(found, Processor), first_of(found, Memory)
    cards = merge_accelerators(part for part in found if isinstance(part, Accelerators))
    return Hardware(
        system=f"{platform.system()} {platform.release()}",
        processor=processor and limit_processor(processor, container),
        memory=memory and limit_memory(memory, container),
        disk=first_of(found, Disk),
        container=container,
        accelerators=cards.found,
        network=first_of(found, Network) or Network(),
        notes=(*notes, *cards.notes),
    )


def first_of(findings: Iterable[Finding], kind: type[T]) -> T | None:
    """The first finding of a kind, None when its probe failed."""
    return next((finding for finding in findings if isinstance(finding, kind)), None)
