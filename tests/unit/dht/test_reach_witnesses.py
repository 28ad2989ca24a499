"""Whom a node asks whether it is reached, and when."""

from __future__ import annotations

from random import Random

from dht.reach_verdict import Sighting
from dht.witnesses import (
    AGAIN_FIRST,
    AGAIN_MOST,
    MAX_FAILED,
    RETRY,
    WANTED,
    WANTED_IN_DOUBT,
    Witnesses,
)
from mesh.ids import NodeId
from mesh.links.hosts import network_of
from mesh.wire.reach import Outcome


def linked(*hosts: str) -> dict[NodeId, str]:
    return {NodeId(f"{number:040x}"): host for number, host in enumerate(hosts)}


def answer(
    witnesses: Witnesses,
    peers: dict[NodeId, str],
    asked: list[NodeId],
    outcome: Outcome = "reached",
) -> None:
    for node in asked:
        outcomes = {"tcp://198.51.100.9:7718": outcome}
        witnesses.hear(Sighting(node, peers[node], "198.51.100.9", outcomes, 0.0))


def test_three_are_asked_in_different_networks() -> None:
    peers = linked("203.0.113.1", "203.0.113.2", "203.0.113.3", "192.0.2.1", "198.18.0.1")
    for seed in range(20):
        chosen = Witnesses().choose(peers, 0.0, Random(seed))
        assert len(chosen) == WANTED == len({network_of(peers[node]) for node in chosen})


def test_one_network_must_do_where_there_is_no_other() -> None:
    peers = linked(*(f"203.0.113.{number}" for number in range(10)))
    assert len(set(Witnesses().choose(peers, 0.0, Random(1)))) == WANTED


def test_peers_at_outside_addresses_come_first() -> None:
    peers = linked(*(f"192.168.1.{n}" for n in range(9)), "203.0.113.1", "192.0.2.1", "198.18.0.1")
    witnesses = Witnesses()
    asked = witnesses.choose(peers, 0.0, Random(1))
    assert {peers[node] for node in asked} == {"203.0.113.1", "192.0.2.1", "198.18.0.1"}
    answer(witnesses, peers, asked)
    assert witnesses.choose(peers, 1.0, Random(1)) == []


def test_a_peer_outside_is_asked_though_enough_inside_were() -> None:
    inside = linked("192.168.1.1", "192.168.1.2", "192.168.1.3", "192.168.1.4")
    witnesses = Witnesses()
    answer(witnesses, inside, witnesses.choose(inside, 0.0, Random(1)))
    assert witnesses.choose(inside, 1.0, Random(1)) == []
    peers = {**inside, NodeId("ff" * 20): "203.0.113.1"}
    assert witnesses.choose(peers, 1.0, Random(1)) == ["ff" * 20]


def test_more_are_asked_when_they_contradict_each_other() -> None:
    peers = linked(*(f"203.{number}.113.1" for number in range(9)))
    witnesses = Witnesses()
    asked = witnesses.choose(peers, 0.0, Random(1))
    answer(witnesses, peers, asked[:2], "reached")
    answer(witnesses, peers, asked[2:], "silent")
    assert len(witnesses.choose(peers, 1.0, Random(1))) == WANTED_IN_DOUBT - WANTED


def test_everybody_is_asked_again_ever_more_rarely_until_something_changes() -> None:
    peers = linked("203.0.113.1", "192.0.2.1", "198.18.0.1")
    witnesses, now, pauses = Witnesses(), 0.0, []
    for _ in range(8):
        asked = witnesses.choose(peers, now, Random(1))
        assert len(asked) == WANTED
        answer(witnesses, peers, asked)
        pauses.append(witnesses.next_due() - now)
        now = witnesses.next_due()
    assert 0.9 * AGAIN_FIRST <= pauses[0] <= 1.1 * AGAIN_FIRST
    assert 0.9 * AGAIN_MOST <= pauses[-1] <= 1.1 * AGAIN_MOST
    witnesses.choose(peers, now, Random(1))
    witnesses.hurry()
    assert witnesses.next_due() == now + AGAIN_FIRST


def test_a_peer_that_gave_no_answer_is_left_alone_for_a_while() -> None:
    peers = linked("203.0.113.1")
    witnesses = Witnesses()
    (node,) = witnesses.choose(peers, 0.0, Random(1))
    witnesses.fail(node, 0.0)
    assert witnesses.choose(peers, RETRY - 1, Random(1)) == []
    assert witnesses.choose(peers, RETRY, Random(1)) == [node]


def test_failures_remembered_are_bounded() -> None:
    witnesses = Witnesses()
    for number in range(3 * MAX_FAILED):
        witnesses.fail(NodeId(f"{number:040x}"), 0.0)
    assert len(witnesses._failed) == MAX_FAILED


def test_a_peer_with_a_new_link_is_asked_again() -> None:
    peers = linked("203.0.113.1", "192.0.2.1", "198.18.0.1")
    witnesses = Witnesses()
    asked = witnesses.choose(peers, 0.0, Random(1))
    answer(witnesses, peers, asked)
    witnesses.doubt(asked[0])
    assert witnesses.choose(peers, 1.0, Random(1)) == asked[:1]


def test_whoever_moves_starts_anew() -> None:
    peers = linked("203.0.113.1", "192.0.2.1", "198.18.0.1")
    witnesses = Witnesses()
    answer(witnesses, peers, witnesses.choose(peers, 0.0, Random(1)))
    assert not witnesses.gone(peers)
    assert witnesses.gone({})
    witnesses.forget()
    assert not witnesses.sightings
    assert len(witnesses.choose(peers, 1.0, Random(1))) == WANTED
