"""What `electrons probe` prints, to people and to programs."""

from __future__ import annotations

import json

from node.cli.probe import render_table, size, to_json
from node.hardware.hardware import (
    Accelerator,
    Address,
    Container,
    Disk,
    Hardware,
    Memory,
    Network,
    Processor,
)

GIB = 2**30

FULL = Hardware(
    system="Linux 6.12",
    processor=Processor(
        model="AMD EPYC 9354",
        architecture="x86_64",
        logical_cores=64,
        physical_cores=32,
        usable_cores=2.0,
        features=("avx2", "avx512f"),
    ),
    memory=Memory(total=256 * GIB, available=3 * GIB, limit=4 * GIB),
    disk=Disk("/data", 1000 * GIB, 412 * GIB),
    container=Container("docker", "v2", 2.0, 4 * GIB, 3 * GIB),
    accelerators=(
        Accelerator(
            vendor="NVIDIA",
            name="NVIDIA H100 80GB HBM3",
            memory_total=80 * GIB,
            memory_free=74 * GIB,
            driver="580.159.04",
            architecture="sm_90",
            utilisation=63,
            usable=True,
        ),
        Accelerator(vendor="NVIDIA", name="H100 1g.10gb", mig=True, usable=True, driver="580"),
        Accelerator(vendor="Intel", name="UHD 770", shared_memory=True, driver="i915"),
        Accelerator(vendor="Habana", name="Gaudi2", kind="npu"),
        Accelerator(vendor="1a03", name="AST2500", kind="display"),
    ),
    network=Network(
        (
            Address("lo", "127.0.0.1", "loopback"),
            Address("eth0", "8.8.8.8", "global"),
            Address("docker0", "172.18.0.3", "private"),
            Address("eth0", "fe80::1", "link-local"),
        )
    ),
    notes=("disk: slow\x1b[31m",),
)

TABLE = """\
System     Linux 6.12
Processor  AMD EPYC 9354 (x86_64)
           64 cores (32 physical), 2 usable
           avx2 avx512f
Memory     256.0 GiB, limited to 4.0 GiB, 3.0 GiB available
Container  docker (cgroup v2): 2 CPUs, 4.0 GiB memory
Disk       412.0 GiB free of 1000.0 GiB at /data
GPU        NVIDIA H100 80GB HBM3, 80.0 GiB, 74.0 GiB free, 63 % busy, sm_90, driver 580.159.04
           H100 1g.10gb (MIG instance), driver 580
           UHD 770, shares the machine's memory, driver i915, not usable
NPU        Gaudi2, no driver, not usable
Network    8.8.8.8     global (eth0)
           172.18.0.3  private (docker0)
Roles      gateway, worker, storage, relay, coordinator
Note       disk: slow?[31m"""

EMPTY_TABLE = """\
System     unknown
Processor  unknown
Memory     unknown
Disk       unknown
GPU        none found
Network    no public address of its own
Roles      gateway, worker"""


def test_a_full_table_is_aligned_and_cannot_steer_the_terminal() -> None:
    assert render_table(FULL) == TABLE


def test_a_machine_of_which_nothing_is_known() -> None:
    assert render_table(Hardware()) == EMPTY_TABLE


def test_limits_outside_of_a_container_are_named_as_what_they_are() -> None:
    slice_ = Hardware(container=Container(cgroup="v1", cpus=1.0))
    assert "Container  control group (cgroup v1): 1 CPU" in render_table(slice_)


def test_a_container_without_limits_says_so() -> None:
    free = Hardware(container=Container(runtime="podman", cgroup="v2"))
    assert "Container  podman (cgroup v2): no limits" in render_table(free)


def test_json_has_bytes_and_everything_else() -> None:
    data = json.loads(json.dumps(to_json(FULL)))
    assert data["memory"] == {"total": 256 * GIB, "available": 3 * GIB, "limit": 4 * GIB}
    assert data["processor"]["usable_cores"] == 2.0
    assert [card["name"] for card in data["accelerators"]][-1] == "AST2500"
    assert data["container"]["cpus"] == 2.0
    assert data["network"]["global_addresses"] == ["8.8.8.8"]
    assert data["roles"] == ["gateway", "worker", "storage", "relay", "coordinator"]


def test_unknown_parts_are_null_in_json() -> None:
    data = to_json(Hardware())
    assert (data["processor"], data["memory"], data["disk"]) == (None, None, None)


def test_sizes_in_the_largest_fitting_unit() -> None:
    shown = [size(n) for n in (0, 1023, 1024, 1536 * 2**20, 2**40, 2**60)]
    assert shown == ["0 B", "1023 B", "1.0 KiB", "1.5 GiB", "1.0 TiB", "1024.0 PiB"]
