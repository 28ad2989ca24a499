"""A closed mesh over real links: who comes in, who is cut off, and how fast all know."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mesh.errors import DialError, LinkClosed, LinkError, RecordRejected, StreamReset
from mesh.identity.grants import CLOCK_TOLERANCE, encode_grant
from mesh.identity.keys import NodeKey
from mesh.identity.trust import MEMBERS_ONLY, REMOVED
from mesh.links.applicants import MAX_PER_SOURCE
from mesh.ports import StreamKind
from mesh.wire.frames import GoawayCode
from mesh.wire.revocation import Have, Lists, encode, encode_revocations
from node.revoking import MESSAGE_BURST, REVOCATIONS_FILE
from tests.integration.links.closed_mesh import ClosedMesh, MeshNode
from tests.integration.links.peers import MakePool, echo, eventually

FLOOD_SECONDS = 3.0
"""Within which a removed node is out everywhere; it takes milliseconds on a quiet machine."""


@pytest.fixture
async def mesh(tmp_path: Path) -> AsyncIterator[ClosedMesh]:
    async with AsyncExitStack() as stack:
        yield ClosedMesh(tmp_path, stack)


async def refused(node: MeshNode, other: MeshNode, words: str) -> None:
    await eventually(lambda: not node.linked(other))  # a link that was cut ends here, too
    with pytest.raises(DialError, match=words):
        await node.link(other)
    assert not node.linked(other) and not other.linked(node)


# ── who comes in ────────────────────────────────────────────────────────────────────────────────


async def test_members_link_and_strangers_are_told_why_not(mesh: ClosedMesh) -> None:
    ann, bob, stranger = await mesh.member(), await mesh.member(), await mesh.start()
    seen: list[object] = []
    ann.links.watch(lambda link, up: seen.append(link.peer))
    await bob.link(ann)
    await refused(stranger, ann, MEMBERS_ONLY)
    await refused(ann, stranger, MEMBERS_ONLY)
    assert stranger.links.rebuffs[-1].code is GoawayCode.MEMBERS_ONLY
    assert set(seen) == {bob.node_id}, "no part of the node ever heard of the stranger"


async def test_an_open_node_takes_the_stranger_and_trusts_it_with_nothing(
    mesh: ClosedMesh,
) -> None:
    key = NodeKey.generate()
    opened = await mesh.start(key, grant=mesh.grant(key), closed=False)
    stranger, member = await mesh.start(), await mesh.member()
    await stranger.link(opened)
    await member.link(opened)
    ours = opened.links.get(stranger.node_id)
    assert ours is not None and ours.standing.granted == frozenset()
    await refused(stranger, member, MEMBERS_ONLY)


@pytest.mark.parametrize("kind", ["expired", "other node", "forged"])
async def test_a_bad_grant_is_none(mesh: ClosedMesh, kind: str) -> None:
    key, ann = NodeKey.generate(), await mesh.member()
    grant = {
        "expired": mesh.grant(key, lasts=-CLOCK_TOLERANCE - 60),
        "other node": mesh.grant(NodeKey.generate()),
        "forged": ClosedMesh(mesh.folder, AsyncExitStack()).grant(key),
    }[kind]
    await refused(await mesh.start(key, grant=grant), ann, MEMBERS_ONLY)


async def test_who_asks_to_be_admitted_gets_that_stream_and_no_other(mesh: ClosedMesh) -> None:
    ann, stranger = await mesh.member(), await mesh.start()
    seen: list[object] = []
    ann.links.watch(lambda link, up: seen.append(link.peer))
    with pytest.raises(DialError, match="admits nobody"):
        await stranger.links.apply(ann.node_id, ann.links.addresses)
    ann.links.serve(StreamKind.ADMISSION, echo)
    ann.links.serve(StreamKind.JOB, echo)
    link = await stranger.links.apply(ann.node_id, ann.links.addresses)
    assert await link.call(StreamKind.ADMISSION, b"ticket", timeout=5) == b"ticket"
    with pytest.raises(LinkClosed, match="admission only"):
        link.open(StreamKind.JOB)
    link.applying = False  # as a stranger with a program of its own would
    with pytest.raises(LinkError, match="not served"):
        await link.call(StreamKind.JOB, b"work", timeout=5)
    assert seen == [] and ann.links.all() == [] and stranger.links.all() == []
    link.close(GoawayCode.CLOSING, "done")


async def test_a_ticket_is_shown_to_no_stranger(mesh: ClosedMesh) -> None:
    liar, stranger = await mesh.start(), await mesh.start()
    liar.links.serve(StreamKind.ADMISSION, echo)
    with pytest.raises(DialError, match="no member"):
        await stranger.links.apply(liar.node_id, liar.links.addresses)


async def test_few_may_ask_at_once(mesh: ClosedMesh) -> None:
    ann, asking = await mesh.member(), []
    ann.links.serve(StreamKind.ADMISSION, echo)
    for _ in range(MAX_PER_SOURCE):
        stranger = await mesh.start()
        asking.append(await stranger.links.apply(ann.node_id, ann.links.addresses))
    another = await mesh.start()
    with pytest.raises(DialError, match="too many"):
        await another.links.apply(ann.node_id, ann.links.addresses)
    asking[0].close(GoawayCode.CLOSING, "done")

    async with asyncio.timeout(5):
        while not await was_let_in(another, ann):
            await asyncio.sleep(0.02)


async def was_let_in(stranger: MeshNode, member: MeshNode) -> bool:
    try:
        link = await stranger.links.apply(member.node_id, member.links.addresses)
    except DialError:
        return False
    link.close(GoawayCode.CLOSING, "done")
    return True


# ── revocation ──────────────────────────────────────────────────────────────────────────────────


async def chain_of(mesh: ClosedMesh, count: int) -> list[MeshNode]:
    nodes = [await mesh.member(mesh.coordinator if not i else None) for i in range(count)]
    for left, right in itertools.pairwise(nodes):
        await left.link(right)
    return nodes


async def test_a_removed_node_is_out_of_a_chain_of_five_at_once(mesh: ClosedMesh) -> None:
    nodes, bad = await chain_of(mesh, 5), await mesh.member()
    for node in nodes:
        node.links.serve(StreamKind.JOB, echo)
        await bad.link(node)
    working = [link.open(StreamKind.JOB) for link in bad.links.all()]
    for stream in working:
        await stream.send(b"x")
        assert await stream.receive() == b"x"
    await nodes[0].revoking.publish(mesh.revocations(bad.node_id))
    await eventually(lambda: not any(node.linked(bad) for node in nodes), FLOOD_SECONDS)
    for stream in working:
        with pytest.raises(LinkError):
            await stream.receive()
    assert all(left.linked(right) for left, right in itertools.pairwise(nodes))
    await eventually(lambda: bad.links.rebuffs)
    assert bad.links.rebuffs[-1].code is GoawayCode.REVOKED
    for node in nodes:
        await refused(bad, node, REMOVED)


async def test_what_was_revoked_survives_a_restart_and_reaches_who_was_away(
    mesh: ClosedMesh,
) -> None:
    ann, bob, bad = await mesh.member(), await mesh.member(), await mesh.member()
    await ann.revoking.publish(mesh.revocations(bad.node_id))
    await ann.close()
    again = await mesh.member(ann.key)
    assert again.trust.removed(bad.node_id), "before anybody could be asked"
    await refused(bad, again, REMOVED)
    await bad.link(bob)
    await again.link(bob)
    await eventually(lambda: not bob.linked(bad), FLOOD_SECONDS)
    assert bob.trust.removed(bad.node_id)
    own = mesh.folder / bob.node_id / REVOCATIONS_FILE
    await eventually(own.exists)
    assert own.stat().st_mode & 0o077 == 0


async def test_a_removed_node_that_hears_of_it_says_so(mesh: ClosedMesh) -> None:
    ann, bad = await mesh.member(), await mesh.member()
    assert bad.revoking.note() == ""
    lists = Lists((encode_revocations(mesh.revocations(bad.node_id)),))
    await bad.revoking._receive(ann.node_id, lists)
    assert bad.revoking.note() == REMOVED


async def test_revoking_one_grant_ends_what_rests_on_it(mesh: ClosedMesh) -> None:
    key = NodeKey.generate()
    relay, worker = mesh.grant(key, ["relay"]), mesh.grant(key)
    ann, bob = await mesh.member(), await mesh.start(key, grant=relay)
    await bob.link(ann)
    link = ann.links.get(bob.node_id)
    await ann.revoking.publish(mesh.revocations(bob.node_id, serials=[relay.serial]))
    assert link is not None
    await eventually(lambda: link.closed and bob.trust.revoked)
    await refused(bob, ann, MEMBERS_ONLY)
    bob.grants[:] = [encode_grant(worker)]
    await bob.link(ann)
    assert not ann.trust.removed(bob.node_id)


async def test_only_news_that_is_signed_well_is_published(mesh: ClosedMesh) -> None:
    ann, bob = await mesh.member(), await mesh.member()
    forged = ClosedMesh(mesh.folder, AsyncExitStack()).revocations(bob.node_id)
    await bob.link(ann)
    with pytest.raises(RecordRejected):
        await ann.revoking.publish(forged)
    assert ann.linked(bob) and not ann.trust.revoked


async def test_a_grant_that_ends_lets_the_link_empty(mesh: ClosedMesh) -> None:
    key, ann = NodeKey.generate(), await mesh.member()
    ann.links.serve(StreamKind.JOB, echo)
    bob = await mesh.start(key, grant=mesh.grant(key, lasts=-CLOCK_TOLERANCE + 1.0))
    stream = (await bob.link(ann)).open(StreamKind.JOB)
    await eventually(lambda: not ann.linked(bob))
    await stream.send(b"still running")
    assert await stream.receive() == b"still running"
    await refused(bob, ann, MEMBERS_ONLY)


async def test_an_open_mesh_asks_for_nothing(make_pool: MakePool) -> None:
    ann, bob = await make_pool(), await make_pool()
    await bob.connect(ann.node_id, ann.addresses)
    assert ann.all() and not ann.rebuffs


async def test_who_asks_too_much_about_revocations_gets_no_answer(mesh: ClosedMesh) -> None:
    ann, bob = await mesh.member(), await mesh.member()
    link = await bob.link(ann)
    question = encode(Have({}))
    with pytest.raises(StreamReset, match="too many"):
        for _ in range(2 * int(MESSAGE_BURST)):
            await link.call(StreamKind.REVOCATION, question, timeout=5)
