"""The routing table, against the defects of the package it is built on."""

from __future__ import annotations

import asyncio
import heapq
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dht.contact import MAX_CONTACT_ADDRESSES, Contact
from dht.routing import MAX_BUCKETS, REFRESH_AFTER, K, RoutingTable
from mesh.ids import NodeId

TOP = NodeId("ff" * 20)


def node(number: int) -> NodeId:
    return NodeId(f"{number:040x}")


def filled(
    rng: Random, count: int, own: NodeId | None = None
) -> tuple[RoutingTable, list[Contact]]:
    table = RoutingTable(own or node(rng.getrandbits(160)))
    contacts = [Contact(node(rng.getrandbits(160))) for _ in range(count)]
    for contact in contacts:
        table.add_contact(contact)
    return table, contacts


@given(st.integers(0, 2**32).map(Random), st.integers(1, 300))
def test_the_nearest_are_found_wherever_one_looks(rng: Random, count: int) -> None:
    table, _ = filled(rng, count)
    for key in (rng.randbytes(20), bytes(20), b"\xff" * 20, bytes.fromhex(TOP)):
        target = int.from_bytes(key, "big")
        expected = heapq.nsmallest(K, table, key=lambda each: each.long_id ^ target)
        assert table.nearest(key) == expected
        assert len(expected) == min(K, len(table))


def test_a_full_bucket_names_whom_to_ask_and_asks_nobody() -> None:
    rng = Random(1)
    table = RoutingTable(node(0))
    far = [Contact(node((1 << 159) + rng.getrandbits(150))) for _ in range(200)]
    doubtful = [each for each in map(table.add_contact, far) if each is not None]
    assert doubtful, "two hundred contacts fit into one corner"
    assert set(doubtful) <= set(far[: K * 6])
    asyncio.run(_nothing_was_started())


async def _nothing_was_started() -> None:
    assert len(asyncio.all_tasks()) == 1


def test_a_live_contact_is_not_driven_out_by_newcomers() -> None:
    rng = Random(2)
    table = RoutingTable(node(0))
    prefix = 0b10110 << 155
    first = [Contact(node(prefix + rng.getrandbits(150))) for _ in range(K)]
    for contact in first:
        table.add_contact(contact)
    for _ in range(500):
        table.add_contact(Contact(node(prefix + rng.getrandbits(150))))
    kept = [contact for contact in first if contact.node in table]
    assert len(kept) == K


def test_a_contact_that_does_not_answer_makes_room_for_one_that_waits() -> None:
    table = RoutingTable(node(0), k=2)
    prefix = 0b10110 << 155
    one, two, three = (Contact(node(prefix + number)) for number in (1, 2, 3))
    rest = [Contact(node((0b111 << 157) + number)) for number in range(3)]
    for contact in (one, two, *rest):
        table.add_contact(contact)
    asked = table.add_contact(three)
    assert asked == one
    table.remove_contact(one)
    assert three.node in table
    assert one.node not in table


def test_heard_again_means_asked_last() -> None:
    table = RoutingTable(node(0), k=2)
    prefix = 0b10110 << 155
    one, two, three = (Contact(node(prefix + number)) for number in (1, 2, 3))
    rest = [Contact(node((0b111 << 157) + number)) for number in range(3)]
    for contact in (one, two, *rest, one):
        table.add_contact(contact)
    assert table.add_contact(three) == two


def test_addresses_are_those_heard_last() -> None:
    table = RoutingTable(node(0))
    table.add_contact(Contact(node(5), ("tcp://192.0.2.1:1",)))
    table.add_contact(Contact(node(5), ("tcp://192.0.2.2:2",)))
    (contact,) = table
    assert contact.addresses == ("tcp://192.0.2.2:2",)


def test_the_node_itself_never_comes_into_its_table() -> None:
    table = RoutingTable(TOP)
    assert table.add_contact(Contact(TOP)) is None
    assert len(table) == 0


@given(st.integers(0, 2**32).map(Random))
def test_every_contact_sits_in_the_bucket_that_is_searched_for_it(rng: Random) -> None:
    table, contacts = filled(rng, 200, own=TOP)
    edges = [Contact(node(2**159 - 1)), Contact(node(2**159)), Contact(node(0))]
    for contact in edges:
        table.add_contact(contact)
    for bucket in table.buckets:
        for contact in bucket.nodes.values():
            assert bucket.range[0] <= contact.long_id <= bucket.range[1]
            assert table.get(contact.node) is contact
    assert len({contact.node for contact in contacts}) >= len(table) - len(edges)


def test_a_bucket_nobody_looked_into_is_refreshed_within_its_range() -> None:
    rng = Random(4)
    table, _ = filled(rng, 300)
    assert table.stale_targets(0.0, rng) == []
    key = rng.randbytes(20)
    table.touch(key, 500.0)
    stale = table.stale_targets(REFRESH_AFTER, rng)
    assert len(stale) == len(table.buckets) - 1
    assert len(table.stale_targets(REFRESH_AFTER + 500.0, rng)) == len(table.buckets)


def test_the_table_is_bounded_whoever_comes() -> None:
    rng = Random(6)
    table, _ = filled(rng, 20_000)
    assert len(table.buckets) <= MAX_BUCKETS
    assert len(table) <= K * len(table.buckets)


def test_a_contact_keeps_few_addresses() -> None:
    many = tuple(f"tcp://192.0.2.{number}:1" for number in range(16))
    assert Contact(node(5), many).address.addresses == many[:MAX_CONTACT_ADDRESSES]
