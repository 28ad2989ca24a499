"""The in-memory twin of the link pool: real links and streams, no sockets, no cryptography.

One `MemoryNetwork` holds many nodes of one process; runs in real or in virtual time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from random import Random

from mesh.capability import Role
from mesh.errors import DialError
from mesh.ids import MeshId, NodeId, node_id_of
from mesh.lifecycle import Tasks
from mesh.links.arbitration import LinkFacts
from mesh.links.greeting import Greeted
from mesh.links.link import LinkOwner, MeshLink
from mesh.links.memory_pipe import MemoryPipe
from mesh.links.metrics import LinkMetrics
from mesh.links.roster import Roster
from mesh.links.serving import Serving
from mesh.links.standing import Standing
from mesh.links.vigil import DEAD_AFTER, TICK
from mesh.ports import LinkWatcher, StreamHandler, StreamKind
from mesh.wire.frames import PROTOCOL_VERSIONS, FrameDecoder, GoawayCode
from mesh.wire.hello import Hello

RETRANSMISSION = 0.2
"""Seconds a lost write is late (RFC 6298's least time-out is larger; Linux uses 0.2)."""
SILENCE = DEAD_AFTER + TICK
"""Seconds until both ends of a link give it up when nothing gets through."""
_MESH = MeshId("0" * 40)


class LoopClock:
    """The event loop's time as `mesh.clock.Clock`; virtual when the loop's is."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1.7e9 + self.now()


class PlainChannel:
    """Stands in for TLS: bytes pass unchanged."""

    established = True
    ended = False

    def receive(self, data: bytes) -> bytes:
        return data

    def write(self, data: bytes) -> bytes:
        return data

    def goodbye(self) -> bytes:
        return b""


class MemoryNetwork:
    """Nodes that can reach each other, and the weather between them."""

    def __init__(
        self,
        *,
        rng: Random | None = None,
        latency: float = 0.0,
        jitter: float = 0.0,
        loss: float = 0.0,
    ) -> None:
        """`latency` and `jitter` in seconds one way; `loss`: share of writes that come late."""
        self._rng = rng or Random(0)
        self._latency = latency
        self._jitter = jitter
        self._loss = loss
        self._nodes: dict[NodeId, MemoryLinks] = {}
        self._side: dict[NodeId, int] = {}
        self._frozen: set[NodeId] = set()

    def join(
        self, node_id: NodeId | None = None, *, roles: Iterable[Role] = (), reachable: bool = True
    ) -> MemoryLinks:
        """A new node. An unreachable one can dial but not be dialled."""
        key = self._rng.randbytes(32)
        links = MemoryLinks(self, key, node_id or node_id_of(key), tuple(roles), reachable)
        self._nodes[links.node_id] = links
        return links

    def node(self, node_id: NodeId) -> MemoryLinks | None:
        """A node that runs."""
        return self._nodes.get(node_id)

    def crash(self, node_id: NodeId) -> None:
        """The node's process dies; its peers see their links break."""
        self._nodes.pop(node_id).crash()

    def freeze(self, node_id: NodeId) -> None:
        """The node falls silent; its peers give their links up after SILENCE."""
        self._frozen.add(node_id)
        self._watch_silence()

    def partition(self, *sides: Iterable[NodeId]) -> None:
        """Nodes of different sides no longer reach each other; unnamed nodes are side 0."""
        self._side = {node: number for number, side in enumerate(sides) for node in side}
        self._watch_silence()

    def heal(self) -> None:
        """Everybody reaches everybody; held bytes arrive."""
        self._side.clear()
        self._frozen.clear()
        for node in self._nodes.values():
            node.poke()

    # ── Weather ─────────────────────────────────────────────────────────────────────────────────

    def delay(self) -> float:
        wait = self._latency
        if self._jitter:
            wait += self._rng.uniform(0.0, self._jitter)
        if self._loss and self._rng.random() < self._loss:
            wait += RETRANSMISSION
        return wait

    def blocked(self, source: NodeId, target: NodeId) -> bool:
        if source in self._frozen or target in self._frozen:
            return True
        return self._side.get(source, 0) != self._side.get(target, 0)

    def _watch_silence(self) -> None:
        asyncio.get_running_loop().call_later(SILENCE, self._give_up_blocked)

    def _give_up_blocked(self) -> None:
        for node in list(self._nodes.values()):
            for link in list(node.all()):
                if self.blocked(node.node_id, link.peer):
                    link.give_up()


class MemoryLinks:
    """Implements `mesh.ports.Links` for one node of a `MemoryNetwork`."""

    def __init__(
        self,
        network: MemoryNetwork,
        key: bytes,
        node_id: NodeId,
        roles: tuple[Role, ...],
        reachable: bool,
    ) -> None:
        self.node_id = node_id
        self.roles = roles
        self.reachable = reachable
        self.metrics = LinkMetrics()
        self._network = network
        self._key = key
        self._roster = Roster()
        self._tasks = Tasks(f"memory links {node_id[:8]}")
        self._serving = Serving(self._tasks)
        self._pipes: dict[MeshLink, MemoryPipe] = {}
        self._links_made = 0
        self._owner = LinkOwner(
            opened=lambda link: None,
            stream_opened=self._serving.stream_opened,
            gone_away=lambda link, code, reason: self._roster.gone_away(link, code),
            noticed=lambda link, code, text: None,
            closed=self._link_closed,
            released=lambda link: None,
        )

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the others can dial this node."""
        return (f"tcp://{self.node_id}.memory:1",)

    def get(self, node: NodeId) -> MeshLink | None:
        return self._roster.get(node)

    def all(self) -> Sequence[MeshLink]:
        return self._roster.current()

    def serve(self, kind: StreamKind, handler: StreamHandler) -> None:
        self._serving.serve(kind, handler)

    def watch(self, watcher: LinkWatcher) -> None:
        self._roster.watch(watcher)

    def pin(self, node: NodeId, pinned: bool = True) -> None:
        """Nothing is trimmed here."""

    async def connect(
        self, node: NodeId | None, addresses: Sequence[str], *, timeout: float = 5.0
    ) -> MeshLink:
        if node is not None and (link := self._roster.get(node)) is not None:
            return link
        target = await self._reach(node, addresses, timeout)
        # The peer, or another task here, may have been quicker.
        return self._roster.get(target.node_id) or self._connect(target)

    async def close(self) -> None:
        """Leave the network cleanly."""
        for link in self._roster:
            link.close(GoawayCode.CLOSING, "the node stops")
        await self._tasks.close()

    def crash(self) -> None:
        """End without a word; the network calls this."""
        for link, pipe in list(self._pipes.items()):
            pipe.abort()
            link.give_up()

    def poke(self) -> None:
        """Held bytes may travel again; the network calls this."""
        for pipe in self._pipes.values():
            pipe.poke()

    async def _reach(
        self, node: NodeId | None, addresses: Sequence[str], timeout: float
    ) -> MemoryLinks:
        hosts = [address.removeprefix("tcp://").split(".")[0] for address in addresses]
        for host in hosts:
            target = self._network.node(NodeId(host))
            if target is None or not target.reachable or node not in (None, target.node_id):
                continue
            if target is self:
                raise DialError("that is this node itself")
            if self._network.blocked(self.node_id, target.node_id):
                await asyncio.sleep(timeout)
                break
            await asyncio.sleep(4 * self._network.delay())  # TCP, TLS, proof, hello
            if self._network.node(target.node_id) is target:  # it may have died meanwhile
                return target
        raise DialError(f"no answer from {', '.join(addresses)}")

    def _connect(self, target: MemoryLinks) -> MeshLink:
        near = MemoryPipe(self._network, self.node_id, target.node_id)
        far = MemoryPipe(self._network, target.node_id, self.node_id)
        near.join(far)
        self._links_made += 1
        facts = LinkFacts(self.node_id, self._links_made, 1, "")
        target._take(self, far, facts, None)
        return self._take(target, near, facts, target.addresses[0])

    def _take(
        self, peer: MemoryLinks, pipe: MemoryPipe, facts: LinkFacts, address: str | None
    ) -> MeshLink:
        link = MeshLink(
            Greeted(pipe, PlainChannel(), peer._hello(), self._hello(), FrameDecoder(), []),
            peer=peer.node_id,
            facts=facts,
            standing=Standing(peer.roles, frozenset(peer.roles)),
            owner=self._owner,
            clock=LoopClock(),
            metrics=self.metrics,
            dialled_address=address,
        )
        self._pipes[link] = pipe
        self.metrics.links_opened += 1
        self._roster.add(link)
        link.start([])
        return link

    def _hello(self) -> Hello:
        return Hello(
            mesh_id=_MESH,
            public_key=self._key,
            boot_counter=1,
            boot_id="",
            versions=PROTOCOL_VERSIONS,
            roles=self.roles,
            addresses=self.addresses,
        )

    def _link_closed(self, link: MeshLink) -> None:
        if link.ended is not None:
            self.metrics.links_closed[link.ended.cause] += 1
        self._pipes.pop(link, None)
        self._roster.remove(link)
