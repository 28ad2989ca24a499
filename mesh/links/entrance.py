"""Where pipes become links: handshakes in both directions, and who may stay."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mesh.clock import Clock
from mesh.errors import HandshakeError
from mesh.ids import NodeId
from mesh.links.antechamber import Antechamber
from mesh.links.arbitration import LinkFacts, Verdict, arbitrate
from mesh.links.doorway import Doorway
from mesh.links.greeting import Greeted, Greeting
from mesh.links.handshake import (
    DialledHandshake,
    DiallerHandshake,
    Handshake,
    Refused,
    TurnedAway,
)
from mesh.links.link import LinkOwner, MeshLink
from mesh.links.metrics import LinkMetrics
from mesh.links.pipe import Pipe
from mesh.links.reception import Reception
from mesh.links.rendezvous import Rendezvous
from mesh.links.roster import Roster
from mesh.links.standing import weigh
from mesh.links.tls import TlsIdentity
from mesh.wire.frames import GoawayCode, NoticeCode
from mesh.wire.hello import Hello

log = logging.getLogger(__name__)


class _AlreadyLinked(HandshakeError):
    """The dialled node turned out to be one that is linked already."""

    def __init__(self, link: MeshLink) -> None:
        super().__init__("that node is linked already")
        self.link = link


class Entrance:
    """Takes pipes through the handshake and puts the links that result into the roster."""

    def __init__(
        self,
        *,
        reception: Reception,
        roster: Roster,
        owner: LinkOwner,
        clock: Clock,
        metrics: LinkMetrics,
        handshake_timeout: float,
        max_links: int,
        rendezvous: Rendezvous,
    ) -> None:
        self._reception = reception
        self._rendezvous = rendezvous
        self._roster = roster
        self._owner = owner
        self._clock = clock
        self._metrics = metrics
        self._timeout = handshake_timeout
        self._max_links = max_links
        self._tls = TlsIdentity(reception.key)
        self._strangers = Antechamber()
        self._greetings: set[Greeting] = set()
        self._doorways: set[Doorway] = set()

    @property
    def pending(self) -> int:
        """Handshakes that are going on, or about to."""
        return len(self._greetings) + len(self._doorways)

    def accept(self, pipe: Pipe) -> None:
        """A pipe has come in: see what it is, in the background."""
        if not self._enter(pipe):
            return

        def failed(reason: str) -> None:
            self._doorways.discard(doorway)
            self._strangers.leave(pipe)
            self._note_failure(HandshakeError(reason), pipe.remote)

        def handshake(first: bytes) -> None:
            self._doorways.discard(doorway)
            self._shake(pipe, first)

        def token(token: bytes, rest: bytes) -> None:
            self._doorways.discard(doorway)
            self._strangers.leave(pipe)
            if not self._rendezvous.bring(token, pipe, rest):
                self._metrics.handshakes_failed["Unexpected"] += 1
                pipe.abort()

        doorway = Doorway(
            pipe, handshake=handshake, token=token, failed=failed, seconds=self._timeout
        )
        self._doorways.add(doorway)
        doorway.start()

    def accept_handshake(self, pipe: Pipe) -> None:
        """A peer comes through a pipe that this side opened: shake hands in the background."""
        if self._enter(pipe):
            self._shake(pipe, b"")

    def _enter(self, pipe: Pipe) -> bool:
        entered = self._strangers.enter(pipe)
        if not entered:
            self._metrics.handshakes_failed["Busy"] += 1
            pipe.abort()
        return entered

    def _shake(self, pipe: Pipe, first: bytes) -> None:
        """Shake hands as the side that was dialled; `first` has come already."""
        source = pipe.source
        began = self._clock.now()
        relayed = _is_relayed(pipe)
        handshake = DialledHandshake(
            self._reception.key,
            self._reception.mesh_id,
            introduce=self._introduce,
            admit=lambda hello, own: self._admit_dialler(hello, source, relayed, began),
        )

        def done(greeted: Greeted) -> None:
            self._strangers.leave(pipe)
            facts = _facts(greeted.hello, greeted.hello.node_id, greeted.hello.link_number, relayed)
            self._establish(greeted, None, facts, began)

        def failed(error: HandshakeError) -> None:
            self._strangers.leave(pipe)
            self._note_failure(error, pipe.remote)

        self._greet(pipe, handshake, done, failed, first)

    async def dial(self, pipe: Pipe, address: str, node: NodeId | None) -> MeshLink:
        """This side has dialled: shake hands. Raises HandshakeError.

        The answer may be an older link to the same node that stays instead of the new one.
        """
        began, relayed, me = self._clock.now(), _is_relayed(pipe), self._reception.key.node_id
        handshake = DiallerHandshake(
            self._reception.key,
            expected=node,
            introduce=lambda peer: self._introduce_to_new(peer, relayed=relayed),
            admit=lambda hello, own: self._admit(
                hello, _facts(hello, me, own.link_number, relayed), began
            ),
        )
        return await self._dial(pipe, address, handshake, began)

    async def apply(self, pipe: Pipe, address: str, node: NodeId | None) -> MeshLink:
        """This side has dialled a member to be admitted by it. Raises HandshakeError.

        The link stays outside of the roster and carries ADMISSION streams only.
        """
        handshake = DiallerHandshake(
            self._reception.key,
            expected=node,
            introduce=lambda peer: self._reception.own_hello(linked=False, applies=True),
            admit=lambda hello, own: self._reception.refuse_admitter(hello),
        )
        return await self._dial(pipe, address, handshake, self._clock.now())

    async def _dial(
        self, pipe: Pipe, address: str, handshake: DiallerHandshake, began: float
    ) -> MeshLink:
        result: asyncio.Future[MeshLink] = asyncio.get_running_loop().create_future()
        relayed, me = _is_relayed(pipe), self._reception.key.node_id

        def done(greeted: Greeted) -> None:
            facts = _facts(greeted.hello, me, greeted.own.link_number, relayed)
            link = self._establish(greeted, address, facts, began)
            if not result.done():
                current = None if link.applying else self._roster.get(link.peer)
                result.set_result(current or link)

        def failed(error: HandshakeError) -> None:
            if result.done():
                return
            if isinstance(error, _AlreadyLinked):
                result.set_result(error.link)
            else:
                self._note_failure(error, pipe.remote)
                result.set_exception(error)

        self._greet(pipe, handshake, done, failed)
        return await result

    def close(self) -> None:
        """End the handshakes that are going on."""
        for doorway in list(self._doorways):
            doorway.cancel()
        for greeting in list(self._greetings):
            greeting.cancel()

    def _greet(
        self,
        pipe: Pipe,
        handshake: Handshake,
        done: Callable[[Greeted], None],
        failed: Callable[[HandshakeError], None],
        first: bytes = b"",
    ) -> None:
        def finished(greeted: Greeted) -> None:
            self._greetings.discard(greeting)
            done(greeted)

        def broken(error: HandshakeError) -> None:
            self._greetings.discard(greeting)
            failed(error)

        channel = self._tls.channel(dialler=isinstance(handshake, DiallerHandshake))
        greeting = Greeting(
            pipe, channel, handshake, done=finished, failed=broken, timeout=self._timeout
        )
        self._greetings.add(greeting)
        greeting.start()
        if first:
            greeting.data_received(first)

    def _introduce_to_new(self, peer: NodeId, *, relayed: bool) -> Hello:
        """The dialler's hello, unless a link to that peer that is as good is there already."""
        link = self._roster.get(peer)
        if link is not None and (relayed or not link.relayed):
            raise _AlreadyLinked(link)
        return self._introduce(peer)

    def _introduce(self, peer: NodeId) -> Hello:
        return self._reception.own_hello(linked=self._roster.get(peer) is not None)

    def _admit_dialler(self, hello: Hello, source: str, relayed: bool, began: float) -> None:
        """Raises Refused for diallers that may not come in."""
        if hello.applies:
            self._reception.refuse_applicant(hello, source)
        else:
            self._admit(hello, _facts(hello, hello.node_id, hello.link_number, relayed), began)
            if not relayed:  # its relay has asked the same of it
                self._reception.refuse_crowd(hello, source)

    def _admit(self, hello: Hello, facts: LinkFacts, began: float) -> None:
        """Raises Refused for peers that may not come in."""
        self._reception.refuse_self(hello)
        self._reception.refuse_outsider(hello)
        if len(self._roster) >= self._max_links and self._roster.get(hello.node_id) is None:
            raise Refused(GoawayCode.BUSY, "this node has all the links it can hold")
        verdict = self._judge(hello, facts, began)
        if verdict is Verdict.STALE:
            self._reception.note_conflict(hello.node_id, "an older boot of a linked node came")
            raise Refused(GoawayCode.CLONED, "a newer boot of the same node is linked here")
        if verdict is Verdict.CLONED:
            self._tell_clones(hello)

    def _tell_clones(self, hello: Hello) -> None:
        self._reception.note_conflict(hello.node_id, "two running nodes share this node's key")
        current = self._roster.get(hello.node_id)
        if current is not None:
            current.notice(NoticeCode.CLONED, "another running node has this node's key")
        raise Refused(
            GoawayCode.CLONED, "another running node has the same key: copy no data folders"
        )

    def _judge(self, hello: Hello, facts: LinkFacts, began: float) -> Verdict:
        current = self._roster.get(hello.node_id)
        if current is None:
            return Verdict.FIRST
        # Only a link that the peer knew before this handshake can be one that it has lost since.
        known = current.confirmed_at is not None and current.confirmed_at < began
        return arbitrate(current.facts, facts, peer_has_none=known and not hello.linked)

    def _establish(
        self, greeted: Greeted, address: str | None, facts: LinkFacts, began: float
    ) -> MeshLink:
        link = self._make_link(greeted, address, facts)
        if link.applying:
            self._reception.applicants.take(link)
            link.start(greeted.frames)
            return link
        verdict = self._judge(greeted.hello, facts, began)
        if verdict is Verdict.RESTARTED and (old := self._roster.get(link.peer)) is not None:
            old.close(GoawayCode.RESTARTED, "a newer boot of the same node came", "crash")
        self._metrics.links_opened += 1
        if verdict is Verdict.YIELD:
            self._roster.retire(link, GoawayCode.SUPERSEDED, "an older link stays in use")
        else:
            self._roster.add(link)
        link.start(greeted.frames)
        self._tell_rejected_grants(link)
        return link

    def _make_link(self, greeted: Greeted, address: str | None, facts: LinkFacts) -> MeshLink:
        return MeshLink(
            greeted,
            peer=greeted.hello.node_id,
            facts=facts,
            standing=weigh(greeted.hello, self._reception.trust),
            owner=self._owner,
            clock=self._clock,
            metrics=self._metrics,
            dialled_address=address,
        )

    def _tell_rejected_grants(self, link: MeshLink) -> None:
        for reason in link.standing.rejected:
            log.info("grant rejected node=%s cause=%s", link.peer, reason)
            link.notice(NoticeCode.GRANT_REJECTED, reason)

    def _note_failure(self, error: HandshakeError, remote: str) -> None:
        self._metrics.handshakes_failed[type(error).__name__] += 1
        log.debug("handshake failed remote=%s cause=%s", remote, error)
        if isinstance(error, TurnedAway):
            if error.code == GoawayCode.CLONED:
                self._reception.note_conflict(self._reception.key.node_id, str(error))
            self._reception.note_rebuff(remote, error.code, str(error))


def _facts(hello: Hello, dialler: NodeId, number: int, relayed: bool) -> LinkFacts:
    return LinkFacts(dialler, number, hello.boot_counter, hello.boot_id, relayed)


def _is_relayed(pipe: Pipe) -> bool:
    return pipe.remote.startswith("relay://")
