"""The look-up core against networks of any shape, without I/O."""

from __future__ import annotations

import heapq
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from dht.contact import Contact
from dht.lookup import MAX_REQUESTS, Lookup
from mesh.ids import NodeId

OWN = NodeId("00" * 20)


class World:
    """Nodes that know some others; some answer late, some never."""

    def __init__(self, rng: Random, count: int, *, dead: float, late: float) -> None:
        self.rng = rng
        self.nodes = [Contact(NodeId(f"{rng.getrandbits(160):040x}")) for _ in range(count)]
        self.dead = {node for node in self.nodes if rng.random() < dead}
        self.late = {node for node in self.nodes if rng.random() < late} - self.dead
        self.now = 0.0

    def near(self, key: bytes, k: int = 20) -> list[Contact]:
        target = int.from_bytes(key, "big")
        return heapq.nsmallest(k, self.nodes, key=lambda node: node.long_id ^ target)

    def run(self, lookup: Lookup, key: bytes) -> float:
        """Play both network and shell until the core says that it is done; seconds that took."""
        events: list[tuple[float, int, Contact]] = []
        for _ in range(10_000):
            for contact in lookup.next(self.now, 0.5):
                takes = 3.0 if contact in self.dead else 0.9 if contact in self.late else 0.02
                heapq.heappush(events, (self.now + takes, contact.long_id, contact))
            if lookup.done:
                return self.now
            times = [event[0] for event in events[:1]]
            if lookup.wake_at is not None:
                times.append(lookup.wake_at)
            self.now = min(times)
            while events and events[0][0] <= self.now:
                contact = heapq.heappop(events)[2]
                if contact in self.dead:
                    lookup.failed(contact.node)
                else:
                    lookup.answered(contact.node, self.near(key))
        raise AssertionError("the look-up does not end")


def key_of(rng: Random) -> bytes:
    return rng.randbytes(20)


@given(st.integers(0, 2**32).map(Random), st.integers(1, 150), st.integers(1, 10))
def test_without_failures_it_ends_with_exactly_the_nearest(
    rng: Random, count: int, start: int
) -> None:
    world = World(rng, count, dead=0, late=0)
    key = key_of(rng)
    lookup = Lookup(OWN, key, rng.sample(world.nodes, min(start, count)))
    world.run(lookup, key)
    assert lookup.nearest() == world.near(key)


@given(st.integers(0, 2**32).map(Random), st.integers(40, 150))
def test_with_dead_and_late_nodes_it_ends_soon_with_the_nearest_that_live(
    rng: Random, count: int
) -> None:
    world = World(rng, count, dead=0.3, late=0.1)
    alive = [node for node in world.nodes if node not in world.dead]
    key = key_of(rng)
    lookup = Lookup(OWN, key, rng.sample(alive, 3))
    took = world.run(lookup, key)
    prompt = [node for node in world.near(key) if node not in world.dead | world.late]
    assert set(prompt) <= set(lookup.nearest())
    assert not set(lookup.nearest()) & world.dead
    assert took <= 4.0


def test_a_slow_node_frees_its_place_and_is_still_heard() -> None:
    contacts = [Contact(NodeId(f"{number:040x}")) for number in range(1, 9)]
    lookup = Lookup(OWN, bytes(20), contacts, k=8, alpha=2)
    first = lookup.next(0.0, 0.5)
    assert lookup.next(0.1, 0.5) == []
    second = lookup.next(0.5, 0.5)
    assert len(first) == len(second) == 2
    assert not set(first) & set(second)
    lookup.answered(first[0].node, [])
    assert first[0] in lookup.nearest()


def test_alone_it_is_done_at_once() -> None:
    lookup = Lookup(OWN, bytes(20), [])
    assert lookup.next(0.0, 0.5) == []
    assert lookup.done


def test_when_all_are_silent_it_waits_for_them_to_fail() -> None:
    contacts = [Contact(NodeId(f"{number:040x}")) for number in range(1, 4)]
    lookup = Lookup(OWN, bytes(20), contacts)
    lookup.next(0.0, 0.5)
    lookup.next(0.5, 0.5)
    ended = [lookup.done]
    for contact in contacts:
        lookup.failed(contact.node)
        ended.append(lookup.done)
    assert ended == [False, False, False, True]
    assert lookup.nearest() == []


def test_cheap_contacts_among_the_nearest_are_asked_first() -> None:
    contacts = [Contact(NodeId(f"{number:040x}")) for number in range(1, 30)]
    cheap = {contacts[15], contacts[28]}
    lookup = Lookup(OWN, bytes(20), contacts, alpha=1, prefer=lambda each: each in cheap)
    assert lookup.next(0.0, 0.5) == [contacts[15]]


def test_a_peer_that_names_endless_nearer_nodes_is_not_followed_for_ever() -> None:
    rng = Random(3)
    lookup = Lookup(OWN, bytes(20), [Contact(NodeId("ff" * 20))])
    now = 0.0
    while not lookup.done:
        for contact in lookup.next(now, 0.5):
            below = range(contact.long_id - 10**15, contact.long_id)
            nearer = [Contact(NodeId(f"{rng.choice(below):040x}")) for _ in range(20)]
            lookup.answered(contact.node, nearer)
        now += 0.1
    assert lookup.requests <= MAX_REQUESTS


def test_this_node_itself_is_never_asked() -> None:
    lookup = Lookup(OWN, bytes(20), [Contact(OWN)])
    assert lookup.next(0.0, 0.5) == []
