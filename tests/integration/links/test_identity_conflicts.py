"""Restarts replace at once; clones are told apart and shown at both ends; nobody flaps."""

from __future__ import annotations

import asyncio

import pytest

from mesh.errors import DialError, LinkClosed
from mesh.identity.boot import Boot
from mesh.identity.keys import NodeKey
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.frames import GoawayCode
from tests.integration.links.peers import DialRaw, MakePool, echo, eventually


async def test_a_restarted_peer_replaces_its_old_link_at_once(
    make_pool: MakePool, raw_peer: DialRaw
) -> None:
    pool = await make_pool()
    pool.serve(StreamKind.JOB, _hang)
    key = NodeKey.generate()
    old = await raw_peer(pool, key, boot_counter=4)
    before = pool.get(key.node_id)
    assert before is not None
    stream = before.open(StreamKind.JOB)
    await raw_peer(pool, key, boot_counter=5, boot_id="11")
    after = pool.get(key.node_id)
    assert after is not None
    assert after is not before
    assert before.closed
    with pytest.raises(LinkClosed):
        await stream.receive()
    async with asyncio.timeout(2):
        await old.lost.wait()
    assert len(pool.all()) == 1


async def _hang(link: Link, stream: Stream) -> None:
    await stream.receive()


async def test_an_older_boot_is_turned_away_and_shown(make_pool: MakePool) -> None:
    key = NodeKey.generate()
    pool = await make_pool()
    current = await make_pool(key=key, boot=Boot(5, "aa"))
    await current.connect(None, pool.addresses)
    stale = await make_pool(key=key, boot=Boot(4, "bb"))
    with pytest.raises(DialError, match="newer boot"):
        await stale.connect(None, pool.addresses)
    assert pool.conflicts[-1].node_id == key.node_id
    assert stale.conflicts[-1].node_id == key.node_id
    link = current.get(pool.node_id)
    assert link is not None
    assert not link.closed


async def test_clones_are_shown_at_both_and_the_first_stays(make_pool: MakePool) -> None:
    key = NodeKey.generate()
    pool = await make_pool()
    first = await make_pool(key=key, boot=Boot(5, "aa"))
    link = await first.connect(None, pool.addresses)
    clone = await make_pool(key=key, boot=Boot(5, "bb"))
    with pytest.raises(DialError, match="same key"):
        await clone.connect(None, pool.addresses)
    await eventually(lambda: first.conflicts)
    assert {c.node_id for p in (pool, first, clone) for c in p.conflicts} == {key.node_id}
    assert first.conflicts[-1].reporter == pool.node_id
    assert not link.closed
    for _ in range(50):
        with pytest.raises(DialError):
            await clone.connect(None, pool.addresses)
    assert len(pool.conflicts) <= 32


async def test_clones_that_meet_each_other_show_it(make_pool: MakePool) -> None:
    key = NodeKey.generate()
    first = await make_pool(key=key, boot=Boot(5, "aa"))
    clone = await make_pool(key=key, boot=Boot(5, "bb"))
    with pytest.raises(DialError, match="same key"):
        await clone.connect(None, first.addresses)
    assert first.conflicts
    assert clone.conflicts


async def test_dialling_oneself_is_no_conflict(make_pool: MakePool) -> None:
    pool = await make_pool()
    with pytest.raises(DialError, match="this node itself"):
        await pool.connect(None, pool.addresses)
    assert pool.conflicts == []


async def test_repeated_simultaneous_dials_always_end_with_one_link(make_pool: MakePool) -> None:
    a, b = await make_pool(), await make_pool()
    for pool in (a, b):
        pool.serve(StreamKind.DHT, echo)
    for _ in range(15):
        links = await asyncio.gather(
            a.connect(b.node_id, b.addresses),
            b.connect(a.node_id, a.addresses),
            a.connect(None, [f"tcp://localhost:{b.port}"]),
            b.connect(None, [f"tcp://localhost:{a.port}"]),
        )
        calls = [link.call(StreamKind.DHT, b"x", timeout=3) for link in links]
        assert await asyncio.gather(*calls) == [b"x"] * 4
        await eventually(lambda: len(list(a._roster)) == len(list(b._roster)) == 1)
        near, far = a.get(b.node_id), b.get(a.node_id)
        assert near is not None
        assert far is not None
        assert (near.facts.dialler, near.facts.number) == (far.facts.dialler, far.facts.number)
        near.close(GoawayCode.CLOSING, "again")
        await eventually(lambda: not a.all() and not b.all())
    assert a.metrics.links_closed["crash"] == b.metrics.links_closed["crash"] == 0


async def test_streams_on_a_replaced_link_come_to_their_end(
    make_pool: MakePool, raw_peer: DialRaw
) -> None:
    keys = sorted((NodeKey.generate() for _ in range(2)), key=lambda key: key.node_id)
    low, high = [await make_pool(key=key) for key in keys]
    for pool in (low, high):
        pool.serve(StreamKind.JOB, echo)
    first = await high.connect(low.node_id, low.addresses)
    stream = first.open(StreamKind.JOB)
    await stream.send(b"one")
    assert await stream.receive() == b"one"
    # The smaller id dials as well, as if both had dialled at once: its link has precedence.
    await raw_peer(high, keys[0], boot_id="0123456789abcdef", linked=True, link_number=9)
    second = high.get(low.node_id)
    assert second is not None
    assert second is not first
    assert not first.closed
    for number in range(50):
        await stream.send(b"%d" % number)
        assert await stream.receive() == b"%d" % number
    assert first.successor is second
    assert first.open(StreamKind.JOB)._link is second
    stream.finish()
    assert await stream.receive() is None
    far = low.get(high.node_id)
    assert far is not None
    low._roster.retire(far, GoawayCode.SUPERSEDED, "as the other end did")
    await eventually(lambda: first.closed)
    assert first.ended is not None
    assert first.ended.cause == "clean"
    assert not second.closed


async def test_dialling_a_linked_node_by_another_name_keeps_the_link(make_pool: MakePool) -> None:
    a, b = await make_pool(), await make_pool()
    changes: list[bool] = []
    a.watch(lambda link, up: changes.append(up))
    link = await a.connect(None, b.addresses)
    assert await a.connect(None, [f"tcp://localhost:{b.port}"]) is link
    await eventually(lambda: b.get(a.node_id))
    assert await b.connect(None, [f"tcp://localhost:{a.port}"]) is b.get(a.node_id)
    assert changes == [True]
    assert a.metrics.links_opened == b.metrics.links_opened == 1


async def test_idle_links_are_let_go_but_pinned_ones_stay(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.links.trimming.MIN_IDLE_SECONDS", 0.0)
    hub = await make_pool(max_idle=2)
    peers = [await make_pool() for _ in range(5)]
    for peer in peers:
        await peer.connect(None, hub.addresses)
    await eventually(lambda: len(hub.all()) == 5)
    hub.pin(peers[0].node_id)
    await eventually(lambda: len(hub.all()) == 3)
    assert hub.get(peers[0].node_id) is not None
    await eventually(lambda: sum(len(peer.all()) for peer in peers) == 3)
    await eventually(lambda: hub.metrics.links_closed.total() == 2)
    assert set(hub.metrics.links_closed) == {"clean"}
