"""Whatever comes in at the mesh port, the node goes on serving and says what was wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest

from mesh.capability import Role
from mesh.errors import ConfigError, DialError, HandshakeError
from mesh.identity.boot import Boot
from mesh.identity.grants import encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.mesh import mesh_of_network
from mesh.links.handshake import TurnedAway
from mesh.links.handshake_gate import MAX_PENDING
from mesh.links.pool import LinkPool
from mesh.links.reception import Introduction
from mesh.ports import StreamKind
from mesh.wire.frames import (
    DATA,
    GOAWAY,
    INITIAL_CREDIT,
    MAX_PAYLOAD,
    MAX_STREAMS,
    NOTICE,
    OPEN,
    PING,
    PONG,
    RESET,
    GoawayCode,
    NoticeCode,
    encode_frame,
)
from tests.integration.links.peers import DialRaw, MakePool, echo, eventually


async def assert_serves(pool: LinkPool, make_pool: MakePool, **changes: Any) -> None:
    """A proper peer gets in and is answered."""
    pool.serve(StreamKind.DHT, echo)
    peer = await make_pool(**changes)
    link = await peer.connect(pool.node_id, pool.addresses)
    assert await link.call(StreamKind.DHT, b"alive", timeout=2) == b"alive"


GARBAGE = [
    b"\0" * 100,
    b"GET /mesh HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01" + b"\xaa" * 600,
    b"SSH-2.0-OpenSSH_9\r\n",
    b"\xff" * 200_000,
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_garbage_on_the_mesh_port(make_pool: MakePool, garbage: bytes) -> None:
    pool = await make_pool()
    reader, writer = await asyncio.open_connection("127.0.0.1", pool.port)
    with contextlib.suppress(ConnectionError):
        writer.write(garbage)
        await writer.drain()
        async with asyncio.timeout(2):
            await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    assert pool.metrics.handshakes_failed["HandshakeError"] == 1
    assert list(pool.all()) == []
    await assert_serves(pool, make_pool)


async def test_a_handshake_that_stalls_is_ended(make_pool: MakePool) -> None:
    pool = await make_pool(handshake_timeout=0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", pool.port)
    async with asyncio.timeout(2):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert pool.metrics.handshakes_failed["HandshakeError"] == 1


async def test_a_dialled_port_that_stalls_is_given_up(make_pool: MakePool) -> None:
    pool = await make_pool(handshake_timeout=0.1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(DialError, match="handshake took too long"),
    ):
        await pool.connect(None, [f"tcp://127.0.0.1:{silent.getsockname()[1]}"])


async def test_who_stalls_is_put_out_and_keeps_nobody_out(make_pool: MakePool) -> None:
    pool = await make_pool(handshake_timeout=3.0)
    connections = [
        await asyncio.open_connection("127.0.0.1", pool.port) for _ in range(MAX_PENDING + 5)
    ]
    await eventually(lambda: pool.metrics.handshakes_failed["HandshakeError"] == 5)
    await assert_serves(pool, make_pool)
    async with asyncio.timeout(2):
        for reader, _ in connections[:5]:  # those that stayed longest
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
    for _, writer in connections:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    await eventually(lambda: pool.metrics.handshakes_failed["HandshakeError"] >= MAX_PENDING)


async def test_a_dial_takes_the_address_that_works(make_pool: MakePool) -> None:
    pool, peer = await make_pool(), await make_pool()
    wrong = await make_pool()
    addresses = [
        "no such address",
        "tcp://127.0.0.1:1",
        *wrong.addresses,
        f"localhost:{peer.port}",
    ]
    link = await pool.connect(peer.node_id, addresses)
    assert link.peer == peer.node_id


async def test_a_failed_dial_names_every_reason(make_pool: MakePool) -> None:
    pool, wrong = await make_pool(), await make_pool()
    expected = NodeKey.generate().node_id
    with pytest.raises(DialError) as error:
        await pool.connect(expected, ["nonsense", "tcp://127.0.0.1:1", *wrong.addresses])
    text = str(error.value)
    assert "names no port" in text
    assert "tcp://127.0.0.1:1: Connect" in text
    assert f"another node answered: {wrong.node_id}" in text


async def test_two_meshes_do_not_mix(make_pool: MakePool) -> None:
    pool = await make_pool()
    stranger = await make_pool(mesh_id=mesh_of_network("other"))
    with pytest.raises(DialError, match="refused: this node belongs to mesh"):
        await stranger.connect(None, pool.addresses)
    assert list(pool.all()) == list(stranger.all()) == []
    await assert_serves(pool, make_pool)


RULE_BREAKERS = [
    b"\x7f\xff\xff\xff",
    b"\x00\x00\x00\x02\xc1\xc1",
    encode_frame(OPEN, 2, 1, 1),
    encode_frame(DATA, 99, 0, b""),
    encode_frame(OPEN, 1, 1, 1)
    + encode_frame(DATA, 1, 0, b"x" * MAX_PAYLOAD) * (INITIAL_CREDIT // MAX_PAYLOAD + 1),
]


@pytest.mark.parametrize("data", RULE_BREAKERS)
async def test_a_peer_that_breaks_the_protocol_loses_its_link(
    make_pool: MakePool, raw_peer: DialRaw, data: bytes
) -> None:
    pool = await make_pool()
    stuck = asyncio.Event()
    pool.serve(StreamKind.JOB, lambda link, stream: _wait(stuck))
    peer = await raw_peer(pool)
    peer.send(data)
    async with asyncio.timeout(2):
        await peer.lost.wait()
    assert pool.metrics.links_closed == {"protocol": 1}
    goaway = next(frame for frame in peer.received if frame[0] == GOAWAY)
    assert goaway[1] == GoawayCode.PROTOCOL
    stuck.set()
    await assert_serves(pool, make_pool)


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


async def test_opening_and_resetting_in_a_hurry_piles_nothing_up(
    make_pool: MakePool, raw_peer: DialRaw
) -> None:
    pool = await make_pool()
    running = most = 0
    over = asyncio.Event()

    async def slow(link: object, stream: object) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await over.wait()
        running -= 1

    pool.serve(StreamKind.JOB, slow)
    peer = await raw_peer(pool)
    (link,) = pool.all()
    for number in range(1, 6 * MAX_STREAMS, 2):
        peer.send(encode_frame(OPEN, number, 1, 1) + encode_frame(RESET, number, 0, ""))
    peer.send(encode_frame(PING, 77))
    await eventually(lambda: [PONG, 77] in peer.received)
    assert pool.metrics.streams_in > MAX_STREAMS
    assert most <= MAX_STREAMS
    assert link.multiplexer.streams == {}
    over.set()
    await eventually(lambda: link.handlers == 0)
    await assert_serves(pool, make_pool)


async def test_broken_ciphertext_ends_the_link_only(
    make_pool: MakePool, raw_peer: DialRaw, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await make_pool()
    peer = await raw_peer(pool)
    sealed = bytearray(peer.greeted.tls.write(b"x" * 50))
    sealed[-1] ^= 1
    peer.greeted.pipe.write(bytes(sealed))
    async with asyncio.timeout(2):
        await peer.lost.wait()
    assert pool.metrics.links_closed == {"protocol": 1}
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    await assert_serves(pool, make_pool)


async def test_a_watchers_bug_does_not_cost_the_link(
    make_pool: MakePool, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await make_pool()
    seen: list[bool] = []

    def broken(link: object, up: bool) -> None:
        raise RuntimeError("bug")

    pool.watch(broken)
    pool.watch(lambda link, up: seen.append(up))
    await assert_serves(pool, make_pool)
    assert seen == [True]
    assert "link watcher failed" in caplog.text


async def test_nothing_is_served_before_the_proof(make_pool: MakePool, raw_peer: DialRaw) -> None:
    """Frames right behind the hello are served; a hello without proof is not."""
    pool = await make_pool()
    pool.serve(StreamKind.DHT, echo)
    with pytest.raises(HandshakeError):
        await raw_peer(pool, public_key=NodeKey.generate().public_key)
    assert pool.metrics.streams_in == 0
    assert list(pool.all()) == []


async def test_a_full_node_says_so(make_pool: MakePool, raw_peer: DialRaw) -> None:
    pool = await make_pool(max_links=1)
    await raw_peer(pool)
    with pytest.raises(TurnedAway, match="all the links it can hold"):
        await raw_peer(pool)


async def test_a_port_in_use_is_named(make_pool: MakePool) -> None:
    pool = await make_pool()
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{pool.port}.*in use.*free port"):
        await make_pool(listen=("127.0.0.1", pool.port))


ROOT = RootKey.generate()
COORDINATOR: tuple[Role, ...] = ("coordinator",)


def grant(node: NodeKey, *, root: RootKey = ROOT, not_after: float = 4e9) -> bytes:
    return encode_grant(
        issue_grant(
            root,
            mesh_id=root.mesh_id,
            node_id=node.node_id,
            roles=COORDINATOR,
            not_after=not_after,
        )
    )


@pytest.mark.parametrize(
    ("make_grant", "reason"),
    [
        (lambda node: grant(node, not_after=1e9), "expired"),
        (lambda node: grant(node, root=RootKey.generate()), "another mesh"),
        (lambda node: grant(NodeKey.generate()), "another node"),
        (lambda node: b"forged", "cannot be read"),
    ],
)
async def test_a_bad_grant_costs_the_role_and_is_told(
    make_pool: MakePool, raw_peer: DialRaw, make_grant: Any, reason: str
) -> None:
    pool = await make_pool(mesh_id=ROOT.mesh_id)
    key = NodeKey.generate()
    peer = await raw_peer(
        pool,
        key,
        mesh_id=ROOT.mesh_id,
        roles=("worker", "coordinator"),
        grants=(make_grant(key),),
    )
    link = pool.get(key.node_id)
    assert link is not None
    assert link.roles == ("worker",)
    await eventually(lambda: any(frame[0] == NOTICE for frame in peer.received))
    notice = next(frame for frame in peer.received if frame[0] == NOTICE)
    assert notice[1] == NoticeCode.GRANT_REJECTED
    assert reason in notice[2]


async def test_a_good_grant_gives_the_role(make_pool: MakePool) -> None:
    key = NodeKey.generate()
    pool = await make_pool(mesh_id=ROOT.mesh_id)
    coordinator = await make_pool(
        key=key,
        mesh_id=ROOT.mesh_id,
        introduce=lambda: Introduction(roles=("coordinator",), grants=(grant(key),)),
        boot=Boot(1, "aa"),
    )
    link = await pool.connect(None, coordinator.addresses)
    assert link.roles == ("coordinator",)
    pool.revoke(())
    assert link.standing.granted == {"coordinator"}


async def test_a_crowd_of_new_identities_is_slowed_down(
    make_pool: MakePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loopback is not limited; here it counts as some network of the Internet."""
    monkeypatch.setattr("mesh.links.newcomers.is_inside", lambda host: False)
    monkeypatch.setattr("mesh.links.newcomers.BURST", 2.0)
    hub = await make_pool()
    first, second, third = [await make_pool(listen=None) for _ in range(3)]
    await first.connect(hub.node_id, hub.addresses)
    await second.connect(hub.node_id, hub.addresses)
    with pytest.raises(DialError, match="many new nodes"):
        await third.connect(hub.node_id, hub.addresses)
