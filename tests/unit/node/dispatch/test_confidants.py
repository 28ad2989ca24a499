"""Who may see what, as links and records prove it, and how that changes."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.capability import Role
from mesh.ids import NodeId
from mesh.jobs import Privacy
from mesh.privacy import Circle, suffices
from node.dispatch.confidants import Confidants, Untrusted

HERE, OTHER, STRANGER = (NodeId(digit * 40) for digit in "abc")
CLASSES: tuple[Privacy, ...] = ("public", "trusted", "own")
WORKER: frozenset[Role] = frozenset({"worker"})
GATEWAY: frozenset[Role] = frozenset({"gateway"})

classes = st.sampled_from(CLASSES)
granted = st.frozensets(st.sampled_from(["worker", "gateway", "relay", "admin"]))
circles = st.builds(
    Circle,
    st.just(HERE),
    st.frozensets(st.sampled_from([OTHER, STRANGER])),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("founded", "roles", "trust"),
    [
        (True, WORKER, "trusted"),
        (True, GATEWAY, "public"),  # a grant to use the mesh is none to work in it
        (True, frozenset(), "public"),
        (False, WORKER, "public"),  # nobody can grant anything in a mesh without an owner
    ],
)
def test_trust_takes_a_grant_to_work_in_a_founded_mesh(
    founded: bool, roles: frozenset[Role], trust: Privacy
) -> None:
    assert Circle(HERE, founded=founded).proven(STRANGER, roles) == trust


@given(circles, granted, granted, classes)
def test_a_worker_serves_exactly_what_it_may(
    circle: Circle, theirs: frozenset[Role], ours: frozenset[Role], privacy: Privacy
) -> None:
    """What the gateway has been granted says nothing: a worker looks at itself and its list."""
    served = circle.refusal(STRANGER, privacy, ours) == ""
    listed = STRANGER in circle.own
    member = circle.founded and "worker" in ours
    assert served == (listed or privacy == "public" or (privacy == "trusted" and member))


@given(circles, granted, classes, classes)
def test_who_may_see_a_stricter_class_may_see_every_other(
    circle: Circle, roles: frozenset[Role], one: Privacy, other: Privacy
) -> None:
    trust = circle.proven(OTHER, roles)
    if suffices(trust, one) and CLASSES.index(other) <= CLASSES.index(one):
        assert suffices(trust, other)
    assert suffices(circle.possible(OTHER), trust)


def make(known: dict[NodeId, Collection[Role]], own: Collection[Role] = ()) -> Confidants:
    circle = Circle(HERE, frozenset({OTHER}), founded=True)
    return Confidants(circle, known.get, lambda: own)


def test_a_node_of_which_nothing_is_known_is_dialled_and_then_has_to_prove_itself() -> None:
    known: dict[NodeId, Collection[Role]] = {}
    confidants = make(known)
    assert confidants.may_see(STRANGER, "trusted")
    assert not confidants.may_see(STRANGER, "own")
    with pytest.raises(Untrusted):
        confidants.check(STRANGER, "trusted")
    known[STRANGER] = WORKER
    confidants.check(STRANGER, "trusted")


def test_trust_ends_with_the_grant() -> None:
    known: dict[NodeId, Collection[Role]] = {STRANGER: WORKER}
    confidants = make(known)
    assert confidants.of(STRANGER) == "trusted"
    known[STRANGER] = ()
    assert confidants.of(STRANGER) == "public"
    assert not confidants.may_see(STRANGER, "trusted")
    with pytest.raises(Untrusted):
        confidants.check(STRANGER, "trusted")
    confidants.check(STRANGER, "public")


def test_a_worker_whose_own_grant_ended_refuses() -> None:
    assert make({}, WORKER).refusal(STRANGER, "trusted") == ""
    assert "no valid grant" in make({}, ()).refusal(STRANGER, "trusted")
    assert make({}, ()).refusal(OTHER, "own") == ""
    assert "does not list" in make({}, WORKER).refusal(STRANGER, "own")


def test_without_being_told_nobody_else_is_trusted() -> None:
    alone = Confidants.of_nobody(HERE)
    assert alone.of(HERE) == "own"
    assert [alone.may_see(OTHER, privacy) for privacy in CLASSES] == [True, False, False]
    assert alone.refusal(OTHER, "trusted")
