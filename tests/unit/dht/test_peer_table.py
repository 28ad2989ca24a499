"""The directory's content: merging, loss, ageing, room, and comparing with a peer's."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dht.peer_table import FOREWARNED_FOR, PeerTable, says_the_same
from mesh.capability import Load, ModelRef, NodeRecord, ServedModel
from mesh.ids import NodeId
from mesh.wire.records import SignedNode

OWN = NodeId("00" * 20)
A, B, C = (NodeId(digit * 40) for digit in "123")


def signed(node: NodeId, seq: int = 1, **changes: Any) -> SignedNode:
    settings: dict[str, Any] = {"ttl": 100.0, "addresses": ("tcp://192.0.2.1:1",), **changes}
    return SignedNode(NodeRecord(node, seq, 0.0, **settings), f"{node}{seq}".encode())


def model(name: str = "m") -> tuple[ServedModel, ...]:
    return (ServedModel(ModelRef(name, "demo"), slots=1),)


def test_the_newest_word_counts_and_older_ones_do_not() -> None:
    table = PeerTable(OWN)
    assert table.offer(signed(A, 2), 50, 0) == "new"
    assert table.offer(signed(A, 1, state="gone"), 50, 1) == "known"
    assert table.offer(signed(A, 3), 50, 2) == "refreshed"
    assert table.offer(signed(A, 4, models=model()), 50, 3) == "changed"
    assert not table.is_news(A, 4)
    peer = table.peer(A)
    assert peer is not None
    assert peer.record.seq == 4


def test_a_record_dies_after_the_time_it_came_with_and_stays_dead() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A, 5), 10, 0)
    assert table.expire(9.9) == []
    assert table.expire(10) == [A]
    assert table.offer(signed(A, 5), 50, 11) == "known"
    assert table.offer(signed(A, 6), 50, 11) == "new"


def test_handing_on_prolongs_to_the_signed_ttl_and_no_further() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A, 1, ttl=100.0), 10, 0)
    for now in range(0, 100, 5):
        table.renew(A, 1, 3600, now)
    assert table.expire(99.9) == []
    assert table.expire(100) == [A]


def test_a_linked_node_does_not_age() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A), 10, 0, linked=True)
    assert table.expire(1000) == []
    table.link(A, False)
    assert table.expire(1000) == [A]


def test_a_lost_node_is_unseen_until_it_says_something_new() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A, 3), 50, 0, linked=True)
    assert table.lose(A, 3)
    assert table.peer(A) is None
    assert not table.lose(A, 3)
    assert table.remaining(A, 1) is None
    assert table.offer(signed(A, 4), 50, 2) == "changed"
    assert table.peer(A) is not None


def test_an_old_loss_does_not_hide_a_node_that_has_spoken_since() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A, 4), 50, 0)
    assert not table.lose(A, 3)
    assert table.peer(A) is not None


def test_a_loss_that_overtook_the_record_still_counts_for_a_moment() -> None:
    table = PeerTable(OWN)
    table.forewarn(A, 3, 0)
    table.forewarn(B, 3, 0)
    table.forewarn(C, 3, 0)
    table.offer(signed(A, 3), 50, 1)
    table.offer(signed(B, 4), 50, 1)
    table.offer(signed(C, 3), 50, FOREWARNED_FOR)
    assert table.peer(A) is None
    assert table.peer(B) is not None
    assert table.peer(C) is not None
    assert table.offer(signed(A, 4), 50, 2) == "changed"
    assert table.peer(A) is not None


def test_a_link_or_a_peer_with_a_link_brings_a_lost_node_back() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A), 50, 0)
    table.lose(A, 1)
    assert table.link(A, True)
    assert table.peer(A) is not None
    table.lose(A, 1)
    assert table.vouch(A, 1)
    assert not table.vouch(A, 1)


def test_load_and_round_trip_belong_to_the_link() -> None:
    table = PeerTable(OWN)
    table.offer(signed(A), 50, 0)
    assert not table.set_load(A, Load(in_flight=1))
    table.link(A, True)
    assert table.set_load(A, Load(in_flight=1))
    assert not table.set_load(A, Load(in_flight=1))
    assert table.set_rtt(A, 0.010)
    assert not table.set_rtt(A, 0.0105)
    assert table.set_rtt(A, 0.020)
    table.link(A, False)
    peer = table.peer(A)
    assert peer is not None
    assert (peer.load, peer.rtt, peer.linked) == (Load(), None, False)


def test_a_full_table_keeps_links_workers_and_the_near() -> None:
    table = PeerTable(OWN, most=3)
    near, far, farther = NodeId("0" * 39 + "1"), NodeId("e" * 40), NodeId("f" * 40)
    table.offer(signed(farther), 50, 0)
    table.link(farther, True)
    table.offer(signed(far), 50, 0)
    table.offer(signed(A, models=model()), 50, 0)
    assert table.offer(signed(near), 50, 1) == "new"
    assert table.evicted() == [far]
    assert table.offer(signed(far, 1), 50, 2) == "known"
    assert table.offer(signed(far, 2), 50, 2) == "refused"
    assert table.offer(signed(far, 3, models=model()), 50, 3) == "new"
    assert table.evicted() == [near]
    assert {entry.signed.record.node_id for entry in table} == {farther, far, A}


def test_a_gone_node_makes_room_first() -> None:
    table = PeerTable(OWN, most=2)
    table.offer(signed(A, models=model()), 50, 0)
    table.offer(signed(B, models=model()), 50, 0)
    table.offer(signed(A, 2, state="gone"), 50, 1)
    assert table.peer(A) is None
    assert table.offer(signed(C), 50, 2) == "new"
    assert table.evicted() == [A]


def test_what_is_the_same_but_newer_only_renews() -> None:
    assert says_the_same(signed(A, 1).record, signed(A, 9, ttl=7.0).record)
    assert not says_the_same(signed(A, 1).record, signed(A, 2, state="draining").record)


def pull(one: PeerTable, other: PeerTable) -> int:
    """Let `one` take what `other` knows better, as the exchange does; returns how much was told."""
    told, start = 0, 0
    while True:
        listing = other.listing(one.digest(start))
        told += len(listing.items)
        for node in one.missing(listing):
            entry = other.get(node)
            if entry is not None:
                one.offer(entry.signed, 50, 0)
        if listing.start is None:
            return told
        start = listing.start


@given(st.integers(0, 2**32).map(Random), st.integers(0, 400), st.integers(0, 400))
def test_comparing_both_ways_makes_two_directories_equal(
    rng: Random, mine: int, theirs: int
) -> None:
    nodes = [NodeId(f"{rng.getrandbits(160):040x}") for _ in range(500)]
    one, other = PeerTable(OWN), PeerTable(OWN)
    for table, count in ((one, mine), (other, theirs)):
        for node in rng.sample(nodes, count):
            table.offer(signed(node, rng.randint(1, 3)), 50, 0)
    pull(one, other)
    pull(other, one)
    assert {e.signed.data for e in one} == {e.signed.data for e in other}
    assert pull(one, other) == 0


def test_directories_that_differ_in_who_is_lost_say_so() -> None:
    one, other = PeerTable(OWN), PeerTable(OWN)
    for table in (one, other):
        table.offer(signed(A), 50, 0)
    other.lose(A, 1)
    (listed,) = other.listing(one.digest()).items
    assert listed.lost
    (listed,) = one.listing(other.digest()).items
    assert not listed.lost


def test_a_node_tells_of_itself_by_comparing_too() -> None:
    one, other = PeerTable(A), PeerTable(B)
    one.set_own(signed(A, 3))
    (listed,) = one.listing(other.digest()).items
    assert (listed.node, listed.seq, listed.linked) == (A, 3, True)
    assert other.missing(one.listing(other.digest())) == [A]
    assert one.remaining(A, 0) == (100.0, signed(A, 3).data)
