"""Which of a peer's addresses are dialled, and in which order."""

from __future__ import annotations

from ipaddress import ip_interface

from mesh.links.address_choice import OwnPlace, choose_addresses, has_way

HOME = OwnPlace(
    (ip_interface("127.0.0.1/8"), ip_interface("192.168.1.5/24"), ip_interface("fd00:1::5/64")),
    ("198.51.100.9",),
)
RELAY = "relay://203.0.113.1:7718/" + "ab" * 20 + "/" + "cd" * 20
PUBLIC, NAMED = "tcp://203.0.113.7:7718", "wss://node.example.org:443/mesh"
NEAR, NEAR6 = "tcp://192.168.1.6:7718", "tcp://[fd00:1::6]:7718"
FAR, FAR6 = "tcp://192.168.2.6:7718", "tcp://[fd00:2::6]:7718"


def test_near_comes_before_public_and_relays_last() -> None:
    given = (RELAY, PUBLIC, NAMED, NEAR, NEAR6)
    assert choose_addresses(HOME, given) == (NEAR, NEAR6, PUBLIC, NAMED, RELAY)


def test_private_addresses_elsewhere_are_dropped_where_there_is_another_way() -> None:
    assert choose_addresses(HOME, (FAR, FAR6, RELAY)) == (RELAY,)
    assert choose_addresses(HOME, (FAR, PUBLIC)) == (PUBLIC,)
    assert choose_addresses(HOME, (FAR, FAR6)) == (FAR, FAR6), "better than nothing"


def test_a_node_with_private_addresses_elsewhere_only_has_no_way_from_here() -> None:
    assert not has_way(HOME, (FAR, FAR6))
    assert not has_way(HOME, ())
    for way in (NEAR, PUBLIC, NAMED, RELAY):
        assert has_way(HOME, (FAR, way))
    assert has_way(OwnPlace(), (FAR,))


def test_behind_the_same_router_all_private_addresses_are_near() -> None:
    front = "tcp://198.51.100.9:7718"
    assert choose_addresses(HOME, (front, FAR, RELAY)) == (FAR, front, RELAY)


def test_loopback_is_near_on_the_same_machine_only_by_the_handshake() -> None:
    own = "tcp://127.0.0.1:7718"
    assert choose_addresses(HOME, (own, PUBLIC)) == (own, PUBLIC)


def test_machines_of_an_overlay_network_are_near_each_other() -> None:
    overlay = OwnPlace((ip_interface("100.101.1.1/32"),))
    other = "tcp://100.99.2.2:7718"
    assert choose_addresses(overlay, (PUBLIC, other)) == (other, PUBLIC)
    assert choose_addresses(HOME, (PUBLIC, other)) == (PUBLIC,)


def test_whoever_knows_nothing_of_its_place_drops_nothing() -> None:
    assert choose_addresses(OwnPlace(), (PUBLIC, FAR, NEAR)) == (FAR, NEAR, PUBLIC)


def test_what_cannot_be_read_is_left_to_the_dialler_to_name() -> None:
    assert choose_addresses(HOME, ("nonsense", NEAR)) == (NEAR, "nonsense")
