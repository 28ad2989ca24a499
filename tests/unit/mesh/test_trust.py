"""Who belongs to a mesh: grants weighed, revoked and expired; and who may link."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pytest

import mesh.identity.trust as trust_module
from mesh.capability import Role
from mesh.errors import RecordRejected
from mesh.identity.grants import (
    CLOCK_TOLERANCE,
    Grant,
    check_grant,
    encode_grant,
    grantable_roles,
    issue_grant,
)
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.revocations import Sentence
from mesh.identity.trust import MAX_REMEMBERED, MEMBERS_ONLY, REMOVED, Credentials, Trust
from mesh.ids import NodeId
from mesh.links.admission_rule import decide_admitter, decide_applicant, decide_link
from mesh.wire.frames import GoawayCode

ROOT, ISSUER, NODE = RootKey.generate(), NodeKey.generate(), NodeKey.generate()
END = 2_000_000.0


@dataclass
class Wall:
    now: float = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def granted(
    *roles: Role, by: Grant | None = None, node: NodeKey = NODE, not_after: float = END
) -> Grant:
    return issue_grant(
        ROOT if by is None else ISSUER,
        mesh_id=ROOT.mesh_id,
        node_id=node.node_id,
        roles=roles,
        not_after=not_after,
        issuer=by,
    )


def closed(wall: Wall | None = None) -> Trust:
    return Trust(ROOT.mesh_id, wall=wall or Wall(), closed=True)


# ── who may grant what ──────────────────────────────────────────────────────────────────────────

PLAIN: frozenset[Role] = frozenset({"worker", "gateway", "storage", "relay"})


@pytest.mark.parametrize(
    ("issuer", "gives"),
    [
        (("coordinator",), PLAIN),
        (("coordinator", "relay"), PLAIN),
        (("coordinator", "admin"), PLAIN | {"coordinator"}),
        (("admin",), frozenset()),
        (("worker", "relay", "gateway", "storage"), frozenset()),
        ((), frozenset()),
    ],
)
@pytest.mark.parametrize("role", ["worker", "gateway", "storage", "relay", "coordinator", "admin"])
def test_who_may_grant_what(issuer: tuple[Role, ...], gives: Collection[Role], role: Role) -> None:
    chain = granted(*issuer, node=ISSUER)
    grant = granted(role, by=chain)
    allowed = role in gives
    assert (role in grantable_roles(issuer)) is allowed
    if allowed:
        assert check_grant(grant, mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=0.0) == (
            role,
        )
    else:
        with pytest.raises(RecordRejected, match=r"admin|coordinator"):
            check_grant(grant, mesh_id=ROOT.mesh_id, node_id=NODE.node_id, now_wall=0.0)


# ── weighing ────────────────────────────────────────────────────────────────────────────────────


def test_a_member_is_who_shows_any_valid_grant() -> None:
    trust = closed()
    mine = encode_grant(granted("worker"))
    assert trust.weigh(NODE.node_id, [mine]).granted == {"worker"}
    assert not trust.weigh(ISSUER.node_id, [mine]).member, "a grant is for one node"
    assert not trust.weigh(NODE.node_id, []).member
    mixed = trust.weigh(NODE.node_id, [b"rubbish", mine])
    assert mixed.member and "cannot be read" in mixed.rejected[0]
    trust.vet(NODE.node_id, [mine])
    with pytest.raises(RecordRejected, match="members only"):
        trust.vet(NODE.node_id, [])
    Trust(ROOT.mesh_id, wall=Wall()).vet(NODE.node_id, [])


def test_membership_ends_with_the_first_end_of_the_chain() -> None:
    wall = Wall()
    trust = closed(wall)
    chain = granted("coordinator", node=ISSUER, not_after=END - 500)
    data = encode_grant(granted("worker", by=chain))
    assert trust.weigh(NODE.node_id, [data]).until == END - 500 + CLOCK_TOLERANCE
    wall.now = END - 500 + CLOCK_TOLERANCE + 1
    assert trust.weigh(NODE.node_id, [data]).rejected == ("the grant has expired",)


@pytest.mark.parametrize("what", ["serial", "node", "issuer's serial", "issuer"])
def test_revoking_any_link_of_the_chain_ends_membership(what: str) -> None:
    trust = closed()
    chain = granted("coordinator", node=ISSUER)
    grant = granted("worker", by=chain)
    told: list[bool] = []
    trust.watch(lambda: told.append(trust.weigh(NODE.node_id, [encode_grant(grant)]).member))
    nodes = {"node": NODE.node_id, "issuer": ISSUER.node_id}
    serials = {"serial": grant.serial, "issuer's serial": chain.serial}
    if what in nodes:
        trust.revoke(Sentence(nodes=frozenset({nodes[what]})))
    else:
        trust.revoke_here([serials[what]])
    assert told == [False]
    assert trust.removed(NODE.node_id) is (what == "node")
    trust.revoke_here([])
    trust.revoke(Sentence())
    assert told[-1] is True, "nothing is remembered that could come back"


def test_signatures_are_checked_once_and_what_is_remembered_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checks: list[NodeId] = []

    def counting(grant: Grant, *, mesh_id: str, node_id: NodeId, now_wall: float) -> object:
        checks.append(node_id)
        return check_grant(grant, mesh_id=ROOT.mesh_id, node_id=node_id, now_wall=now_wall)

    monkeypatch.setattr(trust_module, "check_grant", counting)
    trust, data = closed(), encode_grant(granted("worker"))
    for _ in range(100):
        trust.weigh(NODE.node_id, [data])
    assert len(checks) == 1
    for number in range(MAX_REMEMBERED + 10):
        trust.weigh(NODE.node_id, [b"%d" % number])
    assert len(trust._checked) == MAX_REMEMBERED
    assert trust.weigh(NODE.node_id, [data]).member and len(checks) == 2


# ── who may link ────────────────────────────────────────────────────────────────────────────────

MEMBER, NOBODY = Credentials(frozenset({"worker"})), Credentials()


@pytest.mark.parametrize(
    ("credentials", "removed", "is_closed", "kind", "code"),
    [
        (MEMBER, False, True, "member", None),
        (MEMBER, False, False, "member", None),
        (NOBODY, False, False, "guest", None),
        (NOBODY, False, True, "refused", GoawayCode.MEMBERS_ONLY),
        (MEMBER, True, True, "refused", GoawayCode.REVOKED),
        (NOBODY, True, False, "refused", GoawayCode.REVOKED),
    ],
)
def test_ordinary_links(
    credentials: Credentials, removed: bool, is_closed: bool, kind: str, code: GoawayCode | None
) -> None:
    admission = decide_link(credentials, removed=removed, closed=is_closed)
    assert admission.kind == kind
    if code is not None:
        assert admission.code is code and admission.reason in (MEMBERS_ONLY, REMOVED)


@pytest.mark.parametrize(
    ("removed", "admits", "room", "code"),
    [
        (False, True, True, None),
        (True, True, True, GoawayCode.REVOKED),
        (False, False, True, GoawayCode.MEMBERS_ONLY),
        (False, True, False, GoawayCode.BUSY),
    ],
)
def test_applicants(removed: bool, admits: bool, room: bool, code: GoawayCode | None) -> None:
    admission = decide_applicant(removed=removed, admits=admits, room=room)
    assert (admission.kind == "stranger") is (code is None)
    assert code is None or admission.code is code


def test_a_ticket_is_shown_to_members_only() -> None:
    assert decide_admitter(MEMBER, removed=False).kind == "stranger"
    assert decide_admitter(NOBODY, removed=False).kind == "refused"
    assert decide_admitter(MEMBER, removed=True).kind == "refused"
