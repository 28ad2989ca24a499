"""Holes punched by two nodes that do not listen, with a relay between them; QUIC is real."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from mesh.errors import DialError, LinkError
from mesh.links import quic_endpoint
from mesh.links.link import MeshLink
from mesh.links.pipe import parse_address, relay_address
from mesh.links.pool import LinkPool
from mesh.links.quic_endpoint import is_place
from mesh.links.relaying import RelayTerms
from mesh.ports import Link, Stream, StreamKind
from tests.integration.links.peers import MakePool

BIG = bytes(range(256)) * 4_000


async def echo(link: Link, stream: Stream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def settle(make_pool: MakePool, **changes: bool) -> tuple[LinkPool, LinkPool, MeshLink]:
    """Two private nodes and a relayed link between them, as the first one has it."""
    relay = await make_pool(relays=RelayTerms(), punch=True)
    one = await make_pool(listen=None, punch=True)
    other = await make_pool(listen=None, **{"punch": True, **changes})
    other.serve(StreamKind.JOB, echo)
    await other.relaying.path.reserve(await other.connect(relay.node_id, relay.addresses))
    at = parse_address(relay.addresses[0])
    address = str(relay_address(at, relay.node_id, other.node_id))
    return one, other, await one.connect(other.node_id, [address])


async def test_a_relayed_link_becomes_a_punched_one_and_streams_go_on(make_pool: MakePool) -> None:
    one, other, relayed = await settle(make_pool)
    stream = relayed.open(StreamKind.JOB)
    await stream.send(b"before")
    assert await stream.receive() == b"before"
    direct = await one.punching.punch(relayed)
    assert not direct.relayed and direct.remote.startswith("udp://")
    assert one.punching.counters.through == 1
    await stream.send(b"after")
    assert await stream.receive() == b"after"
    stream.finish()
    assert await stream.receive() is None
    assert await direct.call(StreamKind.JOB, BIG, timeout=10.0) == BIG
    await until(lambda: (link := other.get(one.node_id)) is not None and not link.relayed)
    await until(lambda: relayed.closed)


async def test_its_end_is_noticed_at_once(make_pool: MakePool) -> None:
    one, other, relayed = await settle(make_pool)
    direct = await one.punching.punch(relayed)
    await until(lambda: other.get(one.node_id) is not None)
    await other.close()
    await until(lambda: direct.closed)


async def test_who_does_not_punch_keeps_the_relayed_link(make_pool: MakePool) -> None:
    one, _, relayed = await settle(make_pool, punch=False)
    with pytest.raises(DialError, match="switched off"):
        await one.punching.punch(relayed)
    assert await relayed.call(StreamKind.JOB, b"still", timeout=10.0) == b"still"


async def test_without_the_library_relays_carry_everything(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quic_endpoint, "load_iroh", lambda: None)
    one, _, relayed = await settle(make_pool)
    with pytest.raises(DialError, match="not installed"):
        await one.punching.punch(relayed)
    assert await relayed.call(StreamKind.JOB, b"still", timeout=10.0) == b"still"


async def test_a_direct_link_is_not_punched(make_pool: MakePool) -> None:
    public, private = await make_pool(punch=True), await make_pool(listen=None, punch=True)
    link = await private.connect(public.node_id, public.addresses)
    with pytest.raises(LinkError, match="passes no relay"):
        await private.punching.punch(link)


async def test_a_peer_is_not_followed_again_and_again(make_pool: MakePool) -> None:
    """Every request makes a node send packets to where the peer says."""
    one, other, relayed = await settle(make_pool)
    other.punching._followed[one.node_id] = other._clock.now()
    with pytest.raises(DialError, match="not now"):
        await one.punching.punch(relayed)


async def test_a_hole_that_leads_nowhere_is_given_up(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quic_endpoint, "DIALS", 2)
    monkeypatch.setattr(quic_endpoint, "DIAL_PATIENCE", 0.2)
    monkeypatch.setattr(quic_endpoint, "MEET_SECONDS", 0.5)
    monkeypatch.setattr("mesh.links.punching._usable", lambda places: ["127.0.0.1:9"])
    one, _, relayed = await settle(make_pool)
    with pytest.raises(DialError, match="no way through"):
        await one.punching.punch(relayed)
    assert await relayed.call(StreamKind.JOB, b"still", timeout=10.0) == b"still"


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("192.0.2.1:4433", True),
        ("[2001:db8::1]:4433", True),
        ("example.org:4433", False),
        ("192.0.2.1:0", False),
        ("192.0.2.1:70000", False),
        ("0.0.0.0:1", False),
        ("224.0.0.1:1", False),
        ("192.0.2.1", False),
        ("", False),
    ],
)
def test_only_hosts_that_packets_can_be_sent_to_are_places(text: str, fine: bool) -> None:
    assert is_place(text) is fine
