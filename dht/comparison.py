"""Finds where two directories differ without sending either: hashes of sixty-four parts. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from mesh.ids import NodeId
from mesh.wire.discovery import BUCKET_HASH, BUCKETS, MAX_LISTED, Digest, Listed, Listing


class Comparison:
    """The (node, seq, lost) triples held, and a hash of each part that is kept up to date."""

    def __init__(self) -> None:
        self._parts: list[dict[NodeId, tuple[int, bool]]] = [{} for _ in range(BUCKETS)]
        self._hashes = [0] * BUCKETS

    @property
    def hashes(self) -> bytes:
        """One hash for each part; equal parts have equal hashes."""
        return b"".join(each.to_bytes(BUCKET_HASH, "big") for each in self._hashes)

    def put(self, node: NodeId, seq: int, *, lost: bool = False) -> None:
        """A node is held with this seq now, and believed lost or not."""
        self.drop(node)
        part = _part_of(node)
        self._parts[part][node] = (seq, lost)
        self._hashes[part] ^= _hash(node, seq, lost)

    def drop(self, node: NodeId) -> None:
        """A node is held no more. Harmless when it was not."""
        part = _part_of(node)
        held = self._parts[part].pop(node, None)
        if held is not None:
            self._hashes[part] ^= _hash(node, *held)

    def listing(self, digest: Digest, linked: Collection[NodeId]) -> Listing:
        """What is held in the differing parts, whole parts at a time, from `digest.start` on."""
        items: list[Listed] = []
        for part in range(digest.start, BUCKETS):
            at = part * BUCKET_HASH
            theirs = int.from_bytes(digest.hashes[at : at + BUCKET_HASH], "big")
            if theirs == self._hashes[part]:
                continue
            held = self._parts[part]
            if items and len(items) + len(held) > MAX_LISTED:
                return Listing(tuple(items), part)
            items.extend(
                Listed(node, seq, node in linked, lost) for node, (seq, lost) in held.items()
            )
        return Listing(tuple(items[:MAX_LISTED]))


def _part_of(node: NodeId) -> int:
    return int(node[:2], 16) * BUCKETS // 256


def _hash(node: NodeId, seq: int, lost: bool) -> int:
    """XORed over a part; a peer that forges equal hashes only hides its own records."""
    triple = f"{node}{seq}{lost}".encode()
    return int.from_bytes(hashlib.blake2b(triple, digest_size=BUCKET_HASH).digest(), "big")
