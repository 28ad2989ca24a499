"""Who is believed lost, and when."""

from __future__ import annotations

from dht.membership import Confront, Deny, Membership, Show, Spread
from dht.peer_table import PeerTable
from dht.suspicion import LATE, MAX_SUSPECTS, SUSPECT_FOR, Suspicions
from mesh.capability import NodeRecord
from mesh.ids import NodeId
from mesh.wire.discovery import Loss
from mesh.wire.records import SignedNode

OWN = NodeId("00" * 20)
A, B, C, D = (NodeId(digit * 40) for digit in "1234")


def membership() -> tuple[Membership, PeerTable]:
    table = PeerTable(OWN)
    for node in (A, B, C, D):
        table.offer(SignedNode(NodeRecord(node, 5, 0.0, 900.0), node.encode()), 900.0, 0.0)
    return Membership(OWN, table), table


def test_a_second_accuser_is_believed_and_the_same_one_again_is_not() -> None:
    suspicions = Suspicions()
    assert suspicions.accuse(A, 5, B, 0.0, SUSPECT_FOR) == "suspected"
    assert suspicions.accuse(A, 5, B, 0.1, SUSPECT_FOR) == "known"
    assert suspicions.accuse(A, 4, C, 0.1, SUSPECT_FOR) == "known"
    assert suspicions.accuse(A, 5, C, 0.2, SUSPECT_FOR) == "believed"
    assert suspicions.due(9.0) == []


def test_what_nobody_denies_in_time_is_believed() -> None:
    suspicions = Suspicions()
    suspicions.accuse(A, 5, B, 0.0, SUSPECT_FOR)
    suspicions.accuse(B, 5, C, 0.0, SUSPECT_FOR)
    suspicions.clear(B)
    assert suspicions.due(SUSPECT_FOR - 0.01) == []
    assert suspicions.due(SUSPECT_FOR) == [(A, 5)]
    assert suspicions.next_due() is None


def test_a_node_that_slept_waits_once_more() -> None:
    suspicions = Suspicions()
    suspicions.accuse(A, 5, B, 0.0, SUSPECT_FOR)
    woke = SUSPECT_FOR + LATE + 1.0
    assert suspicions.due(woke) == []
    assert suspicions.due(woke + SUSPECT_FOR) == [(A, 5)]


def test_suspects_are_bounded() -> None:
    suspicions = Suspicions()
    for number in range(MAX_SUSPECTS + 10):
        suspicions.accuse(NodeId(f"{number:040x}"), 1, B, 0.0, SUSPECT_FOR)
    assert len(suspicions) == MAX_SUSPECTS


def test_hearsay_is_passed_on_and_believed_with_a_second_accuser() -> None:
    core, table = membership()
    assert core.accused(Loss(A, 5), B, 0.0, 1.0) == [Spread(Loss(A, 5, B), B)]
    assert table.peer(A) is not None
    assert core.accused(Loss(A, 5, B), C, 0.1, 1.0) == []
    effects = core.accused(Loss(A, 5, D), C, 0.2, 1.0)
    assert effects == [Spread(Loss(A, 5, D), C), Show(A)]
    assert table.peer(A) is None


def test_patience_stretches_the_time_to_deny() -> None:
    core, table = membership()
    core.accused(Loss(A, 5), B, 0.0, 4.0)
    assert core.due(2 * SUSPECT_FOR) == []
    assert core.due(4 * SUSPECT_FOR) == [Show(A)]
    assert table.peer(A) is None


def test_a_link_outweighs_hearsay_and_the_accused_hears_of_it() -> None:
    core, table = membership()
    core.accused(Loss(A, 5), B, 0.0, 1.0)
    assert core.link_up(A) == [Show(A)]
    assert core.accused(Loss(A, 5, D), C, 0.1, 1.0) == [Confront(Loss(A, 5, D), A)]
    assert core.due(9.0) == []
    assert table.peer(A) is not None
    assert core.accused(Loss(OWN, 7), C, 0.1, 1.0) == [Deny(7, C)]


def test_a_broken_link_is_seen_at_once_and_told() -> None:
    core, table = membership()
    core.link_up(A)
    assert core.link_down(A, broke=True) == [Spread(Loss(A, 5, OWN), A), Show(A), Show(A)]
    assert table.peer(A) is None
    assert core.accused(Loss(A, 5, OWN), B, 0.1, 1.0) == []
    core.link_up(B)
    assert core.link_down(B, broke=False) == [Show(B)]
    assert table.peer(B) is not None


def test_a_peer_with_a_link_to_the_lost_is_asked_to_pass_it_on_not_believed() -> None:
    core, table = membership()
    core.link_up(A)
    core.link_down(A, broke=True)
    assert core.vouched(A, 5, B) == [Confront(Loss(A, 5), B)]
    assert core.vouched(A, 4, B) == []
    assert core.vouched(C, 5, B) == []
    assert table.peer(A) is None
