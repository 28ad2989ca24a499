"""The link layer's pure decisions: silence, duplicates, idle links, roles, addresses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import Role
from mesh.identity.grants import encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.trust import Trust
from mesh.ids import NodeId
from mesh.links.addresses import listening_urls
from mesh.links.arbitration import LinkFacts, Verdict, arbitrate
from mesh.links.handshake_gate import HandshakeGate
from mesh.links.pipe import parse_address
from mesh.links.standing import weigh
from mesh.links.trimming import MIN_IDLE_SECONDS, surplus
from mesh.links.vigil import DEAD_AFTER, TICK, Vigil
from mesh.wire.hello import Hello

LOW, HIGH = NodeId("1" * 40), NodeId("f" * 40)


# ── silence ─────────────────────────────────────────────────────────────────────────────────────


def test_silence_is_probed_and_then_believed_within_two_seconds() -> None:
    vigil, elapsed, asked = Vigil(), 0.0, None
    vigil.tick(TICK)
    while (verdict := vigil.tick(TICK)) != "dead":
        elapsed += TICK
        if verdict == "ping" and asked is None:
            asked = elapsed
    assert asked is not None
    assert elapsed + 2 * TICK <= 2.01
    assert elapsed - asked >= 0.7


def test_any_byte_is_life() -> None:
    vigil = Vigil()
    for _ in range(100):
        assert vigil.tick(TICK) != "dead"
        if _ % 5 == 0:
            vigil.heard = True


def test_a_node_that_slept_accuses_nobody() -> None:
    vigil = Vigil()
    vigil.tick(TICK)
    assert vigil.tick(30.0) == "fine"
    assert vigil.tick(30.0) != "dead"
    assert vigil.silence <= 4 * TICK < DEAD_AFTER


# ── one link per peer ───────────────────────────────────────────────────────────────────────────


def facts(dialler: NodeId, number: int = 1, counter: int = 1, boot: str = "a") -> LinkFacts:
    return LinkFacts(dialler, number, counter, boot)


@given(
    links=st.lists(
        st.tuples(st.sampled_from([LOW, HIGH]), st.integers(1, 5)),
        min_size=1,
        max_size=4,
        unique=True,
    )
)
def test_both_ends_keep_the_same_link_whatever_the_order(links: list[tuple[NodeId, int]]) -> None:
    winners = set()
    for order in permutations(links):
        current: LinkFacts | None = None
        for dialler, number in order:
            new = facts(dialler, number)
            if arbitrate(current, new, peer_has_none=False) is not Verdict.YIELD:
                current = new
        assert current is not None
        winners.add((current.dialler, current.number))
    assert len(winners) == 1


def test_the_smaller_ids_link_stays() -> None:
    assert arbitrate(facts(HIGH), facts(LOW), peer_has_none=False) is Verdict.SUPERSEDE
    assert arbitrate(facts(LOW), facts(HIGH), peer_has_none=False) is Verdict.YIELD
    assert arbitrate(None, facts(HIGH), peer_has_none=False) is Verdict.FIRST


def test_a_link_that_the_peer_has_lost_is_replaced() -> None:
    assert arbitrate(facts(LOW), facts(HIGH), peer_has_none=True) is Verdict.SUPERSEDE


def test_boots_and_clones() -> None:
    current = facts(LOW, counter=5, boot="a")
    newer, older = replace(current, boot_counter=6, boot_id="b"), replace(current, boot_counter=4)
    clone = replace(current, boot_id="b")
    assert arbitrate(current, newer, peer_has_none=False) is Verdict.RESTARTED
    assert arbitrate(current, older, peer_has_none=True) is Verdict.STALE
    assert arbitrate(current, clone, peer_has_none=True) is Verdict.CLONED


# ── idle links ──────────────────────────────────────────────────────────────────────────────────


@dataclass
class Idle:
    peer: NodeId
    last_used: float
    idle: bool = True


def test_the_longest_unused_links_go_first_and_pinned_or_busy_ones_stay() -> None:
    links = [Idle(NodeId(str(n)), float(n)) for n in range(10)]
    links[1].idle = False
    gone = surplus(links, {NodeId("0")}, now=100.0, most=5)
    assert [link.peer for link in gone] == ["2", "3", "4"]
    assert surplus(links, set(), now=100.0, most=9) == []
    assert surplus(links, set(), now=MIN_IDLE_SECONDS - 1, most=0) == []


# ── roles ───────────────────────────────────────────────────────────────────────────────────────

ROOT, NODE = RootKey.generate(), NodeKey.generate()
TRUST = Trust(ROOT.mesh_id, wall=lambda: 1e9)
COORDINATOR: tuple[Role, ...] = ("coordinator",)


def hello(*grants: bytes) -> Hello:
    return Hello(
        mesh_id=ROOT.mesh_id,
        public_key=NODE.public_key,
        boot_counter=1,
        boot_id="",
        versions=(1,),
        roles=("worker", "gateway", "coordinator", "relay"),
        grants=grants,
    )


def grant(*, root: RootKey = ROOT, node: NodeKey = NODE, not_after: float = 2e9) -> bytes:
    return encode_grant(
        issue_grant(
            root,
            mesh_id=root.mesh_id,
            node_id=node.node_id,
            roles=COORDINATOR,
            not_after=not_after,
        )
    )


def test_open_roles_are_believed_and_granted_ones_need_their_grant() -> None:
    without = weigh(hello(), TRUST)
    assert without.roles == ("worker", "gateway")
    granted = weigh(hello(grant()), TRUST)
    assert granted.roles == ("worker", "gateway", "coordinator")
    assert granted.granted == {"coordinator"}
    assert granted.rejected == ()


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [
        (grant(not_after=1e6), "expired"),
        (grant(root=RootKey.generate()), "another mesh"),
        (grant(node=NodeKey.generate()), "another node"),
        (grant()[:-40] + b"x" * 40, "cannot be read"),
        (b"garbage", "cannot be read"),
    ],
)
def test_a_bad_grant_costs_the_role_not_the_link(encoded: bytes, reason: str) -> None:
    standing = weigh(hello(encoded), TRUST)
    assert standing.roles == ("worker", "gateway")
    assert reason in standing.rejected[0]


# ── handshakes at once ──────────────────────────────────────────────────────────────────────────


def test_pending_handshakes_are_bounded_in_all_and_per_host() -> None:
    gate = HandshakeGate(most=3, most_per_source=2)
    assert [gate.enter("a"), gate.enter("a"), gate.enter("a")] == [True, True, False]
    assert [gate.enter("b"), gate.enter("c")] == [True, False]
    gate.leave("a")
    assert gate.enter("a")
    for source in ("a", "a", "b"):
        gate.leave(source)
    assert len(gate) == 0


def test_loopback_shares_only_the_whole_bound() -> None:
    gate = HandshakeGate(most=3, most_per_source=1)
    assert [gate.enter("127.0.0.1") for _ in range(4)] == [True, True, True, False]


# ── addresses ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.org:9000", "tcp://example.org:9000"),
        ("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000"),
        ("tcp://[::1]:9000", "tcp://[::1]:9000"),
        ("ws://example.org/mesh", "ws://example.org:80/mesh"),
        ("wss://example.org", "wss://example.org:443/mesh"),
        ("ws://h:8080/deep/mesh/", "ws://h:8080/deep/mesh"),
    ],
)
def test_addresses_have_one_form(text: str, canonical: str) -> None:
    assert str(parse_address(text)) == canonical
    assert str(parse_address(canonical)) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "tcp://host",
        "tcp://:9000",
        "tcp://host:0",
        "tcp://host:99999",
        "tcp://user@host:1",
        "udp://host:1",
        "tcp://ho st:1",
        "tcp://[::1:5",
        "x" * 300,
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


def test_a_wildcard_becomes_addresses_that_can_be_dialled() -> None:
    assert listening_urls("127.0.0.1", 7) == ("tcp://127.0.0.1:7",)
    assert listening_urls("node.example", 7) == ("tcp://node.example:7",)
    urls = listening_urls("0.0.0.0", 7)
    assert urls
    assert not any("0.0.0.0" in url or "[" in url for url in urls)
    assert all(parse_address(url).port == 7 for url in urls)
