"""No network fills a bucket, nor the table, whatever comes in whatever order."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from dht.contact import Contact
from dht.defences import OPEN
from dht.networks import network_of
from dht.routing import K, RoutingTable
from mesh.ids import NodeId

OWN = NodeId("00" * 20)
PREFIX = 0b10110 << 155
"""Where ids fall into one bucket that no longer splits."""


def contact(number: int, host: str) -> Contact:
    address = f"tcp://{host}:1"
    return Contact(NodeId(f"{number:040x}"), (address,), network=network_of(address))


def diverse() -> RoutingTable:
    return RoutingTable(OWN, bucket=OPEN.bucket, whole=OPEN.table)


def counts(table: RoutingTable) -> tuple[int, int]:
    """The most of one /24 in a bucket, and of one /16 in the table."""
    narrow = 0
    for bucket in table.buckets:
        networks = [each.network for each in bucket.nodes.values() if each.network is not None]
        narrow = max([narrow, *Counter(each.narrow for each in networks).values()])
    wide = Counter(each.network.wide for each in table if each.network is not None)
    return narrow, max(wide.values(), default=0)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32).map(Random))
def test_a_flood_from_one_provider_gets_few_places(rng: Random) -> None:
    table = diverse()
    known: list[Contact] = []
    for _ in range(400):
        honest = rng.random() < 0.3
        first = f"{rng.randrange(20, 99)}.{rng.randrange(256)}" if honest else "45.83"
        one = contact(rng.getrandbits(160), f"{first}.{rng.randrange(4)}.{rng.randrange(1, 255)}")
        known.append(one)
        table.add_contact(one)
        if rng.random() < 0.3:
            table.remove_contact(rng.choice(known))
    narrow, wide = counts(table)
    assert narrow <= 2
    assert wide <= 8


def test_without_bounds_the_same_flood_fills_the_bucket() -> None:
    table = RoutingTable(OWN)
    for number in range(K):
        table.add_contact(contact(PREFIX + number, f"45.83.1.{number + 1}"))
    assert counts(table) == (K, K)


def test_nobody_of_a_full_network_waits_for_a_place() -> None:
    table = diverse()
    for number in range(K):
        table.add_contact(contact(PREFIX + number, f"{20 + number}.1.1.1"))
    for number in range(10):
        table.add_contact(contact(PREFIX + 100 + number, f"45.83.1.{number + 1}"))
    for number in range(K):
        table.remove_contact(contact(PREFIX + number, ""))
    assert counts(table)[0] <= 2


def test_a_local_mesh_is_not_bounded() -> None:
    table = diverse()
    for number in range(K):
        table.add_contact(contact(PREFIX + number, f"192.168.1.{number + 1}"))
    assert len(table) == K


def test_a_contact_that_moves_into_a_full_network_loses_its_place() -> None:
    table = diverse()
    for number, host in enumerate(("45.83.1.1", "45.83.1.2", "9.9.9.9")):
        table.add_contact(contact(PREFIX + number, host))
    table.add_contact(contact(PREFIX + 2, "45.83.1.3"))
    assert len(table) == 2
    table.add_contact(contact(PREFIX + 2, "9.9.9.9"))
    assert len(table) == 3
