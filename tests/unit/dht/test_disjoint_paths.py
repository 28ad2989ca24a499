"""Paths of one look-up: they share no node, and a liar misleads only its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dht.contact import Contact
from dht.defences import OPEN
from dht.lookup import MAX_REQUESTS, Lookup
from dht.networks import network_of
from dht.region import entries
from mesh.ids import NodeId

OWN = NodeId("00" * 20)
Say = Callable[[Contact, bytes], Sequence[Contact]]


def random_contact(rng: Random, host: str = "") -> Contact:
    addresses: tuple[str, ...] = (f"tcp://{host}:1",) if host else ()
    network = network_of(addresses[0]) if host else None
    return Contact(NodeId(f"{rng.getrandbits(160):040x}"), addresses, network=network)


def nearest(nodes: Sequence[Contact], place: bytes) -> list[Contact]:
    target = int.from_bytes(place, "big")
    return heapq.nsmallest(20, nodes, key=lambda each: each.long_id ^ target)


def play(lookup: Lookup, alive: set[Contact], say: Say) -> list[tuple[Contact, bytes]]:
    """Everybody alive answers at once; returns who was asked, and on the way to which place."""
    asked = []
    while not lookup.done:
        for contact in lookup.next(0.0, 1.0):
            place = lookup.place_of(contact.node)
            asked.append((contact, place))
            if contact in alive:
                lookup.answered(contact.node, say(contact, place), contact.network)
            else:
                lookup.failed(contact.node)
    return asked


def lookup_of(rng: Random, key: bytes, known: Sequence[Contact], *, paths: int = 3) -> Lookup:
    beside = entries(key, 2, paths - 1, rng)
    return Lookup(OWN, key, known, entries=beside, bounds=OPEN.lookup)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32).map(Random), st.integers(5, 120))
def test_no_node_is_asked_twice_and_every_path_goes_on(rng: Random, count: int) -> None:
    nodes = [random_contact(rng) for _ in range(count)]
    key = rng.randbytes(20)
    lookup = lookup_of(rng, key, rng.sample(nodes, min(count, 10)))
    asked = play(lookup, set(nodes), lambda contact, place: nearest(nodes, place))
    assert len({contact.node for contact, _ in asked}) == len(asked)
    assert len({place for _, place in asked}) == 3
    assert set(nearest(nodes, key)[:3]) <= set(lookup.nearest())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32).map(Random))
def test_who_names_phantoms_does_not_keep_the_others_from_being_found(rng: Random) -> None:
    honest = [random_contact(rng) for _ in range(80)]
    liars = set(rng.sample(honest, 16))
    key = rng.randbytes(20)

    def say(contact: Contact, place: bytes) -> Sequence[Contact]:
        if contact not in liars:
            return nearest(honest, place)
        near = int.from_bytes(place, "big")
        return [Contact(NodeId(f"{near ^ rng.getrandbits(130):040x}")) for _ in range(20)]

    lookup = lookup_of(rng, key, rng.sample(honest, 20))
    asked = play(lookup, set(honest), say)
    answered = [contact for contact, _ in asked if contact in set(nearest(honest, key))]
    assert len(answered) >= 10
    assert len(asked) <= MAX_REQUESTS


def test_without_doubt_about_informants_phantoms_use_up_the_look_up() -> None:
    rng = Random(5)
    liar, honest = Contact(NodeId("01" + "00" * 19)), Contact(NodeId("ff" * 20))

    def say(contact: Contact, place: bytes) -> Sequence[Contact]:
        return [Contact(NodeId(f"{rng.getrandbits(130):040x}")) for _ in range(200)]

    for doubting in (True, False):
        lookup = Lookup(OWN, bytes(20), [liar, honest], k=20, alpha=1, informants=doubting)
        asked = play(lookup, {liar, honest}, lambda c, place: say(c, place) if c == liar else [])
        place = [contact for contact, _ in asked].index(honest) if doubting else None
        assert place is None or place <= 5
        assert (honest in [contact for contact, _ in asked]) == doubting


def test_of_one_network_two_are_listened_to() -> None:
    rng = Random(6)
    crowd = [random_contact(rng, f"45.83.1.{number}") for number in range(1, 20)]
    others = [random_contact(rng, f"{20 + number}.1.1.1") for number in range(10)]
    lookup = lookup_of(rng, rng.randbytes(20), crowd + others)
    play(lookup, {*crowd, *others}, lambda contact, place: [])
    heard = set(lookup.all_answered())
    assert len(heard & set(crowd)) == 2
    assert set(others) <= heard


def test_whose_link_shows_another_network_than_it_claimed_is_counted_there() -> None:
    rng = Random(7)
    claims = [random_contact(rng, f"{20 + number}.1.1.1") for number in range(6)]
    lookup = lookup_of(rng, rng.randbytes(20), claims)
    real = network_of("tcp://45.83.1.1:1")
    listened = [
        lookup.answered(contact.node, [], real)
        for _ in range(6)
        for contact in lookup.next(0.0, 1.0)
    ]
    assert listened.count(True) == 2
    assert listened.count(False) == 4


def test_it_is_heard_everywhere_when_each_path_has_a_vote_or_an_end() -> None:
    rng = Random(8)
    nodes = [random_contact(rng) for _ in range(60)]
    lookup = lookup_of(rng, rng.randbytes(20), nodes)
    asked = lookup.next(0.0, 1.0)
    assert len({lookup.place_of(each.node) for each in asked}) == 3
    voted: set[bytes] = set()
    for contact in asked:
        assert lookup.heard_everywhere == (len(voted) == 3)
        lookup.answered(contact.node, [])
        lookup.vote(contact.node)
        voted.add(lookup.place_of(contact.node))
    assert lookup.heard_everywhere
    assert lookup.votes == len(asked) == 5
