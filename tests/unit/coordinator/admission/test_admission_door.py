"""The door lets strangers show tickets, nobody else administer, and nobody knock too often."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest

from coordinator.admission.attempts import NODE_BURST
from coordinator.admission.desk import AdmissionDesk, CannotSign
from coordinator.admission.door import AdmissionDoor
from mesh.admission import AdmissionRefused, Invite, RevokedNode
from mesh.errors import StreamReset
from mesh.identity.ticket import Contact
from mesh.ids import NodeId
from mesh.links.memory import LoopClock, MemoryLinks, MemoryNetwork
from mesh.ports import Link, StreamKind
from mesh.wire.admission import (
    AUDIT,
    INVITES,
    MEMBERS,
    REVOKED,
    Answer,
    AskDrop,
    AskInvite,
    AskList,
    AskRevoke,
    Elsewhere,
    Granted,
    Redeem,
    Refused,
    Renew,
    Request,
    Rows,
    decode_answer,
    encode_request,
)

HERE, GUEST, ADMIN = (NodeId(letter * 40) for letter in "abc")
DIGEST = "cd" * 32
SIGNER = Contact(NodeId("d" * 40), ("tcp://10.0.0.1:1",))
ADMINISTRATION: list[Request] = [
    AskInvite(DIGEST, ("worker",), 1, 60.0),
    AskDrop("cdcd"),
    AskRevoke(GUEST),
    *(AskList(what) for what in (INVITES, MEMBERS, AUDIT, REVOKED)),
]


class Books:
    """A desk that says yes, or what it was told to say; notes who asked for what."""

    def __init__(self) -> None:
        self.says: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    async def redeem(self, node: NodeId, secret: bytes) -> bytes:
        return self._done("redeem", node)

    async def renew(self, node: NodeId) -> bytes:
        return self._done("renew", node)

    async def invite(self, digest: str, *_: Any, by: NodeId, admin: bool) -> Invite:
        self._done("invite", by)
        return Invite(digest, ("worker",), 1, 0, 2e9, by, 1e9)

    async def drop(self, short: str, *, by: NodeId) -> None:
        self._done("drop", by)

    async def revoke(self, node: NodeId, reason: str, *, by: NodeId) -> RevokedNode:
        self._done("revoke", by)
        return RevokedNode(node, 2e9, by, 1e9, reason)

    async def invites(self) -> Sequence[Any]:
        return []

    members = revoked = invites

    async def audit(self, after: int, most: int) -> Sequence[Any]:
        return []

    def _done(self, what: str, by: NodeId) -> bytes:
        self.asked.append((what, by))
        if self.says is not None:
            raise self.says
        return b"grant"


class Hall:
    """A coordinator's door, and two that stand before it."""

    def __init__(self) -> None:
        network = MemoryNetwork()
        self.books = Books()
        self.signers: list[Contact] = []
        self.here = network.join(HERE)
        self.nodes = {node: network.join(node) for node in (GUEST, ADMIN)}
        self._door = AdmissionDoor(
            desk=cast(AdmissionDesk, self.books),
            is_admin=lambda link: link.peer == ADMIN,
            source_of=lambda link: "10.0.0.9",
            signers=lambda roles: self.signers,
            clock=LoopClock(),
        )
        self.here.serve(StreamKind.ADMISSION, self._door.serve)

    async def ask(self, node: NodeId, request: Request) -> Answer:
        link = await self._link(self.nodes[node])
        data = await link.call(StreamKind.ADMISSION, encode_request(request), timeout=5.0)
        return decode_answer(data)

    async def send(self, node: NodeId, data: bytes) -> bytes:
        link = await self._link(self.nodes[node])
        return await link.call(StreamKind.ADMISSION, data, timeout=5.0)

    async def _link(self, links: MemoryLinks) -> Link:
        return await links.connect(HERE, self.here.addresses)

    async def close(self) -> None:
        for links in (self.here, *self.nodes.values()):
            await links.close()


@pytest.fixture
async def hall() -> AsyncIterator[Hall]:
    one = Hall()
    yield one
    await one.close()


async def test_anybody_may_show_a_ticket_and_ask_for_renewal(hall: Hall) -> None:
    assert await hall.ask(GUEST, Redeem(bytes(16))) == Granted(b"grant")
    assert await hall.ask(GUEST, Renew()) == Granted(b"grant")
    assert hall.books.asked == [("redeem", GUEST), ("renew", GUEST)]


@pytest.mark.parametrize("request_", ADMINISTRATION, ids=lambda each: type(each).__name__)
async def test_only_who_is_granted_admin_administers(hall: Hall, request_: Request) -> None:
    refused = await hall.ask(GUEST, request_)
    assert isinstance(refused, Refused) and refused.code == "not_allowed"
    assert hall.books.asked == []
    assert isinstance(await hall.ask(ADMIN, request_), Rows)
    assert all(by == ADMIN for _, by in hall.books.asked)


async def test_a_refusal_comes_with_its_words(hall: Hall) -> None:
    hall.books.says = AdmissionRefused("used_up")
    answer = await hall.ask(GUEST, Redeem(bytes(16)))
    assert answer == Refused("used_up", "the ticket was used already: ask for a new one")


async def test_who_cannot_sign_names_who_can(hall: Hall) -> None:
    hall.books.says = CannotSign(("worker",))
    nobody = await hall.ask(GUEST, Redeem(bytes(16)))
    assert isinstance(nobody, Refused) and nobody.code == "no_coordinator"
    hall.signers = [SIGNER]
    assert await hall.ask(GUEST, Redeem(bytes(16))) == Elsewhere((SIGNER,))


async def test_knocking_too_often_never_reaches_the_group(hall: Hall) -> None:
    burst = int(NODE_BURST)
    answers = [await hall.ask(GUEST, Renew()) for _ in range(burst + 5)]
    assert [isinstance(each, Granted) for each in answers] == [True] * burst + [False] * 5
    last = answers[-1]
    assert isinstance(last, Refused) and last.code == "too_many"
    assert len(hall.books.asked) == burst
    assert isinstance(await hall.ask(ADMIN, AskList(AUDIT)), Rows), "administration is not held up"


async def test_guessing_is_held_up_sooner(hall: Hall) -> None:
    hall.books.says = AdmissionRefused("unknown")
    for _ in range(int(NODE_BURST)):
        await hall.ask(GUEST, Redeem(bytes(16)))
    assert len(hall.books.asked) < NODE_BURST / 2


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x63", bytes(2000)])
async def test_rubbish_ends_the_stream_only(hall: Hall, data: bytes) -> None:
    with pytest.raises(StreamReset):
        await hall.send(GUEST, data)
    assert await hall.ask(GUEST, Renew()) == Granted(b"grant")
