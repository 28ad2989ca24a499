"""What follows from what peers say about reaching a node, liars among them included."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dht.reach_verdict import BELIEVED_FOR, UNKNOWN, Finding, Sighting, judge
from mesh.ids import NodeId
from mesh.wire.reach import Outcome

OWN_LAN, OWN_PUBLIC, ROUTER = "192.168.1.5", "203.0.113.5", "198.51.100.9"
HOSTS = ("127.0.0.1", OWN_LAN)
PEERS = ("192.0.2.1", "203.0.113.200", "198.18.0.1", "198.19.0.1", "192.88.0.1")
"""At outside addresses of different networks."""


def says(
    host: str, observed: str, outcome: Outcome | None, *, url: str = "", at: float = 0.0
) -> Sighting:
    """A peer at `host` tried `observed`, or did not (None)."""
    outcomes = {} if outcome is None else {url or f"tcp://{observed}:7718": outcome}
    return Sighting(NodeId(host), host, observed, outcomes, at)


def all_say(observed: str, outcomes: Sequence[Outcome | None]) -> list[Sighting]:
    return [says(host, observed, each) for host, each in zip(PEERS, outcomes, strict=False)]


def test_nothing_said_is_nothing_known() -> None:
    assert judge([], HOSTS, UNKNOWN, 0.0) == UNKNOWN
    assert judge(all_say(ROUTER, [None, None]), HOSTS, UNKNOWN, 0.0) == UNKNOWN


def test_reached_at_an_own_address_is_public() -> None:
    found = judge(all_say(OWN_PUBLIC, ["reached"] * 3), (*HOSTS, OWN_PUBLIC), UNKNOWN, 7.0)
    assert found == Finding("public", (f"tcp://{OWN_PUBLIC}:7718",), (), 3, 7.0)


def test_reached_at_the_routers_address_is_mapped() -> None:
    found = judge(all_say(ROUTER, ["reached"] * 3), HOSTS, UNKNOWN, 7.0)
    assert found == Finding("mapped", (f"tcp://{ROUTER}:7718",), (ROUTER,), 3, 7.0)


@pytest.mark.parametrize("observed", [ROUTER, OWN_PUBLIC])
def test_not_reached_is_private_behind_a_router_or_a_firewall(observed: str) -> None:
    found = judge(all_say(observed, ["silent", "refused", "silent"]), HOSTS, UNKNOWN, 7.0)
    assert (found.state, found.addresses, found.outside) == ("private", (), (observed,))


@pytest.mark.parametrize("network", ["127.0.0.1", OWN_LAN])
def test_peers_in_the_same_network_make_it_local(network: str) -> None:
    hosts = [network] if network == "127.0.0.1" else ["192.168.1.6", "192.168.1.7"]
    found = judge([says(host, network, "reached") for host in hosts], HOSTS, UNKNOWN, 0.0)
    assert (found.state, found.addresses, found.outside) == ("local", (), ())


def test_a_firewall_on_the_machine_shows_in_its_own_network() -> None:
    said = [says(host, OWN_LAN, "silent") for host in ("192.168.1.6", "192.168.1.7")]
    assert judge(said, HOSTS, UNKNOWN, 0.0).state == "private"


def test_peers_outside_decide_where_there_are_some() -> None:
    near = [says(f"192.168.1.{n}", OWN_LAN, "reached") for n in range(6, 10)]
    assert judge([*near, *all_say(ROUTER, ["silent"] * 2)], HOSTS, UNKNOWN, 0.0).state == "private"
    before = Finding("local", voices=4)
    after = judge([*near, says(PEERS[0], ROUTER, "silent")], HOSTS, before, 0.0)
    assert after.state == "private", "what is local binds nobody outside"


def test_a_router_between_private_networks_is_seen_too() -> None:
    said = [says(f"10.0.0.{n}", "10.0.0.99", "refused") for n in (1, 2)]
    assert judge(said, HOSTS, UNKNOWN, 0.0).state == "private"
    said = [says(f"10.0.0.{n}", "10.0.0.99", "reached") for n in (1, 2)]
    assert judge(said, HOSTS, UNKNOWN, 0.0).addresses == ("tcp://10.0.0.99:7718",)


@pytest.mark.parametrize("seen", [ROUTER, "192.168.1.1", OWN_LAN])
def test_a_peer_behind_the_same_router_knows_nothing(seen: str) -> None:
    said = [*all_say(ROUTER, ["reached"] * 2), *(says(ROUTER, seen, "refused"),) * 3]
    assert judge(said, HOSTS, UNKNOWN, 0.0).state == "mapped"


@pytest.mark.parametrize("before", [UNKNOWN, Finding("mapped", ("x",), voices=3)])
@pytest.mark.parametrize("lie", ["refused", "silent"])
def test_one_liar_does_not_make_a_reachable_node_private(before: Finding, lie: Outcome) -> None:
    assert judge(all_say(ROUTER, [lie, "reached", "reached"]), HOSTS, before, 0.0).state == "mapped"


@pytest.mark.parametrize("before", [UNKNOWN, Finding("private", voices=3)])
def test_one_liar_does_not_make_a_private_node_reachable(before: Finding) -> None:
    found = judge(all_say(ROUTER, ["reached", "silent", "silent"]), HOSTS, before, 0.0)
    assert (found.state, found.addresses) == ("private", ())


def test_one_liar_has_no_address_of_another_told() -> None:
    victim = "8.8.8.8"
    said = [says(PEERS[0], victim, "reached"), *all_say(ROUTER, ["reached"] * 3)[1:]]
    found = judge(said, HOSTS, UNKNOWN, 0.0)
    assert found.addresses == (f"tcp://{ROUTER}:7718",)
    assert found.outside[0] == ROUTER


def test_one_liar_does_not_silence_another_peer_by_naming_its_address() -> None:
    said = [says(PEERS[0], PEERS[1], "silent"), *all_say(ROUTER, ["reached"] * 3)[1:]]
    assert judge(said, HOSTS, UNKNOWN, 0.0).state == "mapped"


def test_outcomes_for_another_host_than_the_one_seen_do_not_count() -> None:
    said = [says(host, ROUTER, "reached", url="tcp://8.8.8.8:53") for host in PEERS[:3]]
    assert judge(said, HOSTS, UNKNOWN, 0.0).state == "private"


@pytest.mark.parametrize("alone", ["reached", "silent"])
def test_one_voice_overturns_what_several_said_only_when_they_have_long_been_silent(
    alone: Outcome,
) -> None:
    before = Finding("private" if alone == "reached" else "mapped", voices=3, at=100.0)
    said = all_say(ROUTER, [alone])
    assert judge(said, HOSTS, before, 100.0 + BELIEVED_FOR - 1) == before
    assert judge(said, HOSTS, before, 100.0 + BELIEVED_FOR).state != before.state


@pytest.mark.parametrize("before", [UNKNOWN, Finding("mapped", ("tcp://x:1",), voices=1)])
def test_a_tie_changes_nothing(before: Finding) -> None:
    assert judge(all_say(ROUTER, ["reached", "silent"]), HOSTS, before, 0.0) == before


def test_reached_at_a_different_address_each_time_is_no_address_to_tell() -> None:
    said = [says(host, f"198.51.100.{n}", "reached") for n, host in enumerate(PEERS[:3])]
    assert judge(said, HOSTS, UNKNOWN, 0.0) == UNKNOWN
