"""Processor: cores, model and instruction sets, from /proc and /sys or from psutil."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from pathlib import Path

import psutil

from node.hardware.command import capture
from node.hardware.hardware import Container, Processor
from node.hardware.processor_names import ARM_PARTS, FEATURE_NAMES
from node.hardware.sysfs import parse_int, parse_pairs, parse_ranges, read_pairs, read_text

MAC_MODEL = ("/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string")


def probe_processor(root: Path) -> Processor:
    """What /proc and /sys tell, or psutil elsewhere. Raises OSError when nothing tells."""
    cpuinfo = read_text(root / "proc/cpuinfo")
    if cpuinfo:
        return read_linux(root, cpuinfo)
    if root != Path("/"):
        raise FileNotFoundError(f"no cpuinfo below {root}")
    return read_elsewhere()


def read_linux(root: Path, cpuinfo: str) -> Processor:
    """Cores by sysfs, usable ones by the process's CPU mask, the rest by cpuinfo."""
    folder = root / "sys/devices/system/cpu"
    online = parse_ranges(read_text(folder / "online"))
    logical = len(online) or count_processors(cpuinfo) or 1
    mask = read_pairs(root / "proc/self/status", ":").get("Cpus_allowed_list")
    allowed = parse_ranges(mask)
    usable = len(allowed & online if online else allowed) or logical
    return Processor(
        model=model_name(root, cpuinfo),
        architecture=architecture(cpuinfo),
        logical_cores=logical,
        physical_cores=count_physical(folder, online) or physical_by_cpuinfo(cpuinfo),
        usable_cores=float(usable),
        features=features(cpuinfo),
    )


def count_processors(cpuinfo: str) -> int:
    """Logical cores by the number of `processor : N` lines."""
    lines = (line.partition(":") for line in cpuinfo.splitlines())
    return sum(1 for name, _, value in lines if name.strip() == "processor" and value.strip())


def count_physical(folder: Path, online: frozenset[int]) -> int | None:
    """Cores by the distinct sets of threads that share one; None when sysfs does not say."""
    sets = (read_text(folder / f"cpu{n}/topology/thread_siblings_list") for n in sorted(online))
    return len({text for text in sets if text}) or None


def physical_by_cpuinfo(cpuinfo: str) -> int | None:
    """Cores by the distinct pairs of socket and core number; None when cpuinfo has none."""
    cores = set()
    for block in cpuinfo.split("\n\n"):
        fields = parse_pairs(block, ":")
        if "core id" in fields:
            cores.add((fields.get("physical id", "0"), fields["core id"]))
    return len(cores) or None


def model_name(root: Path, cpuinfo: str) -> str:
    """The marketing name, else the ARM part, else the board; empty when nothing tells."""
    fields = parse_pairs(cpuinfo, ":")
    for name in ("model name", "cpu model", "uarch", "cpu"):
        if fields.get(name):
            return fields[name]
    part = (parse_int(fields.get("CPU implementer")), parse_int(fields.get("CPU part")))
    board = (read_text(root / "proc/device-tree/model") or fields.get("Model", "")).strip("\0 ")
    core = ARM_PARTS.get(part, "")
    return f"{core} ({board})" if core and board else core or board


def architecture(cpuinfo: str) -> str:
    """x86_64, aarch64, ... of the machine that wrote `cpuinfo`."""
    fields = parse_pairs(cpuinfo, ":")
    if "vendor_id" in fields and "flags" in fields:
        return "x86_64" if "lm" in fields["flags"].split() else "i686"
    if "CPU architecture" in fields:
        return "aarch64" if "asimd" in fields.get("Features", "").split() else "arm"
    return platform.machine()


def features(cpuinfo: str) -> tuple[str, ...]:
    """Known instruction sets that every core has, in the order of the table."""
    common: set[str] | None = None
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            flags = set(value.split())
            common = flags if common is None else common & flags
    return tuple(dict.fromkeys(n for flag, n in FEATURE_NAMES.items() if flag in (common or ())))


def read_elsewhere() -> Processor:
    """What psutil and the interpreter tell where there is no /proc."""
    logical = psutil.cpu_count() or os.cpu_count() or 1
    machine = platform.machine()
    mac = platform.system() == "Darwin"
    return Processor(
        model=capture(*MAC_MODEL) if mac else platform.processor(),
        architecture=machine,
        logical_cores=logical,
        physical_cores=psutil.cpu_count(logical=False),
        usable_cores=float(logical),
        features=("neon",) if machine.lower() in ("arm64", "aarch64") else (),
    )


def limit_processor(processor: Processor, container: Container) -> Processor:
    """The same processor with a container's CPU quota applied."""
    if container.cpus is None:
        return processor
    return replace(processor, usable_cores=min(processor.usable_cores, container.cpus))
