"""Which mesh a network's name stands for, and whether this node takes strangers in it."""

from __future__ import annotations

import re

from mesh.identity.mesh import mesh_of_network
from mesh.ids import MeshId
from node.config_values import BadValue, parse_name

OPEN = "+open"
"""After a founded mesh's id: this node takes strangers, and trusts them with nothing."""
_FOUNDED = re.compile(r"([0-9a-f]{40})(\+open)?")


def resolve_network(name: str) -> MeshId:
    """40 hex digits are the id of a founded mesh; anything else names an open one."""
    return MeshId(name.removesuffix(OPEN)) if is_founded(name) else mesh_of_network(name)


def is_founded(name: str) -> bool:
    """Whether the mesh has a root key, so that there may be grants and coordinators."""
    return _FOUNDED.fullmatch(name) is not None


def is_closed(name: str) -> bool:
    """Whether this node takes members only: founded meshes, unless the name ends in +open."""
    return is_founded(name) and not name.endswith(OPEN)


def parse_network(raw: object) -> str:
    """A name, or a founded mesh's id, which +open may follow. Raises BadValue."""
    text = raw.strip() if isinstance(raw, str) else raw
    if isinstance(text, str) and text.endswith(OPEN):
        if is_founded(text):
            return text
        raise BadValue(raw, f"{OPEN} follows the id that 'electrons mesh create' printed")
    return parse_name(text)
