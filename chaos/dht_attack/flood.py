"""One holder under a flood of stores: forged, replayed, misplaced, and simply too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chaos.dht_attack.world import MESH, signed_offering
from chaos.virtual_time import run_virtual
from dht.counters import DhtCounters
from dht.defences import OPEN, Defences
from dht.networks import network_of
from dht.table_server import TableServer
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.links.memory import LoopClock
from mesh.wire import dht
from mesh.wire.dht_records import DhtRecord, open_dht, sign_dht

OTHER_MESH = MeshId("ee" * 20)
ADDRESS = "tcp://9.9.9.9:4001"
DAY = 86_400.0
BATCH = 16
LIARS_NETWORK = "tcp://45.83.1.7:4001"

Forge = Callable[[NodeKey, DhtRecord, bytes, Random], bytes]
"""Makes what a liar hands over out of its key and a victim's record, opened and signed."""


def _turn_a_bit(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]


def _cut_short(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _replay(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    return data


def _in_its_name(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    return sign_dht(key, MESH, replace(record, seq=record.seq + 1 + rng.randrange(99))).data


def _of_another_mesh(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    return sign_dht(key, OTHER_MESH, replace(record, node=key.node_id)).data


def _misplaced(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    return sign_dht(key, MESH, replace(record, node=key.node_id, key=rng.randbytes(20))).data


def _immortal(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    ttl = record.ttl + rng.uniform(1, DAY)
    return sign_dht(key, MESH, replace(record, node=key.node_id, ttl=ttl)).data


def _out_of_time(key: NodeKey, record: DhtRecord, data: bytes, rng: Random) -> bytes:
    issued = record.issued_at + rng.choice((-1, 1)) * rng.uniform(1.1, 9) * DAY
    return sign_dht(key, MESH, replace(record, node=key.node_id, issued_at=issued)).data


FORGERIES: tuple[Forge, ...] = (
    _turn_a_bit,
    _cut_short,
    _replay,
    _in_its_name,
    _of_another_mesh,
    _misplaced,
    _immortal,
    _out_of_time,
)


def flood(count: int, defences: Defences = OPEN, *, burst: int = 2_500) -> dict[str, Any]:
    """Hand over `count` bad records, each kind as often, then `burst` good ones of one network.

    Tells how many were held, and whether an honest node's was in between.
    """
    return run_virtual(_flood(count, defences, burst))


async def _flood(count: int, defences: Defences, burst: int) -> dict[str, Any]:
    rng = Random(1)
    victim, honest = _new_key(rng), _new_key(rng)
    server = TableServer(
        own=_new_key(rng).node_id,
        mesh_id=MESH,
        clock=LoopClock(),
        counters=DhtCounters(),
        defences=defences,
    )
    server.me = dht.Self(True, (ADDRESS,))
    accepted = sent = 0
    for liar, batch in _batches(rng, victim, count):
        answer = server.answer(liar.node_id, dht.Store(dht.Self(), batch))
        assert isinstance(answer, dht.Stored)
        accepted += sum(answer.held)
        sent += len(batch)
    return {
        "sent": sent,
        "accepted": accepted,
        "held_after": len(server.store),
        "honest_held": _store_one(server, honest),
        "burst_from_one_network": burst,
        "taken_of_the_burst": _burst(server, rng, burst),
    }


def _batches(
    rng: Random, victim: NodeKey, count: int
) -> Iterator[tuple[NodeKey, tuple[tuple[float, bytes], ...]]]:
    """From ever new liars, so that no limit on one peer hides what checking finds."""
    data = signed_offering(victim, ADDRESS, "model", 5).data
    record = open_dht(data, MESH, LoopClock().wall()).record
    for start in range(0, count, BATCH):
        liar = _new_key(rng)
        kinds = [FORGERIES[(start + each) % len(FORGERIES)] for each in range(BATCH)]
        yield liar, tuple((900.0, forge(liar, record, data, rng)) for forge in kinds)


def _store_one(server: TableServer, key: NodeKey) -> bool:
    """Whether an honest node can still store its own record."""
    data = signed_offering(key, ADDRESS, "model", 1).data
    answer = server.answer(key.node_id, dht.Store(dht.Self(), ((900.0, data),)))
    return isinstance(answer, dht.Stored) and answer.held == (True,)


def _burst(server: TableServer, rng: Random, count: int) -> int:
    """How many good records of new identities of one /24 are taken in one moment."""
    where = network_of(LIARS_NETWORK)
    taken = 0
    for _ in range(count):
        key = _new_key(rng)
        items = ((900.0, signed_offering(key, LIARS_NETWORK, "model", 1).data),)
        answer = server.answer(key.node_id, dht.Store(dht.Self(), items), where)
        taken += isinstance(answer, dht.Stored) and answer.held == (True,)
    return taken


def _new_key(rng: Random) -> NodeKey:
    return NodeKey(Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))
