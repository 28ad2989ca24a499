"""The hardware as a table for people and as plain data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from node.hardware.hardware import Accelerator, Container, Disk, Hardware, Memory, Processor
from node.hardware.roles import fitting_roles

Row = tuple[str, str]

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def to_json(hardware: Hardware) -> dict[str, Any]:
    """Everything found, with the roles that fit. Sizes are bytes; null means not known."""
    data = asdict(hardware)
    data["network"]["global_addresses"] = list(hardware.network.global_addresses)
    data["roles"] = list(fitting_roles(hardware))
    return data


def render_table(hardware: Hardware) -> str:
    """Two aligned columns, one line per fact; a repeated label is printed once."""
    rows = [*machine_rows(hardware), *network_rows(hardware), *closing_rows(hardware)]
    width = max(len(label) for label, _ in rows)
    lines, last = [], ""
    for label, text in rows:
        shown = "" if label == last else label
        lines.append(f"{shown:<{width}}  {printable(text)}".rstrip())
        last = label
    return "\n".join(lines)


def machine_rows(hardware: Hardware) -> Iterator[Row]:
    """Processor, memory, limits, disk and accelerators."""
    yield "System", hardware.system or "unknown"
    yield from processor_rows(hardware.processor)
    yield "Memory", describe_memory(hardware.memory)
    if limits := describe_container(hardware.container):
        yield "Container", limits
    yield "Disk", describe_disk(hardware.disk)
    cards = [card for card in hardware.accelerators if card.kind != "display"]
    for card in cards:
        yield "NPU" if card.kind == "npu" else "GPU", describe_accelerator(card)
    if not any(card.kind == "gpu" for card in cards):
        yield "GPU", "none found"


def processor_rows(processor: Processor | None) -> Iterator[Row]:
    """Model, cores and instruction sets."""
    if processor is None:
        yield "Processor", "unknown"
        return
    yield "Processor", f"{processor.model or 'unknown model'} ({processor.architecture})"
    cores = count(processor.logical_cores, "core")
    if processor.physical_cores not in (None, processor.logical_cores):
        cores += f" ({processor.physical_cores} physical)"
    yield "Processor", f"{cores}, {processor.usable_cores:g} usable"
    if processor.features:
        yield "Processor", " ".join(processor.features)


def network_rows(hardware: Hardware) -> Iterator[Row]:
    """Addresses that lead somewhere else, with their scope."""
    shown = [a for a in hardware.network.addresses if a.scope not in ("loopback", "link-local")]
    width = max((len(a.ip) for a in shown), default=0)
    for address in shown:
        yield "Network", f"{address.ip:<{width}}  {address.scope} ({address.interface})"
    if not hardware.network.global_addresses:
        yield "Network", "no public address of its own"


def closing_rows(hardware: Hardware) -> Iterator[Row]:
    """Roles that fit, then what went wrong."""
    yield "Roles", ", ".join(fitting_roles(hardware))
    for note in hardware.notes:
        yield "Note", note


def describe_memory(memory: Memory | None) -> str:
    """Total, available and the limit where there is one."""
    if memory is None:
        return "unknown"
    limit = f", limited to {size(memory.limit)}" if memory.limit is not None else ""
    return f"{size(memory.total)}{limit}, {size(memory.available)} available"


def describe_container(container: Container) -> str:
    """Runtime and limits; empty outside of any container and limit."""
    limits = []
    if container.cpus is not None:
        limits.append(f"{container.cpus:g} CPU{'' if container.cpus == 1 else 's'}")
    if container.memory is not None:
        limits.append(f"{size(container.memory)} memory")
    if not limits and not container.runtime:
        return ""
    where = f"{container.runtime or 'control group'} (cgroup {container.cgroup or 'unknown'})"
    return f"{where}: {', '.join(limits) or 'no limits'}"


def describe_disk(disk: Disk | None) -> str:
    """Free and total room where the data folder is."""
    if disk is None:
        return "unknown"
    return f"{size(disk.free)} free of {size(disk.total)} at {disk.path}"


def describe_accelerator(card: Accelerator) -> str:
    """Name, memory, load and driver in one line."""
    facts = [card.name + (" (MIG instance)" if card.mig else "")]
    if card.memory_total is not None:
        free = f", {size(card.memory_free)} free" if card.memory_free is not None else ""
        facts.append(size(card.memory_total) + free)
    if card.shared_memory:
        facts.append("shares the machine's memory")
    if card.utilisation is not None:
        facts.append(f"{card.utilisation} % busy")
    if card.architecture:
        facts.append(card.architecture)
    facts.append(f"driver {card.driver}" if card.driver else "no driver")
    if not card.usable:
        facts.append("not usable")
    return ", ".join(facts)


def count(number: int, noun: str) -> str:
    """`1 core`, `2 cores`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(number: int) -> str:
    """Bytes in the largest unit that leaves at least one, binary: 4.0 GiB."""
    value, unit = float(number), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{number} B"


def printable(text: str) -> str:
    """Device names and paths come from outside: what would steer a terminal is replaced."""
    return "".join(character if character.isprintable() else "?" for character in text)
