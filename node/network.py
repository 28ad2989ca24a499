"""Which mesh a network's name stands for."""

from __future__ import annotations

import re

from mesh.identity.mesh import mesh_of_network
from mesh.ids import MeshId

_MESH_ID = re.compile(r"[0-9a-f]{40}")


def resolve_network(name: str) -> MeshId:
    """40 hex digits are the id of a founded mesh; anything else names an open one."""
    return MeshId(name) if is_founded(name) else mesh_of_network(name)


def is_founded(name: str) -> bool:
    """Whether the mesh has a root key, so that there may be grants and coordinators."""
    return _MESH_ID.fullmatch(name) is not None
