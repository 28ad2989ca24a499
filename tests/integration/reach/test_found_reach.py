"""Nodes find out by their peers whether they are reached, and tell what works."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.links.hosts import Interface
from mesh.ports import Link, Stream, StreamHandler
from mesh.wire.reach import Outcome, Seen, decode_reach_me, encode_seen
from tests.integration.reach.conftest import AskingNode, StartNode, until

HIDDEN = "127.0.0.2"
"""Where nobody who is dialled from there looks."""


def claims(observed: str, outcome: Outcome, *, at: int = 0) -> StreamHandler:
    """A liar: says so of every asker (at that port), having dialled nobody."""

    async def answer(link: Link, stream: Stream) -> None:
        data = await stream.receive()
        assert data is not None
        port = at or decode_reach_me(data).port
        await stream.send(encode_seen(Seen(observed, ((f"tcp://{observed}:{port}", outcome),))))
        stream.finish()

    return answer


async def test_nodes_of_one_network_are_local_to_each_other(start_node: StartNode) -> None:
    one, other = await start_node(), await start_node()
    await one.join(other)
    await until(lambda: one.reach.state == other.reach.state == "local")
    assert one.reach.addresses == one.links.addresses
    assert one.reach.reachable
    assert one.reach.outside_addresses == ()


async def test_a_node_that_nobody_reaches_is_private(start_node: StartNode) -> None:
    peers = [await start_node() for _ in range(3)]
    hidden = await start_node(HIDDEN)
    await hidden.join(*peers)
    await until(lambda: hidden.reach.finding.voices == 3)
    assert hidden.reach.state == "private"
    assert not hidden.reach.reachable
    assert hidden.reach.addresses == hidden.links.addresses, "its own network still finds it"


async def test_a_node_reached_at_an_address_it_does_not_have_is_mapped(
    start_node: StartNode,
) -> None:
    peer = await start_node()
    mapped = await start_node(interfaces=lambda: ())
    await mapped.join(peer)
    await until(lambda: mapped.reach.state == "mapped")
    assert mapped.reach.outside_addresses == mapped.links.addresses
    assert mapped.reach.place.outside == ("127.0.0.1",)


async def linked_with(start_node: StartNode, host: str, liar: StreamHandler) -> AskingNode:
    """A node that asks one liar and two honest peers."""
    peers = [await start_node(answer=liar), await start_node(), await start_node()]
    asker = await start_node(host)
    await asker.join(*peers)
    await until(lambda: asker.reach.finding.voices >= 2)
    return asker


async def test_one_liar_cannot_take_reach_away(start_node: StartNode) -> None:
    asker = await linked_with(start_node, "127.0.0.1", claims("127.0.0.1", "refused"))
    assert asker.reach.state == "local"


async def test_one_liar_cannot_promise_reach(start_node: StartNode) -> None:
    asker = await linked_with(start_node, HIDDEN, claims("127.0.0.1", "reached"))
    assert asker.reach.state == "private"
    assert asker.reach.outside_addresses == ()


async def test_a_liar_alone_is_believed_which_shows_that_the_test_can_fail(
    start_node: StartNode,
) -> None:
    asker = await start_node(HIDDEN)
    await asker.join(await start_node(answer=claims("127.0.0.1", "reached")))
    await until(lambda: asker.reach.finding.voices)
    assert asker.reach.state == "local"


async def test_not_even_a_liar_alone_has_another_port_told(start_node: StartNode) -> None:
    asker = await start_node(interfaces=lambda: ())
    await asker.join(await start_node(answer=claims("127.0.0.1", "reached", at=22)))
    await until(lambda: asker.reach.place.outside)
    assert (asker.reach.state, asker.reach.outside_addresses) == ("unknown", ())


async def test_peers_that_answer_nonsense_are_not_heard(start_node: StartNode) -> None:
    async def babble(link: Link, stream: Stream) -> None:
        await stream.receive()
        await stream.send(b"\xc1 nonsense")

    asker = await start_node()
    await asker.join(await start_node(answer=babble))
    await until(lambda: asker.reach.counters.unanswered)
    assert asker.reach.state == "unknown"
    assert asker.reach.addresses == asker.links.addresses


async def test_the_owner_may_decide_instead(start_node: StartNode) -> None:
    peer = await start_node()
    shy = await start_node(setting="private")
    await shy.join(peer)
    await until(lambda: peer.dial_back.counters.asked)
    assert (shy.reach.state, shy.reach.reachable) == ("private", False)
    assert peer.dial_back.counters.knocks == 0, "peers are asked only where they see it"


async def test_addresses_of_relays_come_last_and_their_changes_are_told(
    start_node: StartNode,
) -> None:
    node = await start_node()
    relays: list[str] = []
    told: list[Sequence[str]] = []
    node.reach.add_source(lambda: relays)
    node.reach.on_change(lambda: told.append(node.reach.addresses))
    node.reach.note_change()
    relays.append(f"relay://203.0.113.1:7718/{'ab' * 20}/{node.id}")
    node.reach.note_change()
    node.reach.note_change()
    assert told == [node.links.addresses, (*node.links.addresses, *relays)]


async def test_what_the_owner_vouches_for_is_told_though_nobody_could_try(
    start_node: StartNode,
) -> None:
    peers = [await start_node() for _ in range(2)]
    front = "wss://node.example.org:443/mesh"
    hidden = await start_node(HIDDEN, claimed=(front,))
    await hidden.join(*peers)
    await until(lambda: hidden.reach.finding.voices == 2)
    assert (hidden.reach.state, hidden.reach.reachable) == ("private", True)
    assert hidden.reach.addresses == (front, *hidden.links.addresses)


async def test_a_node_that_moved_asks_again(start_node: StartNode) -> None:
    interfaces: list[tuple[Interface, ...]] = [()]
    peer = await start_node()
    asker = await start_node(interfaces=lambda: interfaces[0])
    await asker.join(peer)
    await until(lambda: asker.reach.state == "mapped")
    from_now = asker.reach.counters.questions
    interfaces[0] = peer.reach.place.interfaces
    await until(lambda: asker.reach.counters.questions > from_now)
    await until(lambda: asker.reach.state == "local")
