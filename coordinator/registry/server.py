"""A coordinator's registry: follows what this node knows of others and feeds it to subscribers."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator

from coordinator.registry.change_log import ChangeLog, Standing
from coordinator.registry.delta import make_deltas
from coordinator.registry.known_nodes import KnownNodes
from dht.allowance import Allowance
from dht.directory import Directory
from mesh.capability import Load, Peer
from mesh.clock import Clock
from mesh.errors import LinkClosed, WireError
from mesh.ids import NodeId
from mesh.lifecycle import Tasks
from mesh.ports import Link, Links, Stream, StreamKind
from mesh.wire.registry import (
    REGISTRY_ID,
    Opening,
    Scope,
    Subscribe,
    decode_subscribe,
    encode,
)

log = logging.getLogger(__name__)

COALESCE = 0.05
"""Seconds in which changes are taken together."""
SEND_COST = 0.0001
SENDING_SHARE = 0.2
"""CPU seconds that telling one subscriber takes about, and the share of a core to spend on it: with
more than a hundred subscribers changes are taken together for longer."""
SHARED_NODES = 1_024
"""Changes up to so many are encoded once for all subscribers who are equally far."""
TAKING_TIMEOUT = 30.0
"""Seconds a subscriber may take for one message; then it must come again, and gets what is new."""
ASKING_TIMEOUT = 5.0
RESYNC_RATE = 0.1
RESYNC_BURST = 5.0
"""Times a second, and at once, that one peer is told everything."""
SWEEP_EVERY = 30.0
"""Seconds between looks for rows of nodes that are lost, gone and forgotten."""


class _Subscriber:
    """One stream; `due` is set when there is something to say, or nobody to say it to."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.due = asyncio.Event()
        self.gone = False

    def leave(self) -> None:
        """The stream has ended."""
        self.gone = True
        self.due.set()


class RegistryServer:
    """Call `start` after the directory's; the owner closes `tasks`."""

    def __init__(
        self,
        *,
        own: NodeId,
        directory: Directory,
        known: KnownNodes,
        links: Links,
        clock: Clock,
        tasks: Tasks,
    ) -> None:
        self._own = own
        self._directory = directory
        self._known = known
        self._links = links
        self._clock = clock
        self._tasks = tasks
        self._resyncs = Allowance(rate=RESYNC_RATE, burst=RESYNC_BURST)
        self._id = secrets.token_bytes(REGISTRY_ID)
        self._log = ChangeLog()
        self._departed: set[NodeId] = set()
        """Rows of lost and gone nodes."""
        self._subscribers: dict[NodeId, _Subscriber] = {}
        """One a peer: bounded by the links."""
        self._shared: dict[tuple[int, Scope], list[bytes]] = {}
        self._shared_version = 0
        self._changed = asyncio.Event()
        self.full_resyncs = 0
        """Subscribers that were told everything."""

    def start(self) -> None:
        """Take in everybody known and serve subscribers. Call once."""
        self._directory.watch(self._note)
        for peer in self._directory.view.peers():
            self._note(peer.record.node_id, peer)
        self._note(self._own, None)
        self._links.serve(StreamKind.REGISTRY, self.serve)
        self._tasks.supervise(self._wake_subscribers, "registry")
        self._tasks.supervise(self._sweep, "registry sweep")

    @property
    def version(self) -> int:
        """Counts changes since the start."""
        return self._log.version

    @property
    def subscribers(self) -> int:
        return len(self._subscribers)

    def __len__(self) -> int:
        return len(self._log)

    async def serve(self, link: Link, stream: Stream) -> None:
        """Feed one subscriber until it leaves. Raises LinkError, or WireError on nonsense."""
        request = await self._request(stream)
        subscriber = _Subscriber(link)
        before = self._subscribers.get(link.peer)
        if before is not None:
            before.leave()
        self._subscribers[link.peer] = subscriber
        stream.on_failure(subscriber.leave)
        try:
            await self._feed(stream, request, subscriber)
        finally:
            if self._subscribers.get(link.peer) is subscriber:
                del self._subscribers[link.peer]

    async def _request(self, stream: Stream) -> Subscribe:
        async with asyncio.timeout(ASKING_TIMEOUT):
            data = await stream.receive()
        if data is None:
            raise WireError("a registry stream ended without a subscription")
        return decode_subscribe(data)

    async def _feed(self, stream: Stream, request: Subscribe, subscriber: _Subscriber) -> None:
        full = request.registry != self._id or not self._log.covers(request.version)
        version = 0 if full else request.version
        await self._send(stream, encode(Opening(self._id, full)))
        if full:
            await asyncio.sleep(self._resyncs.reserve(subscriber.link.peer, 1, self._clock.now()))
            self.full_resyncs += 1
        while not subscriber.gone:
            subscriber.due.clear()
            target = self._log.version
            async for message in self._messages(version, request.scope):
                await self._send(stream, message)
            version = target
            await subscriber.due.wait()

    async def _send(self, stream: Stream, message: bytes) -> None:
        try:
            async with asyncio.timeout(TAKING_TIMEOUT):
                await stream.send(message)
        except TimeoutError:
            raise LinkClosed("a subscriber takes nothing") from None

    async def _messages(self, since: int, scope: Scope) -> AsyncIterator[bytes]:
        """Everything new since a version; what is little is encoded once for all who want it."""
        if self._shared_version != self._log.version:
            self._shared.clear()
            self._shared_version = self._log.version
        shared = self._shared.get((since, scope))
        if shared is None:
            nodes = self._log.since(since)
            deltas = make_deltas(self._log, nodes, since, scope, self._remaining)
            if len(nodes) > SHARED_NODES:
                for delta in deltas:
                    yield encode(delta)
                    await asyncio.sleep(0)
                return
            shared = self._shared[since, scope] = [encode(delta) for delta in deltas]
        for message in shared:
            yield message

    def _remaining(self, node: NodeId) -> tuple[float, bytes] | None:
        if node == self._own:
            signed = self._directory.own_signed
            return None if signed is None else (signed.record.ttl, signed.data)
        return self._known.remaining(node)

    # ── what changes ────────────────────────────────────────────────────────────────────────────

    def _note(self, node: NodeId, peer: Peer | None) -> None:
        """The view shows a node differently; told of every change."""
        if self._put(node, peer):
            self._changed.set()

    def _put(self, node: NodeId, peer: Peer | None) -> bool:
        if node == self._own:
            own = self._directory.own
            load = self._directory.load
            return own is not None and self._log.put(node, own.seq, "seen", True, load)
        if peer is not None:
            self._departed.discard(node)
            return self._log.put(node, peer.record.seq, "seen", peer.linked, peer.load)
        entry = self._known.entry(node)
        if entry is None:
            self._departed.discard(node)
            return self._log.drop(node)
        if self._log.get(node) is None:
            return False
        standing: Standing = "gone" if entry.signed.record.state == "gone" else "lost"
        self._departed.add(node)
        return self._log.put(node, entry.signed.record.seq, standing, False, Load())

    async def _wake_subscribers(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            crowd = len(self._subscribers) * SEND_COST / SENDING_SHARE
            await asyncio.sleep(max(COALESCE, crowd))
            for subscriber in list(self._subscribers.values()):
                subscriber.due.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY)
            for node in [node for node in self._departed if self._known.entry(node) is None]:
                self._note(node, None)
