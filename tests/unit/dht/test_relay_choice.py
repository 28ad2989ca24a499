"""Which relays are asked for a seat."""

from __future__ import annotations

from random import Random

import pytest

from dht.relay_choice import SEATS, RelayCandidate, choose_relays
from dht.relay_seats import relay_at
from mesh.capability import NodeRecord
from mesh.ids import NodeId


def relay(
    number: int,
    network: str,
    rtt: float | None = 0.02,
    circuits: int = 0,
    *,
    inside: bool = False,
) -> RelayCandidate:
    return RelayCandidate(NodeId(f"{number:040x}"), network, inside, rtt, circuits)


def test_public_ones_come_before_those_of_a_private_network() -> None:
    near = relay(1, "a", 0.001, inside=True)
    chosen = choose_relays([], [near, relay(2, "b", 0.5), relay(3, "b", 0.5)], Random(1))
    assert chosen[-1] == near


@pytest.mark.parametrize("seed", range(20))
def test_other_networks_come_before_a_second_of_one(seed: int) -> None:
    near = [relay(number, "10.1.0.0/16", rtt=0.001) for number in range(5)]
    far = [relay(10, "10.2.0.0/16", rtt=0.2), relay(11, "10.3.0.0/16", rtt=0.3)]
    chosen = choose_relays([], [*near, *far], Random(seed))
    assert len(chosen) == SEATS
    assert {each.network for each in chosen} == {"10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"}


@pytest.mark.parametrize("seed", range(20))
def test_near_and_idle_ones_are_preferred(seed: int) -> None:
    candidates = [
        relay(1, "a", 0.01),
        relay(2, "a", 0.5),
        relay(3, "a", 0.01, circuits=900),
        relay(4, "a", None),
    ]
    assert choose_relays([], candidates, Random(seed))[0].node == candidates[0].node


def test_a_seat_that_is_there_is_kept_and_only_the_rest_is_asked() -> None:
    seated = [relay(1, "a"), relay(2, "b")]
    chosen = choose_relays(seated, [*seated, relay(3, "a"), relay(4, "c")], Random(1))
    assert [each.network for each in chosen] == ["c"]


def test_few_are_all_asked_and_none_twice() -> None:
    assert choose_relays([], [], Random(1)) == []
    only = [relay(1, "a"), relay(2, "a")]
    assert {each.node for each in choose_relays([], only, Random(1))} == {
        each.node for each in only
    }


def test_a_relay_is_found_at_its_public_address() -> None:
    def record(*addresses: str) -> NodeRecord:
        return NodeRecord(NodeId("1" * 40), 1, 0.0, 60.0, addresses)

    both = record("wss://relay.example/mesh", "tcp://10.0.0.1:7718", "tcp://192.0.2.1:7718")
    assert relay_at(both) == "tcp://192.0.2.1:7718"
    assert relay_at(record("tcp://10.0.0.1:7718")) == "tcp://10.0.0.1:7718"
    assert relay_at(record("wss://relay.example/mesh")) == "wss://relay.example/mesh"
    assert relay_at(record("relay://192.0.2.1:1/x/y")) is None
