"""Circuits through a relay, over real sockets: private pools do not listen at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import pytest

from mesh.errors import DialError, LinkError
from mesh.ids import NodeId
from mesh.links.link import MeshLink
from mesh.links.pipe import parse_address, relay_address
from mesh.links.pool import LinkPool
from mesh.links.relaying import RelayTerms
from mesh.ports import Link, Stream, StreamKind
from mesh.wire.relay import encode_preamble
from tests.integration.links.peers import MakePool

BIG = bytes(range(256)) * 4_000


async def echo(link: Link, stream: Stream) -> None:
    while (message := await stream.receive()) is not None:
        await stream.send(message)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def settle(make_pool: MakePool, *, reserve: bool = True) -> tuple[LinkPool, LinkPool, str]:
    """A relay, a private node that is linked to it, and the relay address of that node."""
    relay = await make_pool(relays=RelayTerms())
    private = await make_pool(listen=None)
    private.serve(StreamKind.JOB, echo)
    link = await private.connect(relay.node_id, relay.addresses)
    if reserve:
        await private.relaying.path.reserve(link)
    at = parse_address(relay.addresses[0])
    return relay, private, str(relay_address(at, relay.node_id, private.node_id))


async def ask(link: MeshLink, text: bytes = b"hello") -> bytes:
    return await link.call(StreamKind.JOB, text, timeout=10.0)


async def test_a_private_node_is_reached_by_another_private_one(make_pool: MakePool) -> None:
    relay, private, address = await settle(make_pool)
    other = await make_pool(listen=None)
    link = await other.connect(private.node_id, [address])
    assert link.relayed and link.peer == private.node_id
    assert await ask(link, BIG) == BIG
    assert private.get(other.node_id) is not None
    assert relay.relaying.desk is not None
    assert (relay.relaying.desk.circuits, relay.relaying.desk.counters.circuits) == (1, 1)
    link.give_up()
    await until(lambda: relay.relaying.desk is not None and relay.relaying.desk.circuits == 0)
    assert relay.relaying.desk.counters.bytes > 2 * len(BIG)


async def test_nobody_is_reached_without_having_reserved(make_pool: MakePool) -> None:
    _, private, address = await settle(make_pool, reserve=False)
    other = await make_pool(listen=None)
    with pytest.raises(DialError, match="not reached through this relay"):
        await other.connect(private.node_id, [address])


async def test_a_node_without_the_role_relays_nothing(make_pool: MakePool) -> None:
    nobody, private = await make_pool(), await make_pool(listen=None)
    link = await private.connect(nobody.node_id, nobody.addresses)
    with pytest.raises(DialError, match="relays for nobody"):
        await private.relaying.path.reserve(link)


async def test_the_end_of_a_circuit_proves_who_it_is(make_pool: MakePool) -> None:
    """A relay that brings somebody else is noticed: TLS and proofs run between the ends."""
    relay, private, _ = await settle(make_pool)
    impostor = await make_pool(listen=None)
    link = await impostor.connect(relay.node_id, relay.addresses)
    await impostor.relaying.path.reserve(link)
    desk = relay.relaying.desk
    assert desk is not None
    desk._reserved[private.node_id] = desk._reserved[impostor.node_id]
    other = await make_pool(listen=None)
    at = parse_address(relay.addresses[0])
    with pytest.raises(DialError, match="another node answered"):
        await other.connect(
            private.node_id, [str(relay_address(at, relay.node_id, private.node_id))]
        )


async def test_the_relay_dies_and_both_ends_know_at_once(make_pool: MakePool) -> None:
    relay, private, address = await settle(make_pool)
    other = await make_pool(listen=None)
    link = await other.connect(private.node_id, [address])
    for each in list(relay.all()):
        each.give_up()
    assert relay.relaying.desk is not None
    relay.relaying.desk.close()
    await until(lambda: link.closed and private.get(other.node_id) is None)
    with pytest.raises(LinkError):
        await ask(link)


async def test_a_relayed_link_becomes_a_direct_one_without_cutting_streams(
    make_pool: MakePool,
) -> None:
    _, private, address = await settle(make_pool)
    public = await make_pool()
    relayed = await public.connect(private.node_id, [address])
    stream = relayed.open(StreamKind.JOB)
    await stream.send(b"one")
    assert await stream.receive() == b"one"
    direct = await private.upgrade(public.node_id, [address, *public.addresses])
    assert not direct.relayed
    await until(lambda: public.get(private.node_id) is not relayed)
    await stream.send(b"two")
    assert await stream.receive() == b"two"
    stream.finish()
    assert await stream.receive() is None
    await until(lambda: relayed.closed)
    link = public.get(private.node_id)
    assert link is not None and not link.relayed
    assert await ask(link) == b"hello"


async def test_a_relayed_dial_does_not_replace_a_direct_link(make_pool: MakePool) -> None:
    _, private, address = await settle(make_pool)
    public = await make_pool()
    direct = await private.connect(public.node_id, public.addresses)
    link = await public.connect(private.node_id, [address])
    assert not link.relayed and not direct.closed


@pytest.mark.parametrize(
    "first",
    [encode_preamble(b"x" * 16), b"D", b"DEr1short", b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64],
)
async def test_garbage_and_unknown_tokens_are_turned_away(
    make_pool: MakePool, first: bytes
) -> None:
    relay = await make_pool(relays=RelayTerms())
    at = parse_address(relay.addresses[0])
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(first)
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionError):
            while await reader.read(4096):
                continue
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    await until(lambda: relay._entrance.pending == 0)


async def test_only_a_relay_where_this_node_reserved_sends_it_anywhere(
    make_pool: MakePool,
) -> None:
    relay, private, address = await settle(make_pool)
    private.relaying.path.give_up(relay.node_id)
    other = await make_pool(listen=None)
    with pytest.raises(DialError):
        await other.connect(private.node_id, [address])
    assert private.get(other.node_id) is None


async def test_circuits_of_one_node_are_bounded(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.links.relay_desk.MAX_CIRCUITS_NODE", 1)
    relay, private, address = await settle(make_pool)
    second = await make_pool(listen=None)
    await second.relaying.path.reserve(await second.connect(relay.node_id, relay.addresses))
    greedy = await make_pool(listen=None)
    await greedy.connect(private.node_id, [address])
    at = parse_address(relay.addresses[0])
    with pytest.raises(DialError, match="may have 1 circuits"):
        await greedy.connect(
            NodeId(second.node_id), [str(relay_address(at, relay.node_id, second.node_id))]
        )
