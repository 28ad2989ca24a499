"""What the machine under a node has. Sizes are bytes; None means: not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AcceleratorKind = Literal["gpu", "npu", "display"]
"""`display`: an adapter that only shows pictures (virtual machines, server boards)."""
CgroupVersion = Literal["", "v1", "v2", "hybrid"]
Scope = Literal[
    "global",
    "private",
    "shared",
    "link-local",
    "loopback",
    "unique-local",
    "documentation",
    "other",
]
"""`shared` is 100.64.0.0/10, the addresses inside carrier-grade NAT."""


@dataclass(frozen=True, slots=True)
class Processor:
    """The processors the operating system sees, and how much of them this process may use."""

    model: str
    architecture: str
    logical_cores: int
    usable_cores: float
    """After affinity, cpuset and CPU quota; 0.5 is half a core."""
    physical_cores: int | None = None
    features: tuple[str, ...] = ()
    """Instruction sets that engines ask for: avx2, avx512f, neon, ..."""


@dataclass(frozen=True, slots=True)
class Memory:
    """The machine's memory, and what is left of it for this process."""

    total: int
    available: int
    """What can be taken without swapping, the limit considered."""
    limit: int | None = None
    """The most this process may use, when that is less than `total`."""

    @property
    def usable(self) -> int:
        """The smaller of `total` and `limit`."""
        return self.total if self.limit is None else min(self.total, self.limit)


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that holds the data folder."""

    path: str
    total: int
    free: int
    """What an ordinary user may still write."""


@dataclass(frozen=True, slots=True)
class Container:
    """Limits that control groups put on this process, inside a container or not."""

    runtime: str = ""
    """docker, podman, kubernetes, lxc, ...; empty when no container was recognised."""
    cgroup: CgroupVersion = ""
    cpus: float | None = None
    """CPU quota in cores."""
    memory: int | None = None
    memory_free: int | None = None
    """What is left below the tightest memory limit, reclaimable file cache not counted as used."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One GPU or NPU (or a part of one: `mig`)."""

    vendor: str
    name: str
    kind: AcceleratorKind = "gpu"
    index: int = 0
    """As the vendor's own tools count."""
    uuid: str = ""
    address: str = ""
    """PCI address as in /sys/bus/pci/devices, where there is one."""
    memory_total: int | None = None
    memory_free: int | None = None
    shared_memory: bool = False
    """True when it works in the machine's memory and has none of its own."""
    driver: str = ""
    architecture: str = ""
    """What kernels are compiled for: sm_90, gfx1030, metal3, ..."""
    utilisation: int | None = None
    """Per cent of the last sample period in which it was busy."""
    mig: bool = False
    """True for one instance of an NVIDIA GPU that is divided by MIG."""
    usable: bool = False
    """True when a driver that can compute is loaded and this process can reach it."""


@dataclass(frozen=True, slots=True)
class Accelerators:
    """What one accelerator probe found, and what a person should know about it."""

    found: tuple[Accelerator, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Address:
    """One address of one interface that is up."""

    interface: str
    ip: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Network:
    """The machine's own addresses. A NAT before it is not seen from here."""

    addresses: tuple[Address, ...] = ()

    @property
    def global_addresses(self) -> tuple[str, ...]:
        """Addresses that the whole internet could route to; a firewall may still stand before."""
        return tuple(address.ip for address in self.addresses if address.scope == "global")


@dataclass(frozen=True, slots=True)
class Hardware:
    """Everything the probes found. A part is None when its probe failed; `notes` say why."""

    system: str = ""
    processor: Processor | None = None
    memory: Memory | None = None
    disk: Disk | None = None
    container: Container = Container()
    accelerators: tuple[Accelerator, ...] = ()
    network: Network = Network()
    notes: tuple[str, ...] = ()

    @property
    def gpus(self) -> tuple[Accelerator, ...]:
        """The accelerators an engine could compute on now."""
        return tuple(card for card in self.accelerators if card.kind == "gpu" and card.usable)
