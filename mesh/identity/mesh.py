"""What a mesh is: a root key whose hash is the mesh id, or a name that everybody may use."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mesh.errors import StorageError
from mesh.identity.keys import RootKey
from mesh.ids import MeshId

ROOT_KEY_FILE = "mesh.key"
MAX_NETWORK_NAME = 64


def create_mesh(folder: Path) -> RootKey:
    """Make a new mesh: a root key in `folder`/mesh.key. Raises StorageError if there is one."""
    path = folder / ROOT_KEY_FILE
    if path.exists():
        raise StorageError(f"{path} already holds the root key of a mesh: choose another folder")
    return RootKey.load_or_create(path)


def local_mesh(folder: Path) -> RootKey:
    """The mesh a node founds for itself when it is told of no other; kept for later starts."""
    return RootKey.load_or_create(folder / ROOT_KEY_FILE)


def root_of(folder: Path) -> RootKey | None:
    """The root key in a folder, if there is one. Raises StorageError when it is unusable."""
    return RootKey.load(folder / ROOT_KEY_FILE)


def mesh_of_network(name: str) -> MeshId:
    """The open mesh of a name. Raises ValueError unless it has 1 to 64 printable characters.

    No root key belongs to such an id, so no grant can exist in it: everybody who knows the name
    may join as worker, gateway or storage and nobody is trusted with anything.
    """
    if not (0 < len(name) <= MAX_NETWORK_NAME and name.isprintable()):
        raise ValueError(f"a network name has 1 to {MAX_NETWORK_NAME} printable characters")
    digest = hashlib.sha256(b"distributed-electrons open mesh\0" + name.encode())
    return MeshId(digest.hexdigest()[:40])
