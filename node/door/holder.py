"""The private side: keeps a public name at a keeper, and takes who comes for it into the gateway.

looking ──a keeper gave a name──▶ open ──its last link ended, or it refused──▶ looking
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from mesh.capability import Peer
from mesh.errors import LinkError, StorageError, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.links.pipe import Pipe
from mesh.ports import Link, Links, StreamKind
from mesh.wire import door as wire
from node.door.certificate import DoorCertificate
from node.door.tls_transport import TlsTransport
from node.gateway.admission import DOOR

log = logging.getLogger(__name__)

ASK_SECONDS = 4.0
"""For a keeper to answer, and for a pipe back to it."""
CONNECT_SECONDS = 5.0
LOOK_FIRST, LOOK_MOST = 0.25, 30.0
"""Seconds between two rounds of asking; doubled from first to most."""
REFRESH_SECONDS = 60.0
"""A name is asked for again that often: a keeper that forgot it gives it anew."""
MAX_ASKED = 8
"""Keepers asked in one round."""
MAX_ARRIVED = 1_024
"""Connections through the door at once."""


@dataclass(frozen=True, slots=True)
class Held:
    """A name, and where it was given."""

    keeper: NodeId
    name: str
    port: int
    certificate: DoorCertificate

    @property
    def url(self) -> str:
        """What a browser is given."""
        return f"https://{self.name}" + ("" if self.port == 443 else f":{self.port}")


class DoorHolder:
    """Asks keepers for a name as long as it runs. Call `come` for DOOR streams."""

    def __init__(
        self,
        *,
        choice: NodeId | Literal["auto"],
        label: str,
        founded: bool,
        links: Links,
        peers: Callable[[], Sequence[Peer]],
        open_pipe: Callable[[Link, bytes], Awaitable[Pipe]],
        certify: Callable[[str], DoorCertificate],
        take: Callable[[asyncio.Transport], None],
        tasks: Tasks,
        rng: Random,
    ) -> None:
        """`open_pipe` opens a pipe to a linked node with a token for it, or raises DialError.

        `certify` gives a certificate for a name; `take` serves HTTP on a connection.
        """
        self._choice = choice
        self._label = label
        self._founded = founded
        self._links = links
        self._peers = peers
        self._open_pipe = open_pipe
        self._certify = certify
        self._take = take
        self._tasks = tasks
        self._rng = rng
        self._changed = asyncio.Event()
        self._arrived: set[TlsTransport] = set()
        self._coming = 0
        self.held: Held | None = None
        self.reason = "looking for a node that keeps a door"
        """Why there is no name, in words for people."""

    @property
    def connections(self) -> int:
        """Connections through the door now."""
        return len(self._arrived)

    def start(self) -> None:
        """Ask in the background."""
        self._links.watch(self._link_changed)
        self._tasks.supervise(self._keep, "public door")

    def close(self) -> None:
        """Cut who came through the door."""
        self.held = None
        for transport in list(self._arrived):
            transport.abort()

    def come(self, link: Link, incoming: wire.Incoming) -> wire.Answer:
        """The keeper says that somebody came for this node's name."""
        held = self.held
        if held is None or link.peer != held.keeper or incoming.name != held.name:
            return wire.Refused("that name is not held here")
        if len(self._arrived) + self._coming >= MAX_ARRIVED:
            return wire.Refused("too many are here already")
        self._coming += 1
        self._tasks.spawn(self._meet(link, held, incoming), "arrival")
        return wire.Accepted()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _meet(self, link: Link, held: Held, incoming: wire.Incoming) -> None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                pipe = await self._open_pipe(link, incoming.token)
        except (LinkError, TimeoutError) as error:
            log.info("no way to the door's keeper node=%s cause=%s", link.peer, error)
            return
        finally:
            self._coming -= 1
        transport = TlsTransport(
            pipe,
            held.certificate.context,
            extra={"peername": (plain_source(incoming.source), 0), DOOR: held.name},
            opened=self._take,
            over=self._arrived.discard,
        )
        self._arrived.add(transport)
        transport.start()

    def _link_changed(self, link: Link, up: bool) -> None:
        if self.held is not None and link.peer == self.held.keeper:
            if not up and self._links.get(link.peer) is None:
                self._lose("the link to the door's keeper was lost")
            self._changed.set()
        elif self.held is None and up and self._may_keep(link):
            self._changed.set()

    def _may_keep(self, link: Link) -> bool:
        return link.peer == self._choice if self._choice != "auto" else "relay" in link.roles

    async def _keep(self) -> None:
        delay = LOOK_FIRST
        while True:
            self._changed.clear()
            if await self._look():
                delay, wait = LOOK_FIRST, REFRESH_SECONDS
            else:
                wait = delay * self._rng.uniform(0.5, 1.0)
                delay = min(2 * delay, LOOK_MOST)
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _look(self) -> bool:
        """Ask for a name, where there is one already first. True once one is held."""
        reasons: list[str] = []
        for node, addresses in self._candidates():
            try:
                held = await self._ask(node, addresses)
            except TimeoutError:
                if self._holds_at(node):  # a busy keeper has not taken the name back
                    return True
                reasons.append(f"{node[:8]}: it does not answer")
                continue
            except (LinkError, WireError, StorageError) as error:
                reasons.append(f"{node[:8]}: {error}")
                continue
            self._hold(held)
            return True
        self._lose("; ".join(reasons) or "no node that keeps a door is known yet")
        return False

    def _holds_at(self, node: NodeId) -> bool:
        held = self.held
        return held is not None and held.keeper == node and self._links.get(node) is not None

    async def _ask(self, node: NodeId, addresses: Sequence[str]) -> Held:
        """Raises LinkError, WireError, StorageError or TimeoutError."""
        link = await self._links.connect(node, addresses, timeout=CONNECT_SECONDS)
        if self._founded and "relay" not in link.roles:
            raise WireError("it was not granted the role relay")
        request = wire.encode_request(wire.Register(self._label))
        answer = wire.decode_answer(await link.call(StreamKind.DOOR, request, timeout=ASK_SECONDS))
        if not isinstance(answer, wire.Registered):
            reason = answer.reason if isinstance(answer, wire.Refused) else "a wrong answer"
            raise WireError(reason)
        name = checked_name(answer.name)
        return Held(node, name, answer.port, await self._certificate(name))

    async def _certificate(self, name: str) -> DoorCertificate:
        """Asked for anew each time: certificates run out, and owners replace their files."""
        held = self.held
        try:
            return await asyncio.to_thread(self._certify, name)
        except StorageError as error:
            if held is None or held.name != name:
                raise
            log.debug("the certificate of before stays in use cause=%s", error)
            return held.certificate

    def _candidates(self) -> list[tuple[NodeId, tuple[str, ...]]]:
        """Whom to ask, in order."""
        known = {peer.record.node_id: peer for peer in self._peers()}
        if self._choice != "auto":
            peer = known.get(self._choice)
            return [(self._choice, () if peer is None else peer.record.addresses)]
        relays = [peer for peer in known.values() if "relay" in peer.record.roles]
        self._rng.shuffle(relays)
        keeper = None if self.held is None else self.held.keeper
        relays.sort(key=lambda peer: _rank(peer, keeper))
        return [(peer.record.node_id, peer.record.addresses) for peer in relays[:MAX_ASKED]]

    def _hold(self, held: Held) -> None:
        before, self.held, self.reason = self.held, held, ""
        if before is None or before.url != held.url:
            log.info("the public door is open url=%s keeper=%s", held.url, held.keeper)
        if before is not None and before.keeper != held.keeper:
            self._links.pin(before.keeper, False)
        self._links.pin(held.keeper)

    def _lose(self, reason: str) -> None:
        held, self.held, self.reason = self.held, None, reason
        if held is not None:
            log.warning("the public door is closed cause=%s", reason)
            self._links.pin(held.keeper, False)


def _rank(peer: Peer, keeper: NodeId | None) -> tuple[bool, bool, float]:
    """The present keeper first, then linked nodes, the nearest first."""
    return peer.record.node_id != keeper, not peer.linked, peer.rtt or 0.0


def checked_name(name: str) -> str:
    """A host name as a keeper gave it. Raises WireError for anything else."""
    labels = name.split(".")
    plain = all(0 < len(label) <= wire.MAX_LABEL for label in labels) and name.isascii()
    if not plain or not name.replace("-", "").replace(".", "").isalnum() or name != name.lower():
        raise WireError("the keeper gave something that is no host name")
    return name


def plain_source(source: str) -> str:
    """A client's address as the keeper saw it; "unknown" for what is none."""
    try:
        return str(ipaddress.ip_address(source.partition("%")[0]))
    except ValueError:
        return "unknown"
