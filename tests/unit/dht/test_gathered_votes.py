"""What a search makes of its answers: who counts as a holder, and whose records are shown."""

from __future__ import annotations

import math

from dht.counters import DhtCounters
from dht.defences import OPEN
from dht.gathering import Gathering
from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.wire.dht import Found, Self
from mesh.wire.dht_records import DhtRecord, pack_offering, sign_dht, table_key

MESH = MeshId("ab" * 20)
KEY = table_key("model", "wanted")
WALL = 1.7e9


def offered(key: NodeKey, *, name: str = "wanted", under: bytes = KEY, seq: int = 1) -> bytes:
    """A signed record; the name in its body need not fit where it stands."""
    model = ServedModel(ModelRef(name, "demo"), slots=1)
    node = NodeRecord(key.node_id, 1, WALL, 900.0, ("tcp://9.9.9.9:1",), (), "ready", (model,))
    body = pack_offering(name, node, model)
    record = DhtRecord("model", under, key.node_id, seq, WALL, 900.0, body)
    return sign_dht(key, MESH, record).data


def found(*records: bytes) -> Found:
    return Found(Self(), (), tuple((900.0, each) for each in records))


def gathering(limit: int = 64) -> Gathering:
    return Gathering(KEY, MESH, limit=limit, now=0.0, defences=OPEN, counters=DhtCounters())


async def test_who_shows_nothing_that_can_be_believed_is_no_holder() -> None:
    one, key = gathering(), NodeKey.generate()
    broken = offered(key)[:-1] + b"\0"
    misplaced = offered(key, name="another")
    elsewhere = offered(key, name="another", under=table_key("model", "another"))
    assert not await one.add(found(), WALL)
    assert not await one.add(found(broken, misplaced, elsewhere), WALL)
    assert one.records == []
    assert await one.add(found(offered(key)), WALL)
    assert len(one.records) == 1


async def test_one_who_tells_many_does_not_crowd_out_the_others() -> None:
    one, honest = gathering(limit=4), NodeKey.generate()
    await one.add(found(*(offered(NodeKey.generate()) for _ in range(20))), WALL)
    assert one.full
    await one.add(found(offered(honest)), WALL)
    assert honest.node_id in [each.record.node for each in one.records]
    assert len(one.records) == 4


async def test_the_newest_word_of_a_node_counts_wherever_it_came_from() -> None:
    one, key = gathering(), NodeKey.generate()
    for seq in (2, 7, 5):
        await one.add(found(offered(key, seq=seq)), WALL)
    assert [each.record.seq for each in one.records] == [7]


def test_a_search_ends_with_enough_votes_and_not_before() -> None:
    one = gathering()
    assert one.stop_at(3, now=0.1) is None
    assert one.stop_at(4, now=0.2) == 0.4
    assert one.stop_at(4, now=0.3) == 0.4
    assert one.stop_at(5, now=0.3) == -math.inf
    assert gathering(limit=5_000).stop_at(9, now=0.1) is None
