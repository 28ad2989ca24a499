"""Peers that lie, replay, flood or talk nonsense: refused, and the node goes on serving."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.capability import ModelRef, NodeRecord, ServedModel
from mesh.errors import LinkError
from mesh.identity.keys import NodeKey
from mesh.ids import MeshId
from mesh.ports import StreamKind
from mesh.wire import dht, discovery
from mesh.wire.dht_records import DhtRecord, pack_offering, sign_dht, table_key
from mesh.wire.records import sign_node
from tests.integration.discovery.conftest import MESH, OTHER_MESH, RealMesh, RealNode, until


def record_of(key: NodeKey, *, seq: int = 1, model: str = "lie", **changes: object) -> NodeRecord:
    served = (ServedModel(ModelRef(model, "demo"), slots=1),)
    record = NodeRecord(
        key.node_id, seq, time.time(), 900.0, ("tcp://127.0.0.1:9",), ("worker",), "ready", served
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def entry_of(
    key: NodeKey, *, seq: int = 1, mesh_id: MeshId = MESH, ttl: float = 900.0, age: float = 0.0
) -> bytes:
    record = record_of(key)
    entry = DhtRecord(
        kind="model",
        key=table_key("model", "lie"),
        node=key.node_id,
        seq=seq,
        issued_at=time.time() - age,
        ttl=ttl,
        body=pack_offering("lie", record, record.models[0]),
    )
    return sign_dht(key, mesh_id, entry).data


async def push(liar: RealNode, victim: RealNode, *data: bytes, remaining: float = 900.0) -> None:
    """Tell records as a peer would, and wait until they were taken."""
    link = await liar.links.connect(victim.id, victim.links.addresses)
    stream = link.open(StreamKind.DIRECTORY)
    await stream.send(discovery.encode(discovery.Records(tuple((remaining, d) for d in data))))
    stream.finish()
    await stream.receive()


async def store(liar: RealNode, victim: RealNode, *data: bytes) -> tuple[bool, ...]:
    link = await liar.links.connect(victim.id, victim.links.addresses)
    request = dht.Store(dht.Self(), tuple((900.0, each) for each in data))
    answer = dht.decode_answer(await link.call(StreamKind.DHT, dht.encode(request), timeout=5))
    assert isinstance(answer, dht.Stored)
    return answer.held


@pytest.mark.parametrize(
    "forge",
    [
        lambda key: sign_node(key, OTHER_MESH, record_of(key)).data,
        lambda key: sign_node(key, MESH, record_of(NodeKey.generate())).data,
        lambda key: sign_node(key, MESH, record_of(key, model="lia")).data.replace(b"lia", b"lie"),
        lambda key: sign_node(key, MESH, record_of(key, ttl=1e6)).data,
        lambda key: sign_node(key, MESH, record_of(key, issued_at=time.time() - 90_000)).data,
        lambda key: sign_node(key, MESH, record_of(key, issued_at=time.time() + 90_000)).data,
    ],
    ids=[
        "foreign mesh",
        "another's name",
        "broken",
        "immortal",
        "from the past",
        "from the future",
    ],
)
async def test_a_record_that_must_not_be_believed_is_not(
    mesh: RealMesh, forge: Callable[[NodeKey], bytes]
) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    key = NodeKey.generate()
    await push(liar, victim, forge(key), sign_node(key, MESH, record_of(key, model="true")).data)
    assert not victim.directory.view.providers("lie")
    assert victim.directory.view.providers("true")
    assert victim.directory.refused == 1


async def test_an_older_record_and_an_expired_one_do_not_come_back(mesh: RealMesh) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    key = NodeKey.generate()
    new = sign_node(key, MESH, record_of(key, seq=9, model="now")).data
    old = sign_node(key, MESH, record_of(key, seq=8, model="then")).data
    await push(liar, victim, new)
    await push(liar, victim, old)
    assert victim.directory.view.providers("now")
    assert not victim.directory.view.providers("then")
    brief = NodeKey.generate()
    await push(liar, victim, sign_node(brief, MESH, record_of(brief)).data, remaining=0.01)
    await until(lambda: brief.node_id not in victim.knows(), timeout=5)
    await push(liar, victim, sign_node(brief, MESH, record_of(brief)).data)
    assert brief.node_id not in victim.knows()


async def test_a_false_report_of_loss_is_denied(mesh: RealMesh) -> None:
    nodes = [await mesh.start(f"model-{number}") for number in range(3)]
    for node in nodes[1:]:
        node.look_for_peers(nodes[0].address)
    await until(lambda: all(len(node.knows()) == 2 for node in nodes))
    await until(lambda: all(len(node.links.all()) == 2 for node in nodes))
    liar, victim, slandered = nodes
    record = slandered.directory.own
    assert record is not None
    link = await liar.links.connect(victim.id, victim.links.addresses)
    stream = link.open(StreamKind.DIRECTORY)
    await stream.send(discovery.encode(discovery.Lost((discovery.Loss(slandered.id, record.seq),))))
    stream.finish()
    await stream.receive()
    await until(lambda: (slandered.directory.own or record).seq > record.seq)
    await until(lambda: bool(victim.directory.view.providers("model-2")))


async def test_a_copy_of_a_node_is_named_and_not_outbid(
    mesh: RealMesh, caplog: pytest.LogCaptureFixture
) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    before = victim.directory.own
    copy = sign_node(victim.key, MESH, record_of(victim.key, seq=2**62)).data
    for _ in range(3):
        await push(liar, victim, copy)
    assert victim.directory.own == before
    assert caplog.text.count("another running node signs with this node's key") == 1


async def test_questions_without_end_are_not_all_answered(mesh: RealMesh) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    link = await liar.links.connect(victim.id, victim.links.addresses)
    request = dht.encode(dht.FindNodes(dht.Self(), bytes(20)))
    with pytest.raises(LinkError, match="too many questions"):
        for _ in range(5_000):
            await link.call(StreamKind.DHT, request, timeout=5)
    honest = await mesh.start()
    other = await honest.links.connect(victim.id, victim.links.addresses)
    assert await other.call(StreamKind.DHT, request, timeout=5)


async def test_table_records_that_must_not_be_held_are_not(mesh: RealMesh) -> None:
    victim, peer = await mesh.start("honest"), await mesh.start()
    key = peer.key
    good = entry_of(key, seq=5)
    held = await store(
        peer,
        victim,
        good,
        entry_of(key, seq=4),
        entry_of(key, seq=6, mesh_id=OTHER_MESH),
        entry_of(key, seq=6, ttl=1e6),
        entry_of(key, seq=6, age=90_000),
        good[:-1] + bytes([good[-1] ^ 1]),
        b"",
        good,
    )
    assert held == (True, False, False, False, False, False, False, True)
    assert [each.node_id for each in await victim.table.find_providers("lie", timeout=5)] == [
        key.node_id
    ]


async def test_nobody_stores_what_another_node_signed(mesh: RealMesh) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    assert await store(liar, victim, entry_of(NodeKey.generate())) == (False,)
    assert await store(liar, victim, entry_of(liar.key)) == (True,)


async def test_records_under_a_key_they_do_not_belong_to_are_found_by_nobody(
    mesh: RealMesh,
) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    key = liar.key
    record = record_of(key)
    entry = DhtRecord(
        "model",
        table_key("model", "popular"),
        key.node_id,
        1,
        time.time(),
        900.0,
        pack_offering("lie", record, record.models[0]),
    )
    signed = sign_dht(key, MESH, entry)
    assert await store(liar, victim, signed.data) == (False,)
    liar.table._server.store.put(signed, 900.0, liar.id, 0.0)
    assert not await victim.table.find_providers("popular", timeout=5)


async def test_more_than_is_allowed_is_not_checked(mesh: RealMesh) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    junk = [bytes([number]) * 200 for number in range(32)]
    for _ in range(60):
        assert not any(await store(liar, victim, *junk))
    assert not any(await store(liar, victim, *[entry_of(liar.key)] * dht.MAX_STORES))
    honest = await mesh.start()
    assert all(await store(honest, victim, *[entry_of(honest.key)] * dht.MAX_STORES))


@pytest.mark.parametrize("kind", [StreamKind.DIRECTORY, StreamKind.STATUS, StreamKind.DHT])
async def test_garbage_ends_its_stream_and_nothing_else(mesh: RealMesh, kind: StreamKind) -> None:
    victim, liar = await mesh.start("honest"), await mesh.start()
    link = await liar.links.connect(victim.id, victim.links.addresses)
    for garbage in (b"", b"\x00", b"\xff" * 1000, b"\x91" * 5000, b"x" * 200_000):
        with pytest.raises((LinkError, TimeoutError)):
            await link.call(kind, garbage, timeout=2)
    assert not link.closed
    found = dht.encode(dht.Ping(dht.Self()))
    assert dht.decode_answer(await link.call(StreamKind.DHT, found, timeout=2))


async def test_a_thousand_providers_are_found_by_paging(mesh: RealMesh) -> None:
    nodes = [await mesh.start() for _ in range(3)]
    for node in nodes[1:]:
        node.look_for_peers(nodes[0].address)
    await until(lambda: all(node.table.contacts == 2 for node in nodes))
    entries = [entry_of(NodeKey.generate()) for _ in range(1000)]
    half = {nodes[0].id: entries[:700], nodes[1].id: entries[300:]}
    now = time.monotonic()
    for node in nodes[:2]:  # no holder has them all
        for data in half[node.id]:
            signed = node.table._server.open(data)
            node.table._server.store.put(signed, 900.0, signed.record.node, now)
    found = await nodes[2].table.find("model", "lie", timeout=20, limit=5000)
    assert len({each.node_id for each in found}) == 1000
    some = await asyncio.gather(
        *(nodes[2].table.find("model", "lie", timeout=20, limit=limit) for limit in (10, 64))
    )
    assert [len(each) for each in some] == [10, 64]
