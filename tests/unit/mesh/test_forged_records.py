"""10,000 forged and replayed records and lists of revocations, of which none is accepted.

The checks are those that a running node makes: an `Exchange` over its peer table, a `TableServer`,
and `Revoking`. With any one of the checks switched off the same forgeries get through.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

import mesh.identity.grants
import mesh.identity.revocations
import mesh.identity.trust
import mesh.wire.dht_records
import mesh.wire.records
import node.revoking
from dht.counters import DhtCounters
from dht.exchange import Exchange
from dht.peer_table import PeerTable, Verdict
from dht.table_server import TableServer
from mesh.errors import WireError
from mesh.identity.grants import encode_grant
from mesh.identity.revocations import Sentence
from mesh.identity.trust import Trust
from mesh.ids import NodeId, node_id_of
from mesh.lifecycle import Tasks
from mesh.ports import Link
from mesh.wire import dht as dht_wire
from mesh.wire.discovery import Records
from mesh.wire.revocation import Lists
from node.revoking import Revoking
from tests.unit.mesh.forgery import NEWEST, NOW, World, forged, grant_for

WORLD = World()
PEERS = [NodeId(f"{number:040x}") for number in range(400)]
"""Who brings the forgeries: each only a few, so that none is slowed down."""
NODE_RECORDS, TABLE_RECORDS, LISTS = 4_000, 3_000, 3_000


class Ticking:
    """A clock that gives everybody time enough: nothing is refused because too much came."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 0.02
        return self._now

    def wall(self) -> float:
        return NOW


class FakeLink:
    def __init__(self, peer: NodeId) -> None:
        self.peer = peer


class NoLinks:
    def all(self) -> list[Link]:
        return []

    def get(self, node: NodeId) -> None:
        return None


class Ears:
    """Counts what a directory would have learned."""

    def __init__(self) -> None:
        self.learned_from: list[Verdict] = []

    def learned(self, node: NodeId, verdict: Verdict, link: Link) -> None:
        if verdict in ("new", "changed", "refreshed"):
            self.learned_from.append(verdict)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *args: None


def trust() -> Trust:
    found = Trust(WORLD.mesh_id, wall=lambda: NOW, closed=True)
    found.revoke(Sentence(nodes=frozenset({WORLD.removed.node_id})))
    found.revoke_here({WORLD.grants[WORLD.stripped].serial})
    return found


class NodeRecordChecks:
    """What a node does with records of its directory."""

    ways = staticmethod(lambda: WORLD.record_forgeries(WORLD.node_record))

    def __init__(self, folder: Path) -> None:
        self.ears = Ears()
        clock: Any = Ticking()
        self.exchange = Exchange(
            own=NodeId("0" * 40),
            mesh_id=WORLD.mesh_id,
            clock=clock,
            table=PeerTable(NodeId("0" * 40)),
            hearer=self.ears,
            vet=trust().vet,
        )

    async def offer(self, number: int, data: bytes) -> bool:
        before = len(self.ears.learned_from)
        link: Any = FakeLink(PEERS[number % len(PEERS)])
        try:
            await self.exchange._take(link, Records(((60.0, data),)))
        except WireError:
            return False
        return len(self.ears.learned_from) > before

    async def prepare(self) -> None:
        assert await self.offer(0, WORLD.node_record(WORLD.victim))
        assert await self.offer(0, WORLD.node_record(WORLD.coordinator))


class TableRecordChecks:
    """What a node does with records that it is asked to hold."""

    ways = staticmethod(lambda: WORLD.record_forgeries(WORLD.table_record))

    def __init__(self, folder: Path) -> None:
        clock: Any = Ticking()
        self.server = TableServer(
            own=NodeId("0" * 40),
            mesh_id=WORLD.mesh_id,
            clock=clock,
            counters=DhtCounters(),
            vet=trust().vet,
        )
        self.server.me = dht_wire.Self(True, ())

    async def offer(self, number: int, data: bytes) -> bool:
        before = {(each.node, each.seq) for each in self.server.store.records()}
        request = dht_wire.Store(dht_wire.Self(), ((900.0, data),))
        self.server.answer(_bringer(data), request)
        return {(each.node, each.seq) for each in self.server.store.records()} != before

    async def prepare(self) -> None:
        assert await self.offer(0, WORLD.table_record(WORLD.victim))


def _bringer(data: bytes) -> NodeId:
    """Whose key an envelope holds: others may not even bring it."""
    try:
        return node_id_of(msgpack.unpackb(data)[1])
    except (ValueError, TypeError, IndexError):
        return PEERS[0]


class ListChecks:
    """What a node does with lists of revocations."""

    ways = staticmethod(WORLD.list_forgeries)

    def __init__(self, folder: Path) -> None:
        clock: Any = Ticking()
        links: Any = NoLinks()
        self.trust = trust()
        self.revoking = Revoking(
            own=NodeId("0" * 40),
            trust=self.trust,
            links=links,
            data_dir=folder,
            clock=clock,
            tasks=Tasks("test"),
            rng=Random(1),
        )

    async def offer(self, number: int, data: bytes) -> bool:
        before = self.revoking.held
        await self.revoking._receive(PEERS[number % len(PEERS)], Lists((data,)))
        return self.revoking.held != before

    async def prepare(self) -> None:
        removed = (WORLD.removed.node_id,)
        own = WORLD.revocations(WORLD.coordinator, issuer=WORLD.chain, nodes=removed)
        assert await self.offer(0, own)
        assert await self.offer(0, WORLD.revocations(WORLD.root, nodes=removed))


KINDS = {
    "node records": (NodeRecordChecks, NODE_RECORDS),
    "table records": (TableRecordChecks, TABLE_RECORDS),
    "lists": (ListChecks, LISTS),
}


async def accepted(kind: str, count: int, folder: Path) -> set[int]:
    """The ways of forging by which anything came in."""
    checks: Any = KINDS[kind][0](folder)
    await checks.prepare()
    through = set()
    for number, (way, data) in enumerate(forged(checks.ways(), count, seed=4)):
        if await checks.offer(number, data):
            through.add(way)
    return through


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_forged_or_replayed_is_accepted(kind: str, tmp_path: Path) -> None:
    assert await accepted(kind, KINDS[kind][1], tmp_path) == set()


async def test_what_is_true_is_accepted_all_the_same(tmp_path: Path) -> None:
    for checks, data in (
        (NodeRecordChecks(tmp_path), WORLD.node_record(WORLD.victim, seq=NEWEST + 1)),
        (TableRecordChecks(tmp_path), WORLD.table_record(WORLD.victim, seq=NEWEST + 1)),
        (
            ListChecks(tmp_path),
            WORLD.revocations(WORLD.coordinator, issuer=WORLD.chain, number=NEWEST + 1),
        ),
    ):
        each: Any = checks
        await each.prepare()
        assert await each.offer(1, data)


def _always(value: object) -> Callable[..., object]:
    return lambda *args, **kwargs: value


FAULTS: list[tuple[str, object, str, object]] = [
    ("node records", mesh.wire.records, "verify", _always(True)),
    ("node records", mesh.wire.records, "check_times", _always(None)),
    ("node records", PeerTable, "is_news", _always(True)),
    ("node records", Trust, "vet", _always(None)),
    ("node records", mesh.identity.grants, "verify", _always(True)),
    ("node records", mesh.identity.trust, "_fault_now", _always("")),
    ("table records", mesh.wire.records, "verify", _always(True)),
    ("table records", mesh.wire.dht_records, "check_times", _always(None)),
    ("table records", Trust, "vet", _always(None)),
    ("table records", mesh.identity.trust, "_fault_now", _always("")),
    ("lists", mesh.identity.revocations, "verify", _always(True)),
    ("lists", node.revoking, "check_revocations", _always(None)),
    ("lists", mesh.identity.revocations, "_check_issuer", _always(None)),
    ("lists", mesh.identity.revocations, "MAX_AHEAD", 1e9),
    ("lists", mesh.identity.grants, "CLOCK_TOLERANCE", 1e9),
    ("lists", Trust, "revoked", frozenset()),
]


@pytest.mark.parametrize(
    ("kind", "where", "name", "wrong"), FAULTS, ids=[f"{f[0]}-{f[2]}" for f in FAULTS]
)
async def test_a_check_that_is_missing_is_noticed(
    kind: str,
    where: object,
    name: str,
    wrong: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(where, name, wrong)
    assert await accepted(kind, 400, tmp_path) != set()


async def test_a_strangers_record_is_not_fetched_again_and_a_later_members_one_is_taken(
    tmp_path: Path,
) -> None:
    checks = NodeRecordChecks(tmp_path)
    stranger = WORLD.node_record(WORLD.attacker, seq=3)
    assert not await checks.offer(1, stranger)
    refused = checks.exchange.refused
    assert not await checks.offer(2, stranger)
    assert checks.exchange.refused == refused, "dropped before its signature was looked at"
    granted = encode_grant(grant_for(WORLD.root, WORLD.mesh_id, WORLD.attacker, "worker"))
    assert await checks.offer(3, WORLD.node_record(WORLD.attacker, seq=4, grants=(granted,)))
