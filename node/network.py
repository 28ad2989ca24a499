"""Which mesh a network's name stands for."""

from __future__ import annotations

import re

from mesh.identity.mesh import mesh_of_network
from mesh.ids import MeshId

_MESH_ID = re.compile(r"[0-9a-f]{40}")


def resolve_network(name: str) -> MeshId:
    """40 hex digits are the id of a founded mesh; anything else names an open one."""
    return MeshId(name) if _MESH_ID.fullmatch(name) else mesh_of_network(name)
