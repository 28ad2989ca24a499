"""What may be invited, signed and revoked, and how often anybody may knock."""

from __future__ import annotations

import pytest

from coordinator.admission import attempts, rules
from coordinator.admission.attempts import Attempts
from mesh.admission import AdmissionRefused, Invite, Member
from mesh.capability import Role
from mesh.identity.grants import issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.ids import NodeId

NOW = 1.7e9
A, B = NodeId("a" * 40), NodeId("b" * 40)
ROOT, KEY = RootKey.generate(), NodeKey.generate()


def invite(used: int = 0, uses: int = 1, expires: float = NOW + 9) -> Invite:
    return Invite("ab" * 32, ("worker",), uses, used, expires, A, NOW)


def test_an_ordinary_invitation_is_put_in_order() -> None:
    roles = rules.check_invitation(["worker", "gateway", "worker"], 1, 60, "", admin=False)
    assert roles == ("gateway", "worker")


@pytest.mark.parametrize(
    ("roles", "uses", "seconds", "note", "admin", "code"),
    [
        ([], 1, 60, "", True, "wrong"),
        (["king"], 1, 60, "", True, "wrong"),
        (["worker"], 0, 60, "", True, "wrong"),
        (["worker"], 10_001, 60, "", True, "wrong"),
        (["worker"], 1, 0.5, "", True, "wrong"),
        (["worker"], 1, 31 * 86_400, "", True, "wrong"),
        (["worker"], 1, 60, "n" * 121, True, "wrong"),
        (["worker"], 1, 60, "\x1b", True, "wrong"),
        (["admin"], 1, 60, "", True, "not_allowed"),
        (["admin", "worker"], 1, 60, "", False, "not_allowed"),
        (["coordinator"], 1, 60, "", False, "not_allowed"),
    ],
)
def test_an_invitation_that_is_refused(
    roles: list[str], uses: int, seconds: float, note: str, admin: bool, code: str
) -> None:
    with pytest.raises(AdmissionRefused) as refusal:
        rules.check_invitation(roles, uses, seconds, note, admin=admin)
    assert refusal.value.code == code


def test_strangers_do_not_fill_the_log() -> None:
    assert rules.refuse_early(None, redeemed=False, now_wall=NOW) == "unknown"
    assert rules.refuse_early(invite(expires=NOW - 1), redeemed=True, now_wall=NOW) == "expired"
    assert rules.refuse_early(invite(used=1), redeemed=False, now_wall=NOW) == "used_up"
    assert rules.refuse_early(invite(used=1), redeemed=True, now_wall=NOW) is None
    assert rules.refuse_early(invite(), redeemed=False, now_wall=NOW) is None


def test_only_who_the_root_made_a_coordinator_signs() -> None:
    def grant(*roles: Role, signer: RootKey = ROOT) -> bool:
        mesh = ROOT.mesh_id
        given = issue_grant(
            signer, mesh_id=mesh, node_id=KEY.node_id, roles=roles, not_after=NOW + 9
        )
        return rules.is_issuer(given, mesh)

    assert grant("coordinator") and grant("coordinator", "admin")
    assert not grant("admin") and not grant("worker")
    assert not grant("coordinator", signer=RootKey.generate())
    assert not rules.is_issuer(None, ROOT.mesh_id)


def test_what_can_be_signed() -> None:
    assert rules.roles_to_grant(["worker", "relay"], ["coordinator"]) == ("worker", "relay")
    assert rules.roles_to_grant(["coordinator"], ["coordinator"]) == ()
    assert rules.roles_to_grant(["coordinator"], ["coordinator", "admin"]) == ("coordinator",)
    assert rules.roles_to_grant(["admin"], ["coordinator", "admin"]) == ()
    assert rules.roles_to_grant(["worker"], ["admin"]) == ()


def test_a_grant_does_not_outlive_who_signed_it() -> None:
    assert rules.grant_end(NOW, 100, NOW + 50) == NOW + 50
    assert rules.grant_end(NOW, 100, NOW + 500) == NOW + 100


def test_a_revocation_outlives_what_the_node_can_hold() -> None:
    member = Member(B, ("worker",), "5e", NOW + 7 * 86_400, A, "ab" * 32, NOW, NOW)
    assert rules.revoked_until(member, NOW) > NOW + 365 * 86_400
    assert rules.revoked_until(None, NOW) > NOW + 3650 * 86_400


def test_nobody_revokes_itself_or_the_last_majority() -> None:
    c = NodeId("c" * 40)
    rules.may_revoke(A, B, (A,))
    rules.may_revoke(A, B, (A, B, c))
    for node, voters in ((A, (A, B, c)), (B, (B,)), (B, (A, B))):
        with pytest.raises(AdmissionRefused):
            rules.may_revoke(A, node, voters)


def test_a_ticket_is_named_by_enough_digits() -> None:
    assert rules.single([invite()], "abab") == invite()
    for found, short in (([], "abab"), ([invite()], "aba"), ([invite(), invite(1)], "abab")):
        with pytest.raises(AdmissionRefused):
            rules.single(found, short)


def test_one_node_and_one_place_are_slowed_down() -> None:
    limits = Attempts()
    burst = int(attempts.NODE_BURST)
    assert [limits.allow(A, "h", 0.0) for _ in range(burst + 1)] == [True] * burst + [False]
    assert limits.allow(B, "h", 0.0), "another node of the same house is not held up yet"
    assert not limits.allow(A, "h", 1.0)
    assert limits.allow(A, "h", 0.1 + 1 / attempts.NODE_RATE)
    limits = Attempts()
    many = [limits.allow(NodeId(f"{n:040x}"), "h", 0.0) for n in range(200)]
    assert sum(many) == int(attempts.SOURCE_BURST)
    assert limits.allow(A, "elsewhere", 0.0)


def test_wrong_secrets_cost_more() -> None:
    limits = Attempts()
    tries = 0
    while limits.allow(A, "h", 0.0):
        limits.note_wrong(A, "h", 0.0)
        tries += 1
    assert tries == int(attempts.NODE_BURST / (1 + attempts.WRONG_COST))
