"""A newcomer goes from coordinator to coordinator until one decides; forged grants are refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from mesh.admission import AdmissionRefused
from mesh.capability import Role
from mesh.errors import DialError
from mesh.identity.grants import Grant, encode_grant, issue_grant
from mesh.identity.keys import NodeKey, RootKey
from mesh.identity.ticket import Contact
from mesh.ids import NodeId
from mesh.ports import Link, Priority, Stream, StreamKind
from mesh.wire.admission import (
    Answer,
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    decode_request,
    encode_answer,
)
from node.applying import MAX_ASKED, Applicant, ask_for_grant

ROOT, OTHER_ROOT = RootKey.generate(), RootKey.generate()
COORDINATOR, NEWCOMER = NodeKey.generate(), NodeKey.generate()
COORDINATOR_ROLES: tuple[Role, ...] = ("coordinator",)
WORKER_ROLES: tuple[Role, ...] = ("worker",)
NOW = 1.7e9
SECRET = Redeem(bytes(16))


def contact(number: int) -> Contact:
    return Contact(NodeId(f"{number:040x}"), (f"tcp://10.0.0.{number % 250}:1",))


def grant(root: RootKey = ROOT, node: NodeId = NEWCOMER.node_id, until: float = NOW + 9) -> Grant:
    own = issue_grant(
        root,
        mesh_id=root.mesh_id,
        node_id=COORDINATOR.node_id,
        roles=COORDINATOR_ROLES,
        not_after=NOW + 99,
    )
    return issue_grant(
        COORDINATOR,
        mesh_id=ROOT.mesh_id,
        node_id=node,
        roles=WORKER_ROLES,
        not_after=until,
        issuer=own,
    )


class ScriptedLink:
    """A link to a coordinator that gives one answer."""

    roles: tuple[Role, ...] = ()
    rtt: float | None = None
    closed = False
    remote = "tcp://10.0.0.1:1"
    relayed = False
    dialled_address: str | None = remote

    def __init__(self, peer: NodeId, answer: Answer) -> None:
        self.peer = peer
        self._answer = answer

    def open(self, kind: StreamKind, *, priority: Priority = Priority.CHUNK) -> Stream:
        raise AssertionError("whoever applies makes calls only")

    async def call(self, kind: StreamKind, request: bytes, *, timeout: float) -> bytes:
        assert kind is StreamKind.ADMISSION and decode_request(request) == SECRET
        return encode_answer(self._answer)


class Coordinators:
    """Who answers what; others cannot be reached."""

    def __init__(self, answers: dict[int, Answer]) -> None:
        self._answers = {contact(number).node_id: answer for number, answer in answers.items()}
        self.asked: list[int] = []

    async def reach(self, place: Contact) -> Link:
        self.asked.append(int(place.node_id, 16))
        if place.node_id not in self._answers:
            raise DialError("nobody answers")
        return ScriptedLink(place.node_id, self._answers[place.node_id])

    async def apply(self, numbers: Sequence[int]) -> Grant:
        applicant = Applicant(NEWCOMER.node_id, ROOT.mesh_id, lambda: NOW)
        return await ask_for_grant(applicant, SECRET, list(map(contact, numbers)), self.reach)


async def refused(group: Coordinators, *numbers: int) -> str:
    with pytest.raises(AdmissionRefused) as refusal:
        await group.apply(numbers)
    return refusal.value.code


async def test_the_first_that_can_decide_does() -> None:
    good = grant()
    group = Coordinators({2: Refused("no_quorum", "wait"), 3: Granted(encode_grant(good))})
    assert await group.apply([1, 2, 3]) == good
    assert group.asked == [1, 2, 3]


async def test_a_no_is_final_wherever_it_comes_from() -> None:
    group = Coordinators({1: Refused("used_up", "no"), 2: Granted(encode_grant(grant()))})
    assert await refused(group, 1, 2) == "used_up"
    assert group.asked == [1]


async def test_who_may_not_sign_names_who_may() -> None:
    good = grant()
    group = Coordinators({1: Elsewhere((contact(1), contact(7))), 7: Granted(encode_grant(good))})
    assert await group.apply([1]) == good
    assert group.asked == [1, 7]


async def test_nobody_answers() -> None:
    assert await refused(Coordinators({}), 1, 2) == "no_coordinator"


async def test_naming_each_other_for_ever_ends() -> None:
    many = {n: Elsewhere((contact(n + 1), contact(n + 2))) for n in range(1, 100)}
    group = Coordinators(many)  # type: ignore[arg-type]
    assert await refused(group, 1) == "no_coordinator"
    assert len(group.asked) == MAX_ASKED


@pytest.mark.parametrize(
    "forged",
    [
        grant(root=OTHER_ROOT),
        grant(node=NodeId("e" * 40)),
        grant(until=NOW - 1000),
    ],
    ids=["another root", "another node", "expired"],
)
async def test_a_grant_that_leads_to_no_root_is_not_kept(forged: Grant) -> None:
    good = grant()
    group = Coordinators({1: Granted(encode_grant(forged)), 2: Granted(encode_grant(good))})
    assert await group.apply([1, 2]) == good
    assert await refused(Coordinators({1: Granted(encode_grant(forged))}), 1) == "no_coordinator"
