"""What a node is granted while it runs: renewed, revoked, shown to peers in the right order."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mesh.capability import Role
from mesh.errors import ConfigError
from mesh.identity.charter import Charter, encode_charter
from mesh.identity.grants import Grant, decode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.revocations import Sentence
from mesh.identity.trust import Trust
from mesh.links.reception import Rebuff
from mesh.wire.frames import GoawayCode
from node.belonging import rebuff_note
from node.standing import OwnStanding, keep_charter, read_charters

ROOT, NODE, COORDINATOR = RootKey.generate(), NodeKey.generate(), NodeKey.generate()
HOUR = 3600.0


def grant(*roles: Role, lasts: float = HOUR, issuer: Grant | None = None) -> Grant:
    return issue_grant(
        ROOT if issuer is None else COORDINATOR,
        mesh_id=ROOT.mesh_id,
        node_id=NODE.node_id,
        roles=roles,
        not_after=time.time() + lasts,
        issuer=issuer,
    )


def chain() -> Grant:
    roles: list[Role] = ["coordinator"]
    return issue_grant(
        ROOT,
        mesh_id=ROOT.mesh_id,
        node_id=COORDINATOR.node_id,
        roles=roles,
        not_after=time.time() + 10 * HOUR,
    )


def text(given: Grant) -> str:
    return encode_charter(Charter(given))


def standing(folder: Path, *given: Grant) -> tuple[OwnStanding, Trust]:
    trust = Trust(ROOT.mesh_id, wall=time.time, closed=True)
    for each in given:
        keep_charter(folder, text(each))
    own = OwnStanding(
        data_dir=folder,
        given=(),
        mesh_id=ROOT.mesh_id,
        node_id=NODE.node_id,
        trust=trust,
        wall=time.time,
    )
    return own, trust


def shown(own: OwnStanding) -> list[Grant]:
    return [decode_grant(data) for data in own.grants]


def test_a_renewed_grant_is_shown_kept_and_told_of(tmp_path: Path) -> None:
    old, new = grant("worker"), grant("worker", lasts=2 * HOUR)
    own, _ = standing(tmp_path, old)
    told: list[float] = []
    own.watch(lambda: told.append(own.ends))
    own.accept(text(new))
    assert shown(own) == [new] and told == [new.not_after]
    assert read_charters(tmp_path) == (text(new),), "the one it makes superfluous is left out"
    assert shown(standing(tmp_path)[0]) == [new], "at the next start, too"


def test_grants_that_say_something_of_their_own_are_all_shown(tmp_path: Path) -> None:
    relay, both = grant("relay"), grant("worker", "gateway", lasts=2 * HOUR)
    own, _ = standing(tmp_path, grant("worker"), relay, both)
    assert shown(own) == [both, relay]
    assert own.current.roles == ("relay",)


def test_a_grant_of_somebody_else_is_not_accepted(tmp_path: Path) -> None:
    own, _ = standing(tmp_path, grant("worker"))
    with pytest.raises(ConfigError, match="another node"):
        own.accept(text(chain()))
    assert len(read_charters(tmp_path)) == 1


def test_a_revoked_grant_is_mourned_and_a_shorter_new_one_takes_its_place(tmp_path: Path) -> None:
    issuer = chain()
    void, new = grant("worker", lasts=9 * HOUR, issuer=issuer), grant("worker")
    own, trust = standing(tmp_path, void)
    mourned: list[tuple[bytes, ...]] = []
    own.on_loss(lambda: mourned.append(own.grants))
    trust.revoke(Sentence(nodes=frozenset({"f" * 40})))  # type: ignore[arg-type]
    assert mourned == [], "somebody else's"
    trust.revoke(Sentence(nodes=frozenset({COORDINATOR.node_id})))
    assert mourned == [()]
    assert "revoked" in own.current.notes[0]
    own.accept(text(new))
    assert shown(own) == [new] and own.current.notes == ()


def test_the_owner_is_told_who_turned_the_node_away_while_nobody_takes_it() -> None:
    def rebuff(code: GoawayCode, at: float) -> Rebuff:
        return Rebuff("tcp://192.0.2.1:7718", code, at, "whatever it says")

    closed, removed = GoawayCode.MEMBERS_ONLY, GoawayCode.REVOKED
    assert rebuff_note([], 0.0, linked=False) == ""
    assert "members only" in rebuff_note([rebuff(closed, 0.0)], 10.0, linked=False)
    assert "was removed" in rebuff_note([rebuff(removed, 0.0)], 10.0, linked=False)
    assert rebuff_note([rebuff(closed, 0.0)], 10.0, linked=True) == ""
    assert rebuff_note([rebuff(closed, 0.0)], 1_000.0, linked=False) == ""
