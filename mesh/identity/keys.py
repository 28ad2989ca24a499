"""Ed25519 keys (RFC 8032): a node's own, and the root key that is a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from mesh.errors import StorageError
from mesh.identity.private_file import read_private, write_private
from mesh.ids import MeshId, NodeId, mesh_id_of, node_id_of

PUBLIC_KEY_SIZE = 32
SIGNATURE_SIZE = 64


class SigningKey:
    """An Ed25519 private key that is kept in a PEM file of mode 0600."""

    _what = "the key file"
    _cure = "restore it from a copy, or move it away so that a new one is made at the next start"

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._public = private.public_key().public_bytes_raw()

    @classmethod
    def generate(cls) -> Self:
        """A new random key, in memory only."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """The key in a file, None when there is no file. Raises StorageError."""
        pem = read_private(path, cls._what)
        return None if pem is None else cls._parse(pem, path)

    @classmethod
    def load_or_create(cls, path: Path) -> Self:
        """The key in a file, made at first start. Raises StorageError that says what to do."""
        key = cls.load(path)
        if key is not None:
            return key
        key = cls.generate()
        if write_private(path, key.private_pem(), cls._what, replace=False):
            return key
        return cls.load_or_create(path)  # another process was first: take its key

    @property
    def public_key(self) -> bytes:
        """The raw 32 bytes."""
        return self._public

    def sign(self, data: bytes) -> bytes:
        """A 64-byte signature. Use `mesh.identity.signing.sign`, which separates purposes."""
        return self._private.sign(data)

    def private_pem(self) -> bytes:
        """The private key as unencrypted PKCS 8 PEM."""
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def private(self) -> Ed25519PrivateKey:
        """For building certificates."""
        return self._private

    @classmethod
    def _parse(cls, pem: bytes, path: Path) -> Self:
        try:
            private = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise StorageError(f"{cls._what} {path} holds no key: {cls._cure}") from None
        if not isinstance(private, Ed25519PrivateKey):
            raise StorageError(f"{cls._what} {path} is not an Ed25519 key: {cls._cure}")
        return cls(private)


class NodeKey(SigningKey):
    """Who a node is. Made at first start, never changed: the node id is its hash."""

    _what = "the node's key file"
    _cure = (
        "restore it from a copy, or move it away and the node starts anew under another identity"
    )

    @property
    def node_id(self) -> NodeId:
        return node_id_of(self._public)


class RootKey(SigningKey):
    """What a mesh is. Whoever holds it can grant any role in that mesh."""

    _what = "the mesh's root key file"
    _cure = "restore it from a copy; without it no new coordinator can be granted in this mesh"

    @property
    def mesh_id(self) -> MeshId:
        return mesh_id_of(self._public)
