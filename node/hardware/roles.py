"""Which roles a machine could take."""

from __future__ import annotations

from mesh.capability import Role
from node.hardware.hardware import Hardware

STORAGE_FREE = 100 * 10**9
"""Free bytes from which keeping other people's blobs is no burden."""


def fitting_roles(hardware: Hardware) -> tuple[Role, ...]:
    """Roles that fit the machine. They add up: none excludes another, and `worker` always fits.

    `relay` and `coordinator` need to be dialled by anyone; an own global address makes that
    possible and does not prove it.
    """
    roles: list[Role] = ["gateway", "worker"]
    if hardware.disk is not None and hardware.disk.free >= STORAGE_FREE:
        roles.append("storage")
    if hardware.network.global_addresses:
        roles += ["relay", "coordinator"]
    return tuple(roles)
