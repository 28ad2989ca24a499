"""Forges and replays signed records and lists of revocations, as an attacker who hears all can.

The attacker holds every byte that was ever sent, keys of its own with and without a grant of
another mesh, and its old grants: expired, revoked, of a node that was removed. What it never has is
a member's private key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

import msgpack
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mesh.capability import NodeRecord, Role
from mesh.identity.grants import Grant, encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey, SigningKey
from mesh.identity.revocations import Revocations, Revoked, sign_revocations
from mesh.ids import MeshId, NodeId
from mesh.wire.dht_records import DhtRecord, pack_offering, sign_dht, table_key
from mesh.wire.records import NODE_RECORD, sign_node
from mesh.wire.revocation import encode_revocations

NOW, DAY, HOUR = 1_700_000_000.0, 86_400.0, 3_600.0
NEWEST = 50
"""Seq of the newest record of every victim, and number of the newest list."""

Forge = Callable[[Random], bytes]


def grant_for(
    root: SigningKey,
    mesh_id: MeshId,
    node: NodeKey,
    *roles: Role,
    until: float = NOW + DAY,
    issuer: Grant | None = None,
) -> Grant:
    return issue_grant(
        root, mesh_id=mesh_id, node_id=node.node_id, roles=roles, not_after=until, issuer=issuer
    )


class World:
    """A closed mesh with members, somebody removed, somebody whose grant ended, and an attacker."""

    def __init__(self) -> None:
        self.root, self.other = RootKey.generate(), RootKey.generate()
        self.mesh_id = self.root.mesh_id
        self.coordinator, self.victim, self.removed = (NodeKey.generate() for _ in range(3))
        self.lapsed, self.stripped, self.attacker = (NodeKey.generate() for _ in range(3))
        self.chain = self._rooted(self.coordinator, "coordinator")
        self.grants = {
            self.coordinator: self.chain,
            self.victim: self._chained(self.victim),
            self.removed: self._chained(self.removed),
            self.stripped: self._rooted(self.stripped, "coordinator"),
            self.lapsed: self._rooted(self.lapsed, "coordinator", until=NOW - HOUR),
        }

    def _rooted(self, node: NodeKey, *roles: Role, until: float = NOW + DAY) -> Grant:
        return grant_for(self.root, self.mesh_id, node, *roles, until=until)

    def _chained(self, node: NodeKey) -> Grant:
        return grant_for(self.coordinator, self.mesh_id, node, "worker", issuer=self.chain)

    # ── what honest nodes send ──────────────────────────────────────────────────────────────────

    def record(
        self, key: NodeKey, *, seq: int = NEWEST, at: float = NOW, grants: tuple[bytes, ...] = ()
    ) -> NodeRecord:
        return NodeRecord(
            key.node_id,
            seq,
            at,
            900.0,
            ("tcp://192.0.2.1:7718",),
            ("worker",),
            grants=grants or self.shown(key),
        )

    def shown(self, key: NodeKey) -> tuple[bytes, ...]:
        return (encode_grant(self.grants[key]),) if key in self.grants else ()

    def node_record(self, key: NodeKey, **changes: Any) -> bytes:
        mesh_id = changes.pop("mesh_id", self.mesh_id)
        return sign_node(key, mesh_id, self.record(key, **changes)).data

    def table_record(self, key: NodeKey, **changes: Any) -> bytes:
        mesh_id = changes.pop("mesh_id", self.mesh_id)
        record = self.record(key, **changes)
        entry = DhtRecord(
            kind="service",
            key=table_key("service", "worker"),
            node=key.node_id,
            seq=record.seq,
            issued_at=record.issued_at,
            ttl=900.0,
            body=pack_offering("worker", record, None),
            grants=record.grants,
        )
        return sign_dht(key, mesh_id, entry).data

    def revocations(
        self,
        key: SigningKey,
        *,
        number: int = NEWEST,
        issuer: Grant | None = None,
        nodes: tuple[NodeId, ...] = (),
        at: float = NOW,
        mesh_id: MeshId | None = None,
    ) -> bytes:
        return encode_revocations(self.revocation_list(key, number, issuer, nodes, at, mesh_id))

    def revocation_list(
        self,
        key: SigningKey,
        number: int,
        issuer: Grant | None,
        nodes: tuple[NodeId, ...],
        at: float = NOW,
        mesh_id: MeshId | None = None,
    ) -> Revocations:
        entries = [Revoked(node, NOW + DAY) for node in nodes or (self.removed.node_id,)]
        return sign_revocations(
            key,
            mesh_id=mesh_id or self.mesh_id,
            number=number,
            entries=entries,
            issued_at=at,
            issuer=issuer,
        )

    # ── what the attacker makes of it ───────────────────────────────────────────────────────────

    def record_forgeries(self, make: Callable[..., bytes]) -> list[Forge]:
        """Ways to forge what `make` (`node_record` or `table_record`) signs."""
        good, newer = make(self.victim), make(self.victim, seq=NEWEST + 7)
        mine = make(self.attacker, grants=self.shown(self.victim))
        return [
            lambda rng: flip(good, rng),
            lambda rng: flip(newer, rng),
            lambda rng: good[: rng.randrange(len(good))],
            lambda rng: newer + rng.randbytes(rng.randint(1, 40)),
            lambda rng: alter_payload(good, rng),
            lambda rng: transplant(newer, mine, rng),
            lambda rng: reseal_payload(newer, self.attacker),
            lambda rng: make(self.victim, seq=rng.randint(1, NEWEST)),
            lambda rng: make(self.victim, seq=NEWEST + 9, at=NOW - DAY - rng.uniform(1, 1e6)),
            lambda rng: make(self.victim, seq=NEWEST + 9, mesh_id=self.other.mesh_id),
            lambda rng: make(sybil(rng)),
            lambda rng: make(sybil(rng), grants=self.shown(self.victim)),
            lambda rng: make(sybil(rng), grants=(flip(self.shown(self.victim)[0], rng),)),
            lambda rng: self.with_grant(make, rng, self.other, self.other.mesh_id),
            lambda rng: self.with_grant(make, rng, self.other, self.mesh_id),
            lambda rng: self.with_grant(make, rng, self.attacker, self.mesh_id, self.chain),
            lambda rng: self.with_unsigned_grant(make, rng),
            lambda rng: make(self.removed, seq=NEWEST + rng.randint(1, 99)),
            lambda rng: make(self.lapsed, seq=NEWEST + rng.randint(1, 99)),
            lambda rng: make(self.stripped, seq=NEWEST + rng.randint(1, 99)),
        ]

    def with_grant(
        self,
        make: Callable[..., bytes],
        rng: Random,
        root: SigningKey,
        mesh_id: MeshId,
        issuer: Grant | None = None,
    ) -> bytes:
        """A record of a fresh identity with a grant that this mesh's root has no part in."""
        key = sybil(rng)
        return make(
            key, grants=(encode_grant(grant_for(root, mesh_id, key, "worker", issuer=issuer)),)
        )

    def with_unsigned_grant(self, make: Callable[..., bytes], rng: Random) -> bytes:
        """A grant that names the root's key and that the root has not signed."""
        key = sybil(rng)
        drawn = grant_for(self.attacker, self.mesh_id, key, "worker")
        posing = replace(drawn, issuer_key=self.root.public_key, signature=rng.randbytes(64))
        return make(key, grants=(encode_grant(posing),))

    def list_forgeries(self) -> list[Forge]:
        """Ways to forge lists of revocations."""
        make, everybody = self.revocations, (self.victim.node_id, self.coordinator.node_id)
        good = make(self.coordinator, issuer=self.chain)
        newer = make(self.coordinator, issuer=self.chain, number=NEWEST + 7)
        stolen = self.chain

        def signed(key: SigningKey, issuer: Grant | None, **changes: Any) -> Forge:
            return lambda rng: make(
                key,
                issuer=issuer,
                nodes=everybody,
                number=NEWEST + rng.randint(1, 2**40),
                **changes,
            )

        return [
            lambda rng: flip(good, rng),
            lambda rng: flip(newer, rng),
            lambda rng: newer[: rng.randrange(len(newer))],
            lambda rng: alter_list(newer, rng),
            lambda rng: make(
                self.coordinator, issuer=self.chain, number=rng.randint(0, NEWEST), nodes=everybody
            ),
            lambda rng: make(self.root, number=rng.randint(0, NEWEST), nodes=everybody),
            signed(self.attacker, None),
            signed(self.attacker, stolen),
            signed(self.victim, self.grants[self.victim]),
            signed(self.removed, self.grants[self.removed]),
            signed(self.stripped, self.grants[self.stripped]),
            signed(self.lapsed, self.grants[self.lapsed]),
            signed(self.other, None),
            signed(self.coordinator, self.chain, mesh_id=self.other.mesh_id),
            signed(self.coordinator, self.chain, at=NOW + 2 * DAY),
            signed(self.attacker, replace(stolen, node_id=self.attacker.node_id)),
        ]


def sybil(rng: Random) -> NodeKey:
    """One of the identities that an attacker makes by the thousand."""
    return NodeKey(Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))


def forged(ways: list[Forge], count: int, seed: int) -> Iterator[tuple[int, bytes]]:
    """`count` forgeries, each way as often as any other: number of the way, and the bytes."""
    rng = Random(seed)
    for number in range(count):
        way = number % len(ways)
        yield way, ways[way](rng)


def flip(data: bytes, rng: Random) -> bytes:
    """Change some bits."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 8])):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed) if bytes(changed) != data else flip(data, rng)


def alter_payload(data: bytes, rng: Random) -> bytes:
    """Write something else under somebody's signature."""
    payload, key, signature = msgpack.unpackb(data)[:3]
    parts = msgpack.unpackb(payload)
    parts[1] += rng.randint(1, 2**30)
    return bytes(msgpack.packb([msgpack.packb(parts), key, signature]))


def alter_list(data: bytes, rng: Random) -> bytes:
    """Another number, time or entry under a coordinator's signature."""
    parts = msgpack.unpackb(data)
    place = rng.choice([1, 2, 3])
    parts[place] = {
        1: parts[1] + rng.randint(1, 2**30),
        2: parts[2] - rng.uniform(1, 1e6),
        3: [*parts[3], [rng.randbytes(20), NOW + DAY, []]],
    }[place]
    return bytes(msgpack.packb(parts))


def transplant(data: bytes, other: bytes, rng: Random) -> bytes:
    """Somebody's record with another's key or signature."""
    parts, strange = msgpack.unpackb(data), msgpack.unpackb(other)
    place = rng.choice([1, 2])
    parts[place] = strange[place]
    return bytes(msgpack.packb(parts))


def reseal_payload(data: bytes, key: NodeKey) -> bytes:
    """Somebody's words, signed by the attacker with its own key, as any kind of record."""
    payload = msgpack.unpackb(data)[0]
    return bytes(msgpack.packb([payload, key.public_key, key.sign(NODE_RECORD.encode() + payload)]))
