"""Who may use a node that keeps no accounts of its own: its owner, key holders, or everybody."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Literal

from mesh.errors import ConfigError
from mesh.ports import Principal
from node.gateway.limits import MAX_KEYS, MAX_TOKEN

Access = Literal["local", "open", "keys"]
"""local: this machine only, the default on loopback. open: everybody. keys: holders of a key."""

LOCAL = Principal("local", "this machine")
OPEN = Principal("open", "anybody")
ADMIN = Principal("local", "administrator", admin=True)


def digest_key(key: str) -> str:
    """How a key is kept: its SHA-256 in hex. Keys are long and random, so no salt is needed."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class LocalAccounts:
    """Implements mesh.ports.Accounts. The admin token of run.json is accepted in every mode."""

    def __init__(
        self,
        *,
        access: Access = "local",
        admin_token: str | None = None,
        key_digests: Sequence[str] = (),
    ) -> None:
        """`key_digests` are SHA-256 digests of keys in hex, "sha256:" before them or not."""
        if len(key_digests) > MAX_KEYS:
            raise ConfigError("api_keys", len(key_digests), f"at most {MAX_KEYS} are allowed")
        self._access = access
        self._admin = digest_key(admin_token) if admin_token else None
        digests = [digest.lower().removeprefix("sha256:") for digest in key_digests]
        self._keys = {digest: _holder(digest) for digest in digests}

    def authenticate(self, token: str | None, *, local: bool) -> Principal | None:
        """The principal, or None when the caller must not come in."""
        known = self._known(token) if token else None
        if known is not None:
            return known
        if self._access == "open":
            return OPEN
        if self._access == "local" and local:
            return LOCAL
        return None

    def _known(self, token: str) -> Principal | None:
        if len(token) > MAX_TOKEN or not (self._admin or self._keys):
            return None
        presented = digest_key(token)
        found = None
        # Every digest is compared in full, so the time taken tells nothing about any of them.
        for digest, principal in self._keys.items():
            if hmac.compare_digest(digest, presented):
                found = principal
        if self._admin is not None and hmac.compare_digest(self._admin, presented):
            found = ADMIN
        return found


def _holder(digest: str) -> Principal:
    """Key holders are told apart by their key's digest, which is no secret."""
    return Principal(f"key-{digest[:16]}", f"key {digest[:8]}")
