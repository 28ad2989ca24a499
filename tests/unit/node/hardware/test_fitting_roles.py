"""Roles add up; none takes another away."""

from __future__ import annotations

from itertools import product

import pytest

from mesh.capability import Role
from node.hardware.hardware import (
    Accelerator,
    Address,
    Disk,
    Hardware,
    Network,
    Processor,
    Scope,
)
from node.hardware.roles import STORAGE_FREE, fitting_roles

GPU = Accelerator(vendor="NVIDIA", name="H100", usable=True)


def machine(free: int, scope: Scope, cards: tuple[Accelerator, ...] = ()) -> Hardware:
    """A machine with so much free disk, one address and these cards."""
    return Hardware(
        processor=Processor(model="", architecture="", logical_cores=1, usable_cores=0.5),
        disk=Disk("/data", 2 * STORAGE_FREE, free),
        network=Network((Address("eth0", "an address", scope),)),
        accelerators=cards,
    )


@pytest.mark.parametrize(
    ("free", "scope", "roles"),
    [
        (0, "private", ("gateway", "worker")),
        (STORAGE_FREE - 1, "shared", ("gateway", "worker")),
        (STORAGE_FREE, "private", ("gateway", "worker", "storage")),
        (0, "global", ("gateway", "worker", "relay", "coordinator")),
        (STORAGE_FREE, "global", ("gateway", "worker", "storage", "relay", "coordinator")),
    ],
)
def test_roles_follow_from_disk_and_address(
    free: int, scope: Scope, roles: tuple[Role, ...]
) -> None:
    assert fitting_roles(machine(free, scope)) == roles


def test_more_hardware_never_takes_a_role_away() -> None:
    sizes = (0, STORAGE_FREE)
    scopes: tuple[Scope, ...] = ("private", "global")
    least = set(fitting_roles(machine(0, "private")))
    for free, scope, cards in product(sizes, scopes, ((), (GPU,))):
        assert least <= set(fitting_roles(machine(free, scope, cards)))


def test_a_machine_of_which_nothing_is_known_can_work() -> None:
    assert fitting_roles(Hardware()) == ("gateway", "worker")
