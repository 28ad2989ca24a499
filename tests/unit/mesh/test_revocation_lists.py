"""Lists of revocations: who may sign them, and what several of them come to."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import Role
from mesh.errors import RecordRejected, WireError
from mesh.identity.grants import CLOCK_TOLERANCE, Grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey, SigningKey
from mesh.identity.revocations import (
    MAX_AHEAD,
    MAX_ENTRIES,
    MAX_LISTS,
    Held,
    Revocations,
    Revoked,
    check_revocations,
    is_news,
    merge,
    sign_revocations,
    sum_up,
)
from mesh.ids import NodeId
from mesh.wire.revocation import (
    Have,
    Lists,
    decode,
    decode_revocations,
    encode,
    encode_revocations,
    pack_lists,
    unpack_lists,
)

ROOT, OTHER = RootKey.generate(), RootKey.generate()
ANN, BOB = NodeKey.generate(), NodeKey.generate()
NOW, LATER = 1_000_000.0, 2_000_000.0
X, Y, Z = (NodeId(digit * 40) for digit in "abc")


def grant_of(node: NodeKey, *, root: RootKey = ROOT, role: Role = "coordinator") -> Grant:
    roles: list[Role] = [role]
    return issue_grant(
        root,
        mesh_id=root.mesh_id,
        node_id=node.node_id,
        roles=roles,
        not_after=LATER,
    )


ANNS, BOBS = grant_of(ANN), grant_of(BOB)


def listed(
    *nodes: NodeId,
    number: int = 1,
    key: SigningKey = ANN,
    issuer: Grant | None = ANNS,
    until: float = LATER,
    at: float = NOW,
) -> Revocations:
    return sign_revocations(
        key,
        mesh_id=ROOT.mesh_id,
        number=number,
        entries=[Revoked(node, until) for node in nodes],
        issued_at=at,
        issuer=issuer,
    )


def by_root(*nodes: NodeId, number: int = 1) -> Revocations:
    return listed(*nodes, number=number, key=ROOT, issuer=None)


def held(*lists: Revocations) -> Held:
    found = Held()
    for each in lists:
        found = merge(found, each, now_wall=NOW)
    return found


def removed(found: Held, now: float = NOW) -> set[NodeId]:
    return set(sum_up(found.lists, now).nodes)


# ── who may sign ────────────────────────────────────────────────────────────────────────────────


def check(given: Revocations, revoked: Sequence[str] = ()) -> None:
    check_revocations(given, mesh_id=ROOT.mesh_id, now_wall=NOW, revoked=revoked)


def test_the_root_and_coordinators_may_sign() -> None:
    check(by_root(X))
    check(listed(X))
    check(decode_revocations(encode_revocations(listed(X, Y))))


WORKER: tuple[Role, ...] = ("worker",)
SECOND_HAND = issue_grant(
    ANN,
    mesh_id=ROOT.mesh_id,
    node_id=BOB.node_id,
    roles=WORKER,
    not_after=LATER,
    issuer=ANNS,
)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (replace(listed(X), number=9), "forged"),
        (replace(listed(X), entries=listed(Y).entries), "forged"),
        (replace(listed(X), issued_at=NOW - 1), "forged"),
        (replace(listed(X), signature=listed(Y).signature), "forged"),
        (replace(by_root(X), issuer_key=OTHER.public_key), "not granted"),
        (replace(listed(X), issuer=None), "not granted"),
        (replace(listed(X), issuer=BOBS), "another node"),
        (listed(X, key=BOB, issuer=SECOND_HAND), "not granted by this mesh's root"),
        (listed(X, key=BOB, issuer=grant_of(BOB, role="worker")), "no coordinator"),
        (listed(X, key=BOB, issuer=grant_of(BOB, role="admin")), "no coordinator"),
        (listed(X, issuer=grant_of(ANN, root=OTHER)), "not granted"),
        (listed(X, issuer=replace(ANNS, not_after=NOW - CLOCK_TOLERANCE - 1)), "expired"),
        (listed(X, at=NOW + MAX_AHEAD + 1), "future"),
        (replace(listed(X), mesh_id=OTHER.mesh_id), "another mesh"),
    ],
)
def test_a_list_that_is_not_theirs_is_refused(given: Revocations, reason: str) -> None:
    with pytest.raises(RecordRejected, match=reason):
        check(given)


def test_who_was_removed_signs_nothing_more() -> None:
    with pytest.raises(RecordRejected, match="removed"):
        check(listed(X), [ANN.node_id])
    with pytest.raises(RecordRejected, match="revoked"):
        check(listed(X), [ANNS.serial])
    check(by_root(X), [ANN.node_id])


def test_long_lists_are_not_signed() -> None:
    nodes = [NodeId(f"{number:040x}") for number in range(MAX_ENTRIES + 1)]
    with pytest.raises(ValueError, match="at most"):
        listed(*nodes)
    check(listed(*nodes[:MAX_ENTRIES]))


# ── what they come to ───────────────────────────────────────────────────────────────────────────


def test_what_several_signers_say_adds_up_in_any_order() -> None:
    lists = [
        listed(X, number=3),
        listed(Y, number=3, key=BOB, issuer=BOBS),
        listed(X, Y, Z, number=2),
        by_root(Z),
    ]
    results = {frozenset(removed(held(*order))) for order in permutations(lists)}
    assert results == {frozenset({X, Y, Z})}


def test_an_older_list_of_the_same_signer_changes_nothing() -> None:
    new, old = listed(X, Y, number=5), listed(number=4)
    assert held(new, old) == held(new)
    assert not is_news(held(new), old) and not is_news(held(new), new)
    assert is_news(held(new), listed(number=6))


def test_a_huge_number_lets_nobody_in_again() -> None:
    """A coordinator turned bad cannot undo what another has revoked."""
    bad = listed(number=2**62, key=BOB, issuer=BOBS)
    assert removed(held(listed(X), bad)) == {X}
    assert removed(held(bad, listed(X))) == {X}


def test_lists_that_say_nothing_new_are_dropped_but_not_asked_for_again() -> None:
    found = held(listed(X, number=4), listed(X, Y, number=7, key=BOB, issuer=BOBS))
    assert [each.number for each in found.lists] == [7]
    assert not is_news(found, listed(X, number=4))


def test_the_root_ends_what_a_coordinator_said() -> None:
    bad = listed(X, Y, ANN.node_id, number=9, key=BOB, issuer=BOBS)
    for order in permutations([bad, by_root(BOB.node_id), listed(Z, number=3)]):
        assert removed(held(*order)) == {BOB.node_id, Z}


def test_an_entry_ends_and_takes_its_list_along() -> None:
    found = held(listed(X, until=NOW + 10))
    assert removed(found) == {X}
    assert removed(found, NOW + 10 + CLOCK_TOLERANCE + 1) == set()
    later = merge(found, listed(Y, number=2), now_wall=NOW + 10 + CLOCK_TOLERANCE + 1)
    assert [each.number for each in later.lists] == [2]


def test_lists_of_many_signers_are_bounded_and_the_roots_stays() -> None:
    found = held(by_root(X))
    for number in range(2 * MAX_LISTS):
        key = NodeKey.generate()
        own = listed(NodeId(f"{number:040x}"), number=number + 2, key=key, issuer=grant_of(key))
        found = merge(found, own, now_wall=NOW)
    assert len(found.lists) == MAX_LISTS
    assert X in removed(found)


def test_one_grant_may_be_revoked_and_its_node_stay() -> None:
    entry = Revoked(X, LATER, ("aa", "bb"))
    one = sign_revocations(
        ROOT, mesh_id=ROOT.mesh_id, number=1, entries=[entry], issued_at=NOW, issuer=None
    )
    sentence = sum_up(held(one).lists, NOW)
    assert sentence.nodes == frozenset() and sentence.serials == {"aa", "bb"}
    assert sum_up(held(one, listed(X)).lists, NOW).names == {X, "aa", "bb"}


# ── on the wire and on disk ─────────────────────────────────────────────────────────────────────


def test_messages_and_files_come_back() -> None:
    lists = [listed(X, number=3), by_root(Y)]
    have = Have({ANN.node_id: 3, ROOT.mesh_id: 1})
    assert decode(encode(have)) == have
    pushed = Lists(tuple(encode_revocations(each) for each in lists))
    assert decode(encode(pushed)) == pushed
    assert list(unpack_lists(pack_lists(lists))) == lists


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for read in (decode, decode_revocations):
        with pytest.raises((WireError, RecordRejected)):
            read(data)
    with contextlib.suppress(WireError):
        assert list(unpack_lists(data)) == []
